"""The validation value that chooses, and the evaluation of a training that it picks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Objective:
    """The validation value that chooses, and its direction.

    Args:
        name: as Keras logs it, without `val_`: `"accuracy"`, `"loss"` …
        direction: `"max"` or `"min"`.

    Raises:
        ValueError: for another direction.

    Example:
        >>> Objective("loss", "min").gain(0.5)
        -0.5
    """

    name: str
    direction: str

    def __post_init__(self):
        if self.direction not in ("max", "min"):
            raise ValueError(
                f"the direction of `{self.name}` must be max or min, got {self.direction!r}."
            )

    @classmethod
    def parse(cls, text: str) -> Objective:
        """The objective of a text such as `"val_accuracy:max"`.

        Raises:
            ValueError: when the direction is missing, or the value is not of the validation part.
        """
        name, _, direction = text.partition(":")
        if direction not in ("max", "min"):
            raise ValueError(
                f"`objective` ({text!r}) needs its direction: write {name}:max or {name}:min."
            )
        if not name.startswith("val_"):
            raise ValueError(
                f"`objective` must be a validation value: write val_{text}, got {text!r}."
            )
        return cls(name[4:], direction)

    @property
    def words(self) -> str:
        """What people call it.

        Example:
            >>> Objective("macro_f1", "max").words, Objective("top_5", "max").words
            ('macro-F1', 'top 5')
        """
        return "macro-F1" if self.name == "macro_f1" else self.name.replace("_", " ")

    def gain(self, value: float) -> float:
        """The value, or its negative, so that larger is better."""
        return value if self.direction == "max" else -value


def best_evaluation(evals: Sequence[dict], objective: Objective) -> dict | None:
    """The evaluation with the best objective; among equals the lowest loss, then the first.

    Evaluations whose objective is not finite are passed over; `None` when nothing is left.

    Raises:
        ValueError: when the objective is not among the values.
    """
    for values in evals:
        if objective.name not in values:
            known = ", ".join(name for name in values if name != "step")
            raise ValueError(
                f"the objective `{objective.name}` is not among the validation values; they are: "
                f"{known}."
            )
    sound = [values for values in evals if np.isfinite(values[objective.name])]
    if not sound:
        return None
    return max(
        sound, key=lambda values: (objective.gain(values[objective.name]), -values.get("loss", 0.0))
    )


def kept_evaluation(evals: Sequence[dict], objective: Objective, is_last: bool) -> dict | None:
    """The evaluation whose weights a training keeps: the best one, or the last one of a training
    that is nothing before its end, as one that prunes.

    Also where the learning rate decays: on recorded runs (`runs/replay.py`) the best of about
    twelve evaluations is 0.5 to 3 points better on the test part than the last one on small
    tables, series and texts, which overfit by then, and about as good on images. `None` when no
    objective is finite.

    Raises:
        ValueError: when the objective is not among the values.

    Example:
        >>> evals = [{"step": 50, "loss": 0.2}, {"step": 100, "loss": 0.3}]
        >>> objective = Objective("loss", "min")
        >>> [kept_evaluation(evals, objective, is_last)["step"] for is_last in (False, True)]
        [50, 100]
    """
    best = best_evaluation(evals, objective)
    if best is None or not is_last:
        return best
    return next(values for values in reversed(evals) if np.isfinite(values[objective.name]))
