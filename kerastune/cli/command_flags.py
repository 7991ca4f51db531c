"""Every flag of every command in one table, and the recipe that the flags describe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from kerastune.cli import data_flags
from kerastune.cli.flag import Flag
from kerastune.executors import base
from kerastune.export import versions
from kerastune.playbook.retention import KEEP
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.ensemble import MEMBERS
from kerastune.playbook.stages.prune import SPARSITIES
from kerastune.playbook.stages.stage_setup import Wanted
from kerastune.recipe import Recipe
from kerastune.runtime import environment

# Stages that some default search has, and those that only run where they are named.
DEFAULT_STAGES = registry.default_names(Wanted(own_model=True, pretrained=True))
OTHER_STAGES = [name for name in registry.names() if name not in DEFAULT_STAGES]
AUTO = 0  # of `--batch_size`: suggested from the data (P7)
# What tells the data and the model of one search from those of another.
DATA_FLAGS = (
    *(flag.name for flag in data_flags.FLAGS),
    "model",
    "pretrained",
    "precision",
    "objective",
)
HYPERPARAMETERS = "hp"  # the flag of a recipe's `hyperparameters`
# What a flag has otherwise than the value of a recipe that it stands for.
RECIPE_CHANGES = {
    "batch_size": {"default": AUTO, "unset": "suggested from the data"},
    "layer_rate": {"unit": "PATTERN=NUMBER"},
    "hyperparameters": {"name": HYPERPARAMETERS, "default": (), "unit": "NAME=JSON"},
}
RECIPE_FLAGS = {
    field.name: Flag.of_field(field, **RECIPE_CHANGES.get(field.name, {}))
    for field in dataclasses.fields(Recipe)
}

GROUPS: dict[str, tuple[Flag, ...]] = {
    "Data": data_flags.FLAGS,
    "Model": (
        Flag(
            "model",
            "Built-in network, or your build(hp) function or KerasTuner HyperModel.",
            unit="mlp|cnn|resnet|series|text|MODULE:NAME",
            unset="what suits the data",
        ),
        Flag(
            "pretrained",
            "Fine-tune this model, saved or built by a function, in place of --model.",
            unit="FILE.keras|MODULE:FUNCTION",
        ),
        RECIPE_FLAGS["hyperparameters"],
    ),
    "Budget and search": (
        Flag(
            "budget",
            "Time (90s, 4m, 1.5h) or training steps (6000steps) of the whole command; +10m extends "
            "a search (given again after a crash, it goes on with that).",
            "10m",
            unit="TIME|STEPS",
        ),
        Flag(
            "objective",
            "Validation metric to choose by, with its direction, as val_auc:max.",
            unit="NAME:max|NAME:min",
            unset="accuracy, macro F1 for imbalanced classes, or the loss",
        ),
        Flag(
            "stages",
            f"Run only these stages, in this order: {', '.join(DEFAULT_STAGES)}; besides, "
            f"{' or '.join(OTHER_STAGES)} after train.",
            (),
            "list",
            "STAGE,…",
            unset=f"all but {' and '.join(OTHER_STAGES)}",
        ),
        Flag(
            "baseline",
            "Also train with Adam, learning rate 0.001 and batch size 32, to compare with.",
            True,
            "switch",
        ),
        Flag(
            "refit",
            "Train the final model once more, on training and validation data together.",
            False,
            "switch",
        ),
    ),
    "Output": (
        Flag(
            "output_dir",
            "Directory of results; the same command on it continues where it stopped.",
            unit="DIRECTORY",
            unset="a new kerastune-…-out",
        ),
        Flag(
            "overwrite",
            "Start again in an output directory of kerastune's; deletes only its own files.",
            False,
            "switch",
        ),
        Flag(
            "keep",
            "Trials whose best weights stay on disk, besides those in use.",
            KEEP,
            "integer",
            "trials",
            least=0,
        ),
        Flag(
            "mlflow",
            "Log the finished search to MLflow, too: to MLFLOW_TRACKING_URI, or its own default.",
            False,
            "switch",
        ),
    ),
    "Ensemble and test-time augmentation (TTA)": (
        Flag("ensemble", "Use an ensemble where it beats the single model.", True, "switch"),
        Flag(
            "members",
            "Models in an ensemble, at most; twice as many of up to 20,000 examples, where each "
            "leaves out a fifth.",
            MEMBERS,
            "integer",
            "models",
            least=2,
        ),
        Flag(
            "member_folds",
            "Folds of the training part; each member of the ensemble but one leaves out a fold.",
            0,
            "integer",
            "folds",
            least=0,
            unset="none",
        ),
        Flag(
            "tta",
            "Average predictions over shifted, mirrored … inputs where that helps.",
            True,
            "switch",
        ),
    ),
    "Cross-validation": (
        Flag(
            "folds",
            "Folds that the examples are split into; each is held out once.",
            5,
            "integer",
            "folds",
        ),
        Flag(
            "repeats",
            "Repeats of the split into folds, each with a new shuffle.",
            1,
            "integer",
            "splits",
        ),
    ),
    "Pruning and distillation": (
        Flag(
            "trained",
            "Output directory whose trained model is used, with its flags; without it, one is "
            "trained.",
            unit="DIRECTORY",
        ),
        Flag(
            "sparsity",
            "Fractions of zero weights that are tried, in [0, 1).",
            tuple(f"{each:g}" for each in SPARSITIES),
            "list",
            "FRACTION,…",
        ),
        Flag("teacher", "Trained classifier of the same data to learn from.", unit="FILE.keras"),
    ),
    "Export": (
        Flag(
            "format",
            "TensorFlow SavedModel for TensorFlow Serving, or one file.",
            versions.SAVED_MODEL,
            "choice",
            choices=tuple(versions.ENDINGS),
        ),
        Flag(
            "export_dir",
            "Directory of exported models.",
            unit="DIRECTORY",
            unset="export/ in the output directory",
        ),
        Flag(
            "against",
            "Version that is served: its recorded requests are replayed on both before the new "
            "one appears; --data=… of labelled examples also tells which is better.",
            unit="DIRECTORY",
        ),
    ),
    "Prediction": (
        Flag(
            "predictions",
            "Where predictions are written, as a .csv.",
            unit="FILE",
            unset="predictions.csv in the output directory",
        ),
    ),
    "Question": (
        Flag(
            "about",
            "What to explain: a stage, or a value of the recipe as dropout, adam or "
            "batch_size=256; may stand alone, without --about=.",
            unit="NAME|NAME=VALUE",
            unset="every stage",
        ),
    ),
    "Execution": (
        Flag(
            "executor",
            "Where trials run: in this process, in several, or on Ray.",
            base.INLINE,
            "choice",
            choices=base.EXECUTORS,
        ),
        Flag(
            "jobs",
            "Trials at once.",
            0,
            "integer",
            "trials",
            least=0,
            unset="as many as memory and cores allow",
        ),
        Flag(
            "ray_address",
            "Address of a Ray cluster.",
            unit="ADDRESS",
            unset="a new one on this machine",
        ),
        Flag(
            "precision",
            "Data type that layers compute in.",
            "float32",
            "choice",
            choices=environment.PRECISIONS,
        ),
        Flag("verbose", "Show the whole log on the screen.", False, "switch"),
        Flag("gpu_memory_growth", "Take memory of a GPU as it is needed, not all.", True, "switch"),
    ),
    "Recipe": tuple(flag for name, flag in RECIPE_FLAGS.items() if flag.name != HYPERPARAMETERS),
}


def define(flag_values: flags.FlagValues) -> None:
    """Defines every flag of every command, so that any flagfile is read everywhere; later ones win
    (P4).
    """
    for group in GROUPS.values():
        for flag in group:
            flag.define(flag_values)


def parse(flag_values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Takes the values of flags that are written as on the command line.

    Raises:
        absl.flags.Error: for an unknown flag or a value that it does not take.
        ValueError: for what is no flag.
    """
    try:
        surplus = flag_values(["kerastune", *arguments])[1:]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`--flagfile` names a file that is no text ({error.reason} at byte {error.start}): "
            "name a file of flags, such as digits-out/best.flags."
        ) from error
    if surplus:
        raise ValueError(f"{surplus[0]!r} is not a flag: flags begin with --, as in --data=digits.")


