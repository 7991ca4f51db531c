"""Outcomes as a study stores them: a header, and curves that are read when they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerastune.analysis.trial_curves import Curves
from kerastune.study.array_codec import pack, unpack
from kerastune.trial import Outcome, TrialSpec

NORMS = ("norm_steps", "update_norms", "weight_norms")
BY_EXAMPLE = ("example_scores", "mirrored_scores")
# The study has the weights or it has not, so whether they are kept is not stored.
APART = ("curves", *BY_EXAMPLE, "weights_kept")
PLAIN = [field.name for field in dataclasses.fields(Outcome) if field.name not in APART]


@dataclasses.dataclass(frozen=True, eq=False)
class LazyCurves(Mapping[str, np.ndarray]):
    """Curves of a study, read whenever they are used, so that they take no memory.

    Args:
        steps: number of steps, which is known without reading.
        read: gives the curves.

    Example:
        >>> curves = LazyCurves(2, lambda: Curves({"loss": np.float32([2.5, 1.25])}))
        >>> curves.steps, curves["loss"].max()
        (2, np.float32(2.5))
    """

    steps: int
    read: Callable[[], Curves]

    def load(self) -> Curves:
        """The curves in memory.

        Raises:
            StudyError: when what is read is not what was written.
        """
        return self.read()

    def __getitem__(self, name: str) -> np.ndarray:
        return self.load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.load())

    def __len__(self) -> int:
        return len(self.load())

    def __reduce__(self):
        # Another process has the curves themselves: it can't read from this one's study.
        loaded = self.load()
        return Curves, (loaded.values, *(getattr(loaded, name) for name in NORMS))


def parts_of(outcome: Outcome) -> tuple[dict[str, Any], bytes, bytes]:
    """The header of a segment as plain values, its scores of examples and its curves as bytes."""
    plain = {name: getattr(outcome, name) for name in PLAIN}
    header = {**plain, "spec": outcome.spec.to_dict(), "steps": outcome.steps}
    found = {name: getattr(outcome, name) for name in BY_EXAMPLE}
    by_example = {name: scores for name, scores in found.items() if scores is not None}
    curves = outcome.curves.load()
    norms = {name: getattr(curves, name) for name in NORMS}
    values = {f"curve/{name}": each for name, each in curves.items()}
    return header, pack(by_example) if by_example else b"", pack(norms | values)


def from_parts(header: dict[str, Any], scores: bytes) -> tuple[Outcome, int]:
    """The outcome of a segment without curves and norms, and its number of steps."""
    values = {**header, "spec": TrialSpec.from_dict(header["spec"])}
    steps = values.pop("steps")
    for name in ("evals", "layers", "notes"):
        values[name] = tuple(values[name])
    return Outcome(curves={}, **(unpack(scores) if scores else {}), **values), steps


def joined(segments: Sequence[bytes]) -> Curves:
    """The curves of a trial from those of its segments in their order, as `parts_of` gave them."""
    parts = [_curves(unpack(each)) for each in segments]
    # Of a segment that failed there is nothing, whose shapes and names would not fit.
    whole, *others = [part for part in parts if part.steps] or parts[:1]
    for later in others:
        whole = later.after(whole)
    return whole


def _curves(arrays: dict[str, np.ndarray]) -> Curves:
    values = {
        name.removeprefix("curve/"): each for name, each in arrays.items() if name not in NORMS
    }
    return Curves(values, **{name: arrays[name] for name in NORMS})
