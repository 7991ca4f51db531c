"""A network is taken for slow only where every look says so."""

import math

import numpy as np
import pytest

from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe
from kerastune.training import pace
from kerastune.training.segment_callback import CHUNK

PART = Part(np.zeros([8, 2], np.float32), np.arange(8) % 2)
PROBLEM = Problem("toy", "classification", PART, PART, class_names=("a", "b"))


class Member:
    """Stands for a compiled model; a forward pass takes the next of some seconds."""

    def __init__(self, *seconds):
        self.clock, self.seconds, self.chunk = 0.0, list(seconds), CHUNK
        self.model = self
        self.switched = 0

    def __call__(self, batch, training):
        self.clock += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]

    @property
    def steps_per_execution(self):
        return self.chunk

    def run_at_once(self, steps):
        self.switched += steps != self.chunk
        self.chunk = steps


def chosen(monkeypatch, member, *paces):
    monkeypatch.setattr(pace.time, "monotonic", lambda: member.clock)
    paces_so_far = pace.Paces()
    for each in paces:
        paces_so_far.add(Recipe(), each)
    paces_so_far.choose(member, PROBLEM, Recipe())
    return member.chunk


@pytest.mark.parametrize(
    "seconds, chunk", [((0.001,), 50), ((0.9, 0.2, 0.01), 50), ((0.3,), 1), ((0.9, 0.1), 10)]
)
def test_forward_passes_tell_before_anything_is_trained(monkeypatch, seconds, chunk):
    assert chosen(monkeypatch, Member(*seconds)) == chunk


def test_what_was_trained_tells_more_and_nothing_is_traced_twice(monkeypatch):
    assert chosen(monkeypatch, Member(math.inf), 0.01) == CHUNK
    assert chosen(monkeypatch, Member(math.inf), 9.0, 0.1) == 10
    quick = Member(0.3)
    assert chosen(monkeypatch, quick) == 1
    assert chosen(monkeypatch, quick, 0.001, 0.001) == 1 and quick.switched == 1
