"""Every flag of every command, and the recipe that the flags describe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from kerastune.executors import base
from kerastune.export import versions
from kerastune.playbook.retention import KEEP
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.ensemble import MEMBERS
from kerastune.playbook.stages.prune import SPARSITIES
from kerastune.recipe import CHOICES, Recipe
from kerastune.runtime import environment

KINDS = ("", "classification", "regression")
AUTO = 0  # of `--batch_size`: suggested from the data (P7)
DATA_FLAGS = (
    "data",
    "label",
    "kind",
    "image_size",
    "standardize",
    "model",
    "pretrained",
    "precision",
    "objective",
)


class OptionalFloat(flags.FloatParser):
    """Reads a number, or `none`: a value that is none is written down too, since later flags win
    over earlier ones.
    """

    syntactic_help = "a number or none"

    def convert(self, argument):
        return None if argument == "none" else super().convert(argument)


def define(flag_values: flags.FlagValues) -> None:
    """Defines every flag of every command, so that any flagfile is read everywhere; later ones win
    (P4).
    """
    values = {"flag_values": flag_values}
    flags.DEFINE_string(
        "data", "digits", "Data set name, file.npz, file.csv, folder or module:function.", **values
    )
    flags.DEFINE_string("label", "", "Name of the target column of a .csv.", **values)
    flags.DEFINE_enum("kind", "", KINDS, "What is learnt; by default the targets tell.", **values)
    flags.DEFINE_integer(
        "image_size", 64, "Height and width of images in folders, in pixels.", 1, **values
    )
    flags.DEFINE_bool(
        "standardize",
        None,
        "Standardize inputs; by default for the built-in models only.",
        **values,
    )
    flags.DEFINE_string(
        "model",
        "",
        "mlp, cnn, resnet, or module:name of a build(hp) or HyperModel; cnn for images, else mlp.",
        **values,
    )
    flags.DEFINE_string(
        "pretrained", "", "Fine-tune file.keras or module:function, not --model.", **values
    )
    flags.DEFINE_string(
        "output_dir", "", "Where everything goes; a new directory by default.", **values
    )
    flags.DEFINE_integer(
        "keep", KEEP, "Best weights that stay on disk, besides those in use.", 0, **values
    )
    flags.DEFINE_bool(
        "overwrite", False, "Begin anew in an output directory of kerastune's.", **values
    )
    flags.DEFINE_string(
        "budget", "10m", "Time (90s, 4m, 1h) or steps (6000steps) of the whole search.", **values
    )
    flags.DEFINE_string(
        "objective", "", "Validation value that chooses, as val_accuracy:max.", **values
    )
    flags.DEFINE_list(
        "stages",
        [],
        f"Only these of {', '.join(registry.names())}; by default all that apply.",
        **values,
    )
    flags.DEFINE_bool(
        "baseline", True, "Train Adam at 1e-3 with batches of 32 to compare with.", **values
    )
    flags.DEFINE_bool(
        "ensemble", True, "Look for an ensemble that beats the single model.", **values
    )
    flags.DEFINE_bool("tta", True, "Average over views of an example where that helps.", **values)
    flags.DEFINE_integer("members", MEMBERS, "Most models in an ensemble.", 2, **values)
    flags.DEFINE_integer(
        "member_folds", 0, "Ensemble trainings that each leave out a fold; 0 for none.", 0, **values
    )
    flags.DEFINE_integer(
        "folds", 5, "Parts that crossval cuts the examples into, each held out once.", **values
    )
    flags.DEFINE_integer("repeats", 1, "Times that crossval cuts them anew.", **values)
    flags.DEFINE_string(
        "groups", "", "Column or array of what crossval must not tear apart.", **values
    )
    flags.DEFINE_list(
        "sparsity",
        [f"{each:g}" for each in SPARSITIES],
        "Shares of zeros that prune tries.",
        **values,
    )
    flags.DEFINE_string(
        "teacher", "", "A .keras model of the same data, that distill learns from.", **values
    )
    flags.DEFINE_string(
        "trained", "", "Output directory whose model prune takes; else it trains one.", **values
    )
    flags.DEFINE_bool(
        "refit", False, "Train once more on training and validation data at the end.", **values
    )
    flags.DEFINE_enum(
        "executor",
        base.INLINE,
        base.EXECUTORS,
        "Where trials run: here, in processes, on Ray.",
        **values,
    )
    flags.DEFINE_integer(
        "jobs", 0, "Trials at once; 0 for as many as memory and cores allow.", 0, **values
    )
    flags.DEFINE_string(
        "ray_address", "", "Of a Ray cluster; one on this machine by default.", **values
    )
    flags.DEFINE_string(
        "export_dir", "", "Where exported models go; export/ in the output directory.", **values
    )
    flags.DEFINE_enum(
        "format", versions.SAVED_MODEL, list(versions.ENDINGS), "What to export as.", **values
    )
    flags.DEFINE_bool(
        "gpu_memory_growth", True, "Let a GPU's memory grow as needed (P5).", **values
    )
    flags.DEFINE_enum(
        "precision", "float32", environment.PRECISIONS, "What layers compute in.", **values
    )
    define_recipe(flag_values)


def define_recipe(flag_values: flags.FlagValues) -> None:
    """Defines the flags of a recipe, with the recipe's own defaults."""
    values = {"flag_values": flag_values}
    default = Recipe()
    flags.DEFINE_enum("optimizer", default.optimizer, CHOICES["optimizer"], "Optimizer.", **values)
    flags.DEFINE_float(
        "learning_rate", default.learning_rate, "Rate of the first step; tune finds it.", **values
    )
    flags.DEFINE_float("momentum", default.momentum, "Momentum of SGD.", 0.0, **values)
    flags.DEFINE_bool("nesterov", default.nesterov, "Nesterov momentum of SGD.", **values)
    flags.DEFINE_integer(
        "batch_size", AUTO, "Examples in a step; 0 suggests one from the data (P7).", 0, **values
    )
    flags.DEFINE_integer(
        "total_steps", default.total_steps, "Steps of the training; tune finds it.", 1, **values
    )
    flags.DEFINE_enum("decay", default.decay, CHOICES["decay"], "How the rate falls.", **values)
    flags.DEFINE_integer(
        "decay_start", default.decay_start, "Step from which the rate falls.", 0, **values
    )
    flags.DEFINE_float(
        "decay_factor", default.decay_factor, "Of each drop of an exponential decay.", **values
    )
    flags.DEFINE_integer(
        "decay_interval", default.decay_interval, "Steps between changes of the rate.", 1, **values
    )
    flags.DEFINE_enum(
        "initializers",
        default.initializers,
        CHOICES["initializers"],
        "By activation (P8).",
        **values,
    )
    flags.DEFINE_enum(
        "regularizers",
        default.regularizers,
        CHOICES["regularizers"],
        "Off while tuning (P6).",
        **values,
    )
    flags.DEFINE_float(
        "weight_decay", default.weight_decay, "Decoupled, of kernels; tune finds it.", 0.0, **values
    )
    flags.DEFINE(
        OptionalFloat(),
        "dropout",
        default.dropout,
        "Rate of Dropout layers; none: as the model has it.",
        **values,
    )
    flags.DEFINE_float(
        "label_smoothing", default.label_smoothing, "Of classes; tune finds it.", 0.0, **values
    )
    flags.DEFINE_float(
        "augmentation",
        default.augmentation,
        "Strength of shifts or noise; tune finds it.",
        0.0,
        **values,
    )
    flags.DEFINE_bool(
        "flip", default.flip, "Flip images from left to right; tune finds it.", **values
    )
    flags.DEFINE_enum(
        "class_weights",
        default.class_weights,
        CHOICES["class_weights"],
        "In the loss; tune finds it (P7).",
        **values,
    )
    flags.DEFINE_float(
        "layer_decay", default.layer_decay, "Times the rate, per layer from the end on.", **values
    )
    flags.DEFINE_multi_string(
        "layer_rate", [], "pattern=multiplier of the rate of layers, repeatable.", **values
    )
    flags.DEFINE_integer(
        "frozen", default.frozen, "Layers that are frozen, from the input on.", 0, **values
    )
    flags.DEFINE_integer("head", default.head, "Layers, at the end, that are new.", 1, **values)
    flags.DEFINE_float(
        "head_fraction",
        default.head_fraction,
        "Of the steps, in which only the head moves.",
        0.0,
        **values,
    )
    flags.DEFINE_integer("seed", default.seed, "Of weights, batches and splits.", 0, **values)
    flags.DEFINE_multi_string(
        "hp", [], "A hyperparameter of the model: name=json, repeatable.", **values
    )


def recipe_of(flag_values: flags.FlagValues) -> Recipe:
    """The recipe that the flags describe; `--batch_size=0` counts as the default until it is
    suggested.
    """
    names = [name for name in Recipe().to_dict() if name != "hyperparameters"]
    values = {name: flag_values[name].value for name in names}
    values["batch_size"] = values["batch_size"] or Recipe().batch_size
    return Recipe(**values, hyperparameters=_hyperparameters(flag_values.hp))


def _hyperparameters(given: Sequence[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"`--hp` must be name=json, as in --hp=units=128, got {text!r}.")
        try:
            found[name] = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(
                f"`--hp={name}` must be JSON, as in --hp={name}=128 or --hp={name}='\"relu\"', got {value[:80]!r}."
            ) from None
    return found
