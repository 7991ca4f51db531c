"""Keyword arguments of `PlaybookTuner` that few searches need: KerasTuner's, and some of ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict

import keras

from kerastune.playbook import retention
from kerastune.playbook.stages.ensemble import MEMBERS
from kerastune.playbook.stages.prune import SPARSITIES
from kerastune.tuner.idioms import arguments


class Further(TypedDict, total=False):
    """By name; `PlaybookTuner` says what each of them does."""

    max_epochs: int | None
    executions_per_trial: int
    loss: Any
    metrics: Any
    max_model_size: int | None
    baseline: bool
    members: int
    member_folds: int
    sparsities: Sequence[float]
    trained: str | os.PathLike | None
    teacher: keras.Model | None
    keep: int
    ray_address: str


DEFAULTS = Further(
    max_epochs=None,
    executions_per_trial=1,
    loss=None,
    metrics=None,
    max_model_size=None,
    baseline=True,
    members=MEMBERS,
    member_folds=0,
    sparsities=SPARSITIES,
    trained=None,
    teacher=None,
    keep=retention.KEEP,
    ray_address="",
)
COUNTS = ("max_epochs", "executions_per_trial", "max_model_size")


def taken(given: dict[str, Any], known: Sequence[str]) -> Further:
    """All of these arguments, those that were not given by default.

    Args:
        given: keyword arguments by name, of these, of KerasTuner's or of nobody's.
        known: names of the other arguments that there are.

    Raises:
        ValueError: for a number below 1, and as `arguments.refuse`.

    Example:
        >>> taken({"members": 4}, [])["members"], taken({}, [])["keep"]
        (4, 20)
        >>> taken({"max_epoch": 4}, ["budget"])
        Traceback (most recent call last):
        ValueError: PlaybookTuner has no argument `max_epoch`; did you mean `max_epochs`?
    """
    others = {name: value for name, value in given.items() if name not in DEFAULTS}
    arguments.refuse(others, [*known, *DEFAULTS])
    found = {name: given.get(name, default) for name, default in DEFAULTS.items()}
    for name in COUNTS:
        arguments.at_least_one(name, found[name])
    return Further(**found)
