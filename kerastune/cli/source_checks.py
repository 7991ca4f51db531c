"""What flags alone tell to be wrong with data and model; `flag_checks` has the others."""

from __future__ import annotations

import dataclasses
import os

from absl import flags

from kerastune.data import sources
from kerastune.data.readers.asked import Asked
from kerastune.runtime import naming

FIELDS = tuple(field.name for field in dataclasses.fields(Asked))
BUILT_IN_MODELS = ("mlp", "cnn", "resnet", "series", "text")


def data(flag_values: flags.FlagValues) -> None:
    """`--data` is given and there, and `--label` and `--groups` name columns of it."""
    if not flag_values.data:
        raise ValueError(
            "`--data` is missing: name a data set, a file, a folder or module:function, "
            "e.g. --data=digits."
        )
    sources.check(flag_values.data, asked(flag_values))


def asked(flag_values: flags.FlagValues) -> Asked:
    """What the flags say of the data besides their name.

    Raises:
        ValueError: for types that are not written as column:type.
    """
    values = {name: flag_values[name].value for name in FIELDS}
    return Asked(**{**values, "types": dict(map(_typed, values["types"]))})


def _typed(text: str) -> tuple[str, str]:
    name, colon, kind = text.rpartition(":")
    if not (name and colon):
        raise ValueError(
            f"`--types` must be column:type, as in --types=zip:category,age:number, got {text!r}."
        )
    return name.strip(), kind.strip()


def model(flag_values: flags.FlagValues) -> None:
    """`--model` is a built-in network, or in a module that is there."""
    name = flag_values.model
    if ":" in name:
        naming.check_module(name, "model")
    elif name and name not in BUILT_IN_MODELS:
        hint = naming.did_you_mean(name, BUILT_IN_MODELS) or "."
        raise ValueError(
            f"`--model` ({name!r}) must be one of {', '.join(BUILT_IN_MODELS)} or module:name of "
            f"your own{hint}"
        )


def pretrained(flag_values: flags.FlagValues) -> None:
    """`--pretrained` is a file, or in a module that is there."""
    name = flag_values.pretrained
    if not name or os.path.isfile(name):
        return
    if ":" not in name:
        raise ValueError(
            f"`--pretrained` ({name!r}) is not there (looked in {os.getcwd()}): name a .keras "
            "file or module:function."
        )
    naming.check_module(name, "pretrained")
