"""Every flag, a row each, and the recipe that the flags describe."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from absl import flags

from kerastune.executors import base
from kerastune.export import versions
from kerastune.playbook.retention import KEEP
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.ensemble import MEMBERS
from kerastune.playbook.stages.prune import SPARSITIES
from kerastune.recipe import Recipe, Setting
from kerastune.runtime import environment

AUTO = 0  # of `--batch_size`: suggested from the data
# What a search must be given again when it goes on.
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
    """Reads a number, or `none`: later flags win over earlier ones, so none is written down too."""

    syntactic_help = "a number or none"

    def convert(self, argument: str) -> float | None:
        return None if argument == "none" else super().convert(argument)


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        name: without dashes.
        group: heading under which help shows it.
        default: its value when it is not given; its type is the flag's unless `kind` names one.
        help: one line, for someone who has never seen it.
        value: what stands behind the equals sign in help.
        kind: `bool`, `enum`, `float`, `int`, `list`, `many`, `optional float` or `text`.
        choices: of an `enum`.
        least: smallest number.
    """

    name: str
    group: str
    default: Any
    help: str
    value: str = ""
    kind: str = "text"
    choices: tuple[str, ...] = ()
    least: float | None = None


def _text(name: str, group: str, help: str, value: str) -> Flag:
    return Flag(name, group, "", help, value)


def _switch(name: str, group: str, default: bool | None, help: str) -> Flag:
    return Flag(name, group, default, help, kind="bool")


def _whole(name: str, group: str, default: int, help: str, least: int | None = None) -> Flag:
    return Flag(name, group, default, help, "N", "int", least=least)


def _one_of(name: str, group: str, choices: Sequence[str], help: str) -> Flag:
    return Flag(name, group, choices[0], help, kind="enum", choices=tuple(choices))


FORMATS = (
    versions.SAVED_MODEL,
    *(name for name in versions.ENDINGS if name != versions.SAVED_MODEL),
)
EXECUTORS = (base.INLINE, *(name for name in base.EXECUTORS if name != base.INLINE))
KINDS = ("", "classification", "regression")

FLAGS = (
    _text(
        "data",
        "data",
        "Data set name, file.npz, file.csv, image folder or module:function.",
        "DATA",
    ),
    _text("label", "data", "Target column of a .csv.", "COLUMN"),
    _one_of("kind", "data", KINDS, "What is predicted; by default the targets tell."),
    _whole("image_size", "data", 64, "Height and width of the images of a folder, in pixels.", 1),
    _switch(
        "standardize", "data", None, "Standardize inputs; by default for built-in networks only."
    ),
    _text("groups", "data", "Column or array of examples that stay together.", "NAME"),
    _text(
        "model",
        "model",
        "mlp, cnn, resnet or module:name; by default cnn for images, else mlp.",
        "MODEL",
    ),
    _text(
        "pretrained",
        "model",
        "Fine-tune file.keras or module:function instead of --model.",
        "MODEL",
    ),
    Flag(
        "precision",
        "model",
        "float32",
        "What layers compute in.",
        kind="enum",
        choices=environment.PRECISIONS,
    ),
    Flag(
        "budget",
        "budget",
        "10m",
        "Time (90s, 4m, 1h) or training steps (6000steps) in all.",
        "BUDGET",
    ),
    _text("objective", "search", "Validation metric to choose by, as in val_auc:max.", "METRIC"),
    Flag("stages", "search", [], f"Only these of {', '.join(registry.ORDER)}.", "A,B", "list"),
    _switch(
        "baseline",
        "search",
        True,
        "Train Keras's defaults (Adam, 1e-3, batch size 32) to compare with.",
    ),
    _switch(
        "refit", "search", False, "Train the recipe again on training and validation data together."
    ),
    _switch("ensemble", "ensemble", True, "Look for an ensemble that is better than one model."),
    _whole("members", "ensemble", MEMBERS, "Models in an ensemble, at most.", 2),
    _whole("member_folds", "ensemble", 0, "Models of it that each leave out a fold; 0: none.", 0),
    _switch("tta", "ensemble", True, "Test-time augmentation where it helps."),
    _whole("folds", "folds", 5, "Number of folds."),
    _whole("repeats", "folds", 1, "Times that the folds are drawn."),
    Flag(
        "sparsity",
        "pruning",
        [f"{each:g}" for each in SPARSITIES],
        "Fractions of zeros to try, in [0, 1).",
        "A,B",
        "list",
    ),
    _text(
        "trained", "pruning", "Output directory whose model is pruned; else one is trained.", "DIR"
    ),
    _text("teacher", "distillation", "The teacher: a .keras model of the same data.", "FILE"),
    Flag("format", "export", FORMATS[0], "What to export as.", kind="enum", choices=FORMATS),
    _text("export_dir", "export", "Where to export; by default export/ in --output_dir.", "DIR"),
    _text("output_dir", "output", "Output directory; by default a new one.", "DIR"),
    _switch("overwrite", "output", False, "Begin anew in an output directory of kerastune's."),
    _whole("keep", "output", KEEP, "Trained weights that stay on disk, besides those in use.", 0),
    Flag(
        "executor",
        "execution",
        EXECUTORS[0],
        "Where trials are trained.",
        kind="enum",
        choices=EXECUTORS,
    ),
    _whole("jobs", "execution", 0, "Trials at once; 0: as many as memory and cores allow.", 0),
    _text(
        "ray_address",
        "execution",
        "Address of a Ray cluster; by default one on this machine.",
        "ADDRESS",
    ),
    _switch("gpu_memory_growth", "execution", True, "Let a GPU's memory grow as needed."),
)