def parsed(arguments: Sequence[str]) -> flags.FlagValues:
    """The values of flags that are written as on the command line; raises what `parse` raises.

    Example:
        >>> parsed(["--data=iris", "--notta"]).tta
        False
    """
    flag_values = flags.FlagValues()
    define(flag_values)
    parse(flag_values, arguments)
    return flag_values


def recipe_of(flag_values: flags.FlagValues) -> Recipe:
    """The recipe that the flags describe; `--batch_size=0` counts as the default until it is
    suggested.

    Raises:
        ValueError: for a value out of its range.

    Example:
        >>> recipe_of(parsed(["--momentum=0.5", "--hp=units=16"])).hyperparameters
        {'units': 16}
    """
    values = {name: flag_values[name].value for name in RECIPE_FLAGS if name != "hyperparameters"}
    values["batch_size"] = values["batch_size"] or Recipe().batch_size
    return Recipe(**values, hyperparameters=_hyperparameters(flag_values.hp))


def given_values(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Those values of a recipe that were given, by command line or flagfile.

    Raises:
        ValueError: for a value out of its range.

    Example:
        >>> given_values(parsed(["--optimizer=lion", "--batch_size=0"]))
        {'optimizer': 'lion'}
    """
    values = recipe_of(flag_values).to_dict()
    given = [name for name, flag in RECIPE_FLAGS.items() if flag_values[flag.name].present]
    if flag_values.batch_size == AUTO and "batch_size" in given:
        given.remove("batch_size")
    return {name: values[name] for name in given}


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
                f"`--hp={name}` must be JSON, as in --hp={name}=128 or --hp={name}='\"relu\"', "
                f"got {value[:80]!r}."
            ) from None
    return found
