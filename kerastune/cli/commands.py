"""The commands, a row each: what they are for, which flags they use, and what runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from absl import flags

from kerastune.cli import running
from kerastune.cli.command_flags import RECIPE_FLAGS
from kerastune.recipe import Recipe

DATA = ("data", "label", "kind", "image_size", "standardize")
MODEL = ("model", "hp", "precision")
SEARCH = ("pretrained", "objective", "overwrite", "keep", "output_dir", "refit", "budget")
EXECUTION = ("executor", "jobs", "ray_address", "gpu_memory_growth")
RECIPE = tuple(flag.name for flag in RECIPE_FLAGS if flag.name != "hp")
TRAINING = (*DATA, *MODEL, *SEARCH, *EXECUTION, *RECIPE)
MEMBERS = ("members", "member_folds", "tta")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: as it is typed.
        help: one line.
        run: given the parsed flags and the recipe that they describe, gives the exit status.
        flags: names of the flags that it uses.
        examples: two command lines.
        needs: names of the flags that must be given.
        is_light: whether it trains nothing, reads one output directory, and checks no recipe.
    """

    name: str
    help: str
    run: Callable[[flags.FlagValues, Recipe], int]
    flags: tuple[str, ...]
    examples: tuple[str, str]
    needs: tuple[str, ...] = ("data",)
    is_light: bool = False


_ROWS = (
    Command(
        "tune",
        "find a training recipe for a model and data, and train it",
        running.tune,
        (*TRAINING, *MEMBERS, "stages", "baseline", "ensemble", "sparsity", "trained", "teacher"),
        (
            "kerastune tune --data=digits --output_dir=digits-out",
            "kerastune tune --data=people.csv --label=income --budget=4m --output_dir=people-out",
        ),
    ),
    Command(
        "probe",
        "suggest a learning rate from 60 batches",
        running.probe,
        TRAINING,
        (
            "kerastune probe --data=fashion_mnist --model=cnn",
            "kerastune probe --data=my.npz --model=my_module:build --batch_size=128",
        ),
    ),
    Command(
        "train",
        "train the recipe of a flagfile",
        running.train,
        TRAINING,
        (
            "kerastune train --flagfile=digits-out/best.flags --output_dir=again",
            "kerastune train --data=wine --learning_rate=0.03 --total_steps=500",
        ),
    ),
    Command(
        "ensemble",
        "train the recipe of a flagfile with several seeds, and average them where that helps",
        running.ensemble,
        (*TRAINING, *MEMBERS),
        (
            "kerastune ensemble --flagfile=digits-out/best.flags --output_dir=more",
            "kerastune ensemble --flagfile=digits-out/best.flags --members=5 --output_dir=five",
        ),
    ),
    Command(
        "crossval",
        "train the recipe of a flagfile on k folds, and score it on what each leaves out",
        running.crossval,
        (
            *(*DATA, *MODEL, *RECIPE, "groups", "folds", "repeats", "objective", "overwrite"),
            *("output_dir", "gpu_memory_growth"),
        ),
        (
            "kerastune crossval --flagfile=digits-out/best.flags --folds=5 --output_dir=folds",
            "kerastune crossval --data=visits.csv --label=ill --groups=patient --output_dir=folds",
        ),
    ),
    Command(
        "prune",
        "set the smallest weights of a trained model to zero, as many as validation allows",
        running.prune,
        (*TRAINING, "trained", "sparsity"),
        (
            "kerastune prune --trained=digits-out --sparsity=0.5,0.8,0.9 --output_dir=pruned",
            "kerastune prune --flagfile=digits-out/best.flags --output_dir=pruned",
        ),
    ),
    Command(
        "distill",
        "train the recipe of a flagfile with a teacher, and keep the teacher where it helps",
        running.distill,
        (*TRAINING, "teacher"),
        (
            "kerastune distill --flagfile=small-out/best.flags --teacher=big.keras",
            "kerastune distill --data=digits --model=mlp --teacher=big.keras --output_dir=taught",
        ),
        ("data", "teacher"),
    ),
    Command(
        "export",
        "export the final model for TensorFlow Serving, or as .keras, ONNX or LiteRT",
        running.export,
        (
            *DATA,
            "model",
            "output_dir",
            "export_dir",
            "format",
            "ensemble",
            "tta",
            "gpu_memory_growth",
        ),
        (
            "kerastune export --output_dir=digits-out",
            "kerastune export --output_dir=digits-out --format=litert --noensemble",
        ),
        ("output_dir",),
    ),
    Command(
        "status",
        "show how far a search is, from another terminal or after it",
        running.status,
        ("output_dir",),
        (
            "kerastune status --output_dir=digits-out",
            "watch kerastune status --output_dir=digits-out",
        ),
        ("output_dir",),
        is_light=True,
    ),
    Command(
        "report",
        "write report.html and report.md of a search again",
        running.report,
        ("output_dir",),
        (
            "kerastune report --output_dir=digits-out",
            "kerastune report --output_dir=folds",
        ),
        ("output_dir",),
        is_light=True,
    ),
)
COMMANDS = {command.name: command for command in _ROWS}