def _flag_of(field: dataclasses.Field) -> Flag:
    """The flag of one value of a recipe."""
    setting: Setting = field.metadata["setting"]
    default = None if setting.kind is dict else field.default
    is_bounded = setting.interval is not None and setting.interval.high < math.inf
    unit = setting.unit or (str(setting.interval) if is_bounded else "")
    help = f"{setting.help} In {unit}." if unit else setting.help
    if setting.kind is dict:
        return Flag("hp", "model", [], help, "NAME=JSON", "many")
    if setting.kind is tuple:
        return Flag(field.name, "recipe", [], help, "PATTERN=X", "many")
    if field.name == "batch_size":
        help = "Batch size, in examples; 0: suggested from the data."
        return Flag(field.name, "recipe", AUTO, help, "N", "int", least=0)
    if setting.optional:
        return Flag(field.name, "recipe", default, help, "X|none", "optional float")
    if setting.choices:
        return Flag(field.name, "recipe", default, help, kind="enum", choices=setting.choices)
    if setting.kind is bool:
        return _switch(field.name, "recipe", default, help)
    least = setting.interval.low if setting.interval.has_low else None
    kind, value = ("int", "N") if setting.kind is int else ("float", "X")
    return Flag(field.name, "recipe", default, help, value, kind, least=least)


RECIPE_FLAGS = tuple(_flag_of(field) for field in dataclasses.fields(Recipe))
BY_NAME = {flag.name: flag for flag in (*FLAGS, *RECIPE_FLAGS)}


def define(flag_values: flags.FlagValues) -> None:
    """Defines every flag, so that any flagfile is read by every command; later flags win."""
    for flag in BY_NAME.values():
        how = {"name": flag.name, "default": flag.default, "help": flag.help}
        how["flag_values"] = flag_values
        least = {} if flag.least is None else {"lower_bound": flag.least}
        if flag.kind == "enum":
            flags.DEFINE_enum(**how, enum_values=list(flag.choices))
        elif flag.kind == "int":
            flags.DEFINE_integer(**how, **least)
        elif flag.kind == "float":
            flags.DEFINE_float(**how, **least)
        elif flag.kind == "optional float":
            flags.DEFINE(OptionalFloat(), **how)
        else:
            plain = {
                "bool": flags.DEFINE_bool,
                "list": flags.DEFINE_list,
                "many": flags.DEFINE_multi_string,
                "text": flags.DEFINE_string,
            }
            plain[flag.kind](**how)


def recipe_of(flag_values: flags.FlagValues) -> Recipe:
    """The recipe that the flags describe; `--batch_size=0` is the default until it is suggested."""
    names = [field.name for field in dataclasses.fields(Recipe) if field.name != "hyperparameters"]
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
                f"`--hp={name}` must be JSON, as in --hp={name}=128 or --hp={name}='\"relu\"', "
                f"got {value[:80]!r}."
            ) from None
    return found
