"""The curves of a trial: what was measured at its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np


def _no_norms() -> np.ndarray:
    return np.zeros([0, 0], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Curves(Mapping[str, np.ndarray]):
    """What was measured at the steps of a trial: by name, the true values of every step.

    A study gives `LazyCurves` in their place, which are read whenever they are used.

    Args:
        values: of every step by name (`"loss"`, `"accuracy"` …), float32 `[steps]`.
        norm_steps: steps at which norms were measured, int64 `[k]`.
        update_norms: L2 norm of each layer's update, float32 `[k, layers]`.
        weight_norms: L2 norm of each layer's weights before the update, float32 `[k, layers]`.

    Example:
        >>> curves = Curves({"loss": np.float32([2.5, 1.25])})
        >>> curves.steps, list(curves), curves["loss"].max()
        (2, ['loss'], np.float32(2.5))
    """

    values: dict[str, np.ndarray]
    norm_steps: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    update_norms: np.ndarray = dataclasses.field(default_factory=_no_norms)
    weight_norms: np.ndarray = dataclasses.field(default_factory=_no_norms)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.values["loss"])

    def load(self) -> Curves:
        """These curves, which are in memory already."""
        return self

    def after(self, earlier: Curves) -> Curves:
        """These curves joined to those of the steps before them."""
        pairs = {name: (earlier[name], values) for name, values in self.values.items()}
        return Curves(
            {name: np.concatenate(pair) for name, pair in pairs.items()},
            norm_steps=np.concatenate([earlier.norm_steps, self.norm_steps]),
            update_norms=np.concatenate([earlier.update_norms, self.update_norms]),
            weight_norms=np.concatenate([earlier.weight_norms, self.weight_norms]),
        )
