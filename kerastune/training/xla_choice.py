"""On a GPU: whether XLA compiles a network's train function, by a short trial of both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import tensorflow as tf

from kerastune.training.compiled_model import Compiled
from kerastune.training.segment_callback import CHUNK
from kerastune.trial import State, TrialSpec

Fit = Callable[[Compiled, TrialSpec, list], None]
SECONDS = 2.0  # that the trial of both takes, without the compilation


@dataclasses.dataclass(frozen=True)
class Timed:
    """What a step takes in milliseconds, without XLA and with it; infinite where it can't run."""

    without: float
    with_xla: float

    @property
    def is_quicker(self) -> bool:
        """Whether XLA is quicker.

        Example:
            >>> Timed(1.5, 1.2).is_quicker, Timed(1.5, float("inf")).is_quicker
            (True, False)
        """
        return self.with_xla < self.without

    def __str__(self) -> str:
        used = "on" if self.is_quicker else "off"
        return f"XLA {used} ({self.with_xla:.3g} ms a step with it, {self.without:.3g} without)"


class XlaChoice:
    """The choice for every compiled model of a trainer, made at its first long segment.

    Args:
        is_tried: whether there is anything to choose; by default where there is a GPU. There Keras
            takes XLA by itself, but for models that were compiled with `jit_compile=False`, which
            stay without.

    Example:
        >>> choice = XlaChoice()
        >>> choice.note(member, spec, trainer.fit)  # doctest: +SKIP
        'XLA on (1.2 ms a step with it, 1.9 without)'
    """

    def __init__(self, is_tried: Callable[[], bool] | None = None):
        self._is_tried = is_tried or (lambda: bool(tf.config.list_logical_devices("GPU")))
        self._known: set[int] = set()

    def note(self, member: Compiled, spec: TrialSpec, fit: Fit) -> str:
        """Chooses for a model, and says what was found; empty where nothing was tried.

        Args:
            member: whose state stays as it is.
            spec: that is trained next; a short one decides nothing.
            fit: trains a segment.
        """
        is_short = spec.until - spec.start < 2 * CHUNK
        is_settled = id(member) in self._known or not member.model.jit_compile
        if is_short or is_settled or not self._is_tried():
            return ""
        few = dataclasses.replace(spec, start=0, until=CHUNK, eval_every=0)
        self._known.add(id(member))
        before = member.state(0, float("nan"))
        timed = Timed(
            *(
                _milliseconds(member, before, jit, lambda: fit(member, few, []))
                for jit in (False, True)
            )
        )
        _switch(member, timed.is_quicker)
        member.restore(before)
        return str(timed)


def _milliseconds(member: Compiled, state: State, jit: bool, fit: Callable[[], None]) -> float:
    """What a step takes, once it is compiled; infinite for what XLA can't compile."""
    _switch(member, jit)
    member.restore(state)
    if member.recorder is not None:
        member.recorder.reset()
    steps, spent = 0, 0.0
    try:
        fit()
        while spent < SECONDS / 2:
            member.restore(state)
            member.recorder.reset()
            began = time.monotonic()
            fit()
            spent += time.monotonic() - began
            steps += CHUNK
    except (tf.errors.OpError, ValueError):
        if not jit:
            raise
        return float("inf")
    return 1000 * spent / steps


def _switch(member: Compiled, jit: bool) -> None:
    member.model.jit_compile = jit
    member.model.make_train_function(force=True)
