"""The arguments of Keras's `fit` that `search` takes: what each means when kerastune trains."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerastune.tuner.idioms import arguments
from kerastune.tuner.settings import Settings

REFUSED = {
    "steps_per_epoch": "steps are the only clock, and the budget says how many there are",
    "initial_epoch": "kerastune goes on from its own study",
    "validation_steps": "all validation examples are evaluated: give fewer in validation_data",
    "validation_freq": "how often is evaluated follows from the number of validation examples",
}
NAMES = ("epochs", "batch_size", "validation_split", "validation_batch_size", "shuffle")


@dataclasses.dataclass(frozen=True)
class FitArguments:
    """What `search` was told about trainings, as `fit` has it.

    Args:
        epochs: of any training, at most.
        batch_size: of every training; `None` where it is tuned.
        validation_split: fraction of the examples, the last ones, that are the validation part.
        validation_batch_size: taken, and nothing more: it changes no value.
        shuffle: whether the examples are drawn at random.

    Raises:
        ValueError: for a value that is out of range.

    Example:
        >>> FitArguments(epochs=20).batch_size is None
        True
    """

    epochs: int | None = None
    batch_size: int | None = None
    validation_split: float | None = None
    validation_batch_size: int | None = None
    shuffle: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "validation_batch_size"):
            arguments.at_least_one(name, getattr(self, name))
        split = self.validation_split
        is_number = isinstance(split, numbers.Real) and not isinstance(split, bool)
        if split is not None and not (is_number and 0 <= split < 1):
            raise ValueError(
                f"`validation_split` must be a fraction in [0, 1), as 0.2, got {split!r}."
            )
        if not isinstance(self.shuffle, bool):
            raise ValueError(f"`shuffle` must be True or False, got {self.shuffle!r}.")

    def applied(self, settings: Settings) -> Settings:
        """The settings of one search: at most so many epochs, the batch size fixed."""
        limits = settings.limits
        known = [epochs for epochs in (self.epochs, limits.epochs) if epochs is not None]
        limits = dataclasses.replace(limits, epochs=min(known, default=None))
        changed = dataclasses.replace(settings, limits=limits)
        return changed if self.batch_size is None else changed.of_batch_size(self.batch_size)

    def cut(self, x: Any, y: Any, validation_data: Any, weight: Any) -> tuple[Any, Any, Any, Any]:
        """The validation part cut off, as `fit` does it: the last examples, before any shuffling.

        Args:
            x: inputs, arrays or nested ones.
            y: targets; `None` where there are none.
            validation_data: as it was given; then nothing is cut off.
            weight: of every example, or `None`.

        Returns:
            The same four, for training and validation.

        Raises:
            ValueError: for what has no length, or where a part would be empty.

        Example:
            >>> x, y, validation, _ = FitArguments(validation_split=0.25).cut(
            ...     np.eye(4), np.arange(4), None, None
            ... )
            >>> y.tolist(), validation[1].tolist()
            ([0, 1, 2], [3])
        """
        if not self.validation_split or validation_data is not None:
            return x, y, validation_data, weight
        given = [_sliceable(part) for part in (x, y, weight)]
        leaves = keras.tree.flatten(given[0])
        if not all(hasattr(leaf, "shape") for leaf in leaves):
            raise ValueError(
                f"`validation_split` ({self.validation_split}) is for arrays, got "
                f"{type(leaves[0] if leaves else x).__name__}: pass validation_data."
            )
        count = int(leaves[0].shape[0])
        begin = int(count * (1 - self.validation_split))
        if not 0 < begin < count:
            raise ValueError(
                f"`validation_split` ({self.validation_split}) of {count} examples leaves a part "
                "empty: pass validation_data."
            )
        train = [_mapped(lambda leaf: leaf[:begin], part) for part in given]
        held_out = [_mapped(lambda leaf: leaf[begin:], part) for part in given]
        validation = tuple(held_out if weight is not None else held_out[:2])
        return train[0], train[1], validation, train[2]


def taken(given: dict[str, Any]) -> FitArguments:
    """Takes the arguments of `fit` out of those that `search` was given.

    Raises:
        ValueError: for one that kerastune decides itself, or a value that is out of range.

    Example:
        >>> given = {"epochs": 5, "verbose": 0}
        >>> taken(given).epochs, given
        (5, {'verbose': 0})
    """
    for name, why in REFUSED.items():
        if given.pop(name, None) is not None:
            raise ValueError(f"`{name}` can't be given to search: {why}.")
    named = {name: given.pop(name) for name in NAMES if name in given}
    return FitArguments(**named)


def _sliceable(part: Any) -> Any:
    """Lists of plain numbers or texts as arrays; everything else as it is."""
    is_plain = isinstance(part, (list, tuple)) and part and np.ndim(part[0]) == 0
    return np.asarray(part) if is_plain and not hasattr(part[0], "shape") else part


def _mapped(take: Callable[[Any], Any], part: Any) -> Any:
    return None if part is None else keras.tree.map_structure(take, part)
