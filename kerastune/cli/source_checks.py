"""What flags alone tell to be wrong with data and model; `flag_checks` has the others."""

from __future__ import annotations

import os

from absl import flags

from kerastune.data import sources
from kerastune.runtime import naming

BUILT_IN_MODELS = ("mlp", "cnn", "resnet", "series")


def data(flag_values: flags.FlagValues) -> None:
    """`--data` is given and there, and `--label` and `--groups` name columns of it."""
    if not flag_values.data:
        raise ValueError(
            "`--data` is missing: name a data set, a file, a folder or module:function, "
            "e.g. --data=digits."
        )
    sources.check(flag_values.data, flag_values.label, flag_values.groups)


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
