"""What flags alone can tell is refused here, before anything heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from kerastune.budget import Budget
from kerastune.cli.command_flags import BY_NAME, recipe_of
from kerastune.cli.commands import COMMANDS, Command
from kerastune.data import sources
from kerastune.playbook.stages import registry
from kerastune.runtime import naming
from kerastune.study import run_directory

NETWORKS = ("mlp", "cnn", "resnet")
ASKED = {
    "data": "name a data set, .npz, .csv, image folder or module:function, as in --data=digits",
    "output_dir": "name the output directory of a search, as in --output_dir=digits-out",
    "teacher": "name a .keras model of the same data, as in --teacher=digits-out/ensemble.keras",
}


def check_used(command: Command, arguments: Sequence[str]) -> None:
    """Refuses a flag on the command line that the command does not use.

    Flagfiles may hold any flag, so that every command reads the `best.flags` of a search.

    Raises:
        ValueError: naming the commands that use it.
    """
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        is_off = name.startswith("no") and name[2:] in BY_NAME and BY_NAME[name[2:]].kind == "bool"
        name = name[2:] if is_off else name
        if not argument.startswith("-") or name not in BY_NAME or name in command.flags:
            continue
        users = [each.name for each in COMMANDS.values() if name in each.flags]
        raise ValueError(
            f"`--{name}` has no use here; it is a flag of kerastune {' and '.join(users)}."
        )


def check_given(command: Command, flag_values: flags.FlagValues) -> None:
    """Refuses values that can't be used, as far as they can be judged without the data.

    Raises:
        ValueError: for a value that is missing, unknown or out of range.
        FileNotFoundError: for a file or directory that is not there.
    """
    for name in command.needs:
        if not flag_values[name].value:
            raise ValueError(f"`--{name}` is missing: {ASKED[name]}.")
    if command.is_light:
        return
    if flag_values.groups and "groups" not in command.flags:
        raise ValueError(
            f"`--groups` ({flag_values.groups!r}) is for crossval; the other commands split "
            "examples at random."
        )
    recipe_of(flag_values)
    Budget.parse(flag_values.budget)
    registry.check(flag_values.stages)
    if command.name == "export":
        return
    sources.check(flag_values.data, flag_values.label, flag_values.groups)
    _check_model(flag_values)
    if flag_values.teacher:
        _check_file("teacher", flag_values.teacher, "a .keras model")
    if flag_values.trained and not run_directory.RunDir(flag_values.trained).study.is_file():
        raise FileNotFoundError(
            f"`--trained` ({flag_values.trained}) is no output directory of a search: it has no "
            "study.sqlite."
        )


def _check_model(flag_values: flags.FlagValues) -> None:
    pretrained, model = flag_values.pretrained, flag_values.model
    if pretrained:
        if ":" in pretrained:
            naming.check_module("pretrained", pretrained)
        else:
            _check_file("pretrained", pretrained, "a .keras model or module:function")
    elif ":" in model:
        naming.check_module("model", model)
    elif model and model not in NETWORKS:
        hint = naming.did_you_mean(model, NETWORKS)
        raise ValueError(
            f"`--model` ({model!r}) must be one of {', '.join(NETWORKS)} or module:name of your "
            f"own{hint}."
        )


def _check_file(name: str, path: str, what: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`--{name}` must name {what}, got {path!r}, which is no file.")


def check_output_dir(path: Path) -> None:
    """Refuses an output directory whose name is not one, or that can't be written.

    Raises:
        ValueError: for its name.
        PermissionError: where it, or the directory that it would be made in, can't be written.
    """
    if not run_directory.NAME.fullmatch(path.name):
        raise ValueError(
            "`--output_dir` must end in 1 to 64 letters, digits, `.`, `_` or `-`, got "
            f"{str(path)!r}."
        )
    there = path
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(f"`--output_dir` ({path}): {there} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"`--output_dir` ({path}): {there} can't be written.")
