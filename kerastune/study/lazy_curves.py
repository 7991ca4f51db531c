"""Outcomes as a study stores them: a header that is read at once, and curves that stay on disk
until they are used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerastune.study.array_codec import pack, unpack
from kerastune.trial import Outcome, TrialSpec

NORMS = ("norm_steps", "update_norms", "weight_norms")
STORED = ("curves", *NORMS)  # fields that are read when they are used
BY_EXAMPLE = ("example_scores", "mirrored_scores")
KEPT = "weights_kept"  # is not stored: the study has them, or it has not
PLAIN = [
    field for field in dataclasses.fields(Outcome) if field.name not in (*STORED, *BY_EXAMPLE, KEPT)
]


class StoredOutcome(Outcome):
    """An outcome whose curves and norms are read from the study whenever they are used, so that it
    takes no memory.

    `dataclasses.replace` gives one that holds them; `timed` one that does not.
    """

    @classmethod
    def of(cls, outcome: Outcome, steps: int, read: Callable[[], dict[str, Any]]) -> StoredOutcome:
        """An outcome with these plain values; `read` gives its curves and norms by field."""
        made = cls.__new__(cls)
        vars(made).update(
            {name: value for name, value in vars(outcome).items() if name not in STORED}
        )
        vars(made).update(_steps=steps, _read=read)
        return made

    def __getattr__(self, name: str) -> Any:
        # Python asks here for what is not there.
        if name in STORED and "_read" in vars(self):
            return self._read()[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self):
        return _held, (
            {field.name: getattr(self, field.name) for field in dataclasses.fields(Outcome)},
        )

    @property
    def steps(self) -> int:
        """Number of steps trained so far."""
        return self._steps if "_steps" in vars(self) else len(self.curves["loss"])

    def timed(self, seconds_per_step: float) -> Outcome:
        """The same outcome with other seconds per step."""
        if "_read" not in vars(self):
            return super().timed(seconds_per_step)
        made = self.of(self, self._steps, self._read)
        vars(made).update(seconds_per_step=seconds_per_step)
        return made


def _held(values: dict[str, Any]) -> Outcome:
    return Outcome(**values)


def parts_of(outcome: Outcome) -> tuple[dict[str, Any], bytes, bytes]:
    """The header of a segment as plain values, its scores of examples and its curves as bytes."""
    plain = {field.name: getattr(outcome, field.name) for field in PLAIN}
    header = {**plain, "spec": outcome.spec.to_dict(), "steps": outcome.steps}
    by_example = {
        name: values for name in BY_EXAMPLE if (values := getattr(outcome, name)) is not None
    }
    scores = pack(by_example) if by_example else b""
    norms = {name: getattr(outcome, name) for name in NORMS}
    return (
        header,
        scores,
        pack(norms | {f"curve/{name}": values for name, values in outcome.curves.items()}),
    )


def from_parts(header: dict[str, Any], scores: bytes) -> tuple[Outcome, int]:
    """The outcome of a segment without curves and norms, and its number of steps."""
    values = {**header, "spec": TrialSpec.from_dict(header["spec"])}
    steps = values.pop("steps")
    for name in ("evals", "layers", "notes"):
        values[name] = tuple(values[name])
    return Outcome(curves={}, **(unpack(scores) if scores else {}), **values), steps


def joined(segments: Sequence[bytes]) -> dict[str, Any]:
    """Curves and norms by field, of a trial's segments in their order, as `parts_of` gave them."""
    parts = [unpack(each) for each in segments]
    # Of a segment that failed there is nothing, whose shapes and names would not fit.
    parts = [part for part in parts if len(part["curve/loss"])] or parts[:1]
    whole = {name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else parts[0][name]
             for name in parts[-1]}  # fmt: skip
    curves = {name[len("curve/") :]: values for name, values in whole.items() if name not in NORMS}
    return {"curves": curves, **{name: whole[name] for name in NORMS}}
