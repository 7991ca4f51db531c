"""How many steps one call of the train function takes: fewer where steps are slow.

Nothing stops a training before such a call ends, so a budget in seconds holds only where calls are
short.
"""

from __future__ import annotations

import json
import math
import time

import keras
import tensorflow as tf

from kerastune.analysis import nested
from kerastune.problem import Problem
from kerastune.recipe import Recipe
from kerastune.training.compiled_model import Compiled
from kerastune.training.segment_callback import CHUNK

SMALLER = (10, 1)  # steps in one call, where `CHUNK` of them take too long
CALL_SECONDS = 2.5  # that a call may take
MOST_PASSES = 5  # of which the shortest is taken


class Paces:
    """Seconds per step of what was trained so far, by network and batch size."""

    def __init__(self):
        self._seconds: dict[tuple, list[float]] = {}

    def add(self, recipe: Recipe, seconds_per_step: float) -> None:
        """Takes in what a step of a segment took, without what tracing took."""
        self._seconds.setdefault(_key(recipe), []).append(seconds_per_step)

    def choose(self, member: Compiled, problem: Problem, recipe: Recipe) -> None:
        """Makes the calls of a model's train function short enough.

        A forward pass tells first, since a trial may be too long to wait for. Of what was traced,
        only what turns out too slow is traced again.
        """
        known = self._seconds.get(_key(recipe), [])
        seconds = min(known) if known else forward_seconds(member.model, problem, recipe.batch_size)
        member.run_at_once(min(steps_at_once(seconds), member.model.steps_per_execution))


def steps_at_once(seconds_per_step: float) -> int:
    """Steps in one call of the train function, a divisor of `CHUNK`.

    Example:
        >>> [steps_at_once(seconds) for seconds in (0.04, 0.2, 0.5)]
        [50, 10, 1]
    """
    fitting = (steps for steps in (CHUNK, *SMALLER) if steps * seconds_per_step <= CALL_SECONDS)
    return next(fitting, SMALLER[-1])


def forward_seconds(model: keras.Model, problem: Problem, batch_size: int) -> float:
    """Seconds of one forward pass of a batch, the least that a step takes; nothing is traced.

    The shortest of a few: the first one may load code, and other programs may stall any of them.
    """
    batch = nested.mapped(lambda array: array[:batch_size], problem.validation.x)
    batch, shortest = keras.tree.map_structure(tf.convert_to_tensor, batch), math.inf
    for _ in range(MOST_PASSES):
        began = time.monotonic()
        model(batch, training=False)
        shortest = min(shortest, time.monotonic() - began)
        if steps_at_once(shortest) == CHUNK:
            break
    return shortest


def _key(recipe: Recipe) -> tuple:
    return json.dumps(recipe.hyperparameters, sort_keys=True), recipe.batch_size
