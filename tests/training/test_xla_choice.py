"""XLA or not: the quicker one is taken, and the model is left as it was."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.objective import Objective
from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe
from kerastune.training import xla_choice
from kerastune.training.trainer import Trainer
from kerastune.training.xla_choice import Timed, XlaChoice
from kerastune.trial import TrialSpec

X = np.random.default_rng(1).normal(size=(200, 4)).astype("float32")
PART = Part(X, (X[:, 0] > 0).astype("int64"))
PROBLEM = Problem("toy", "classification", PART, PART, class_names=("a", "b"))
SPEC = TrialSpec("a", "lr", Recipe(batch_size=20, decay="none", total_steps=100), 0, 100)


def trained(choice=None, **compiled):
    def build(hyperparameters):
        model = keras.Sequential([keras.Input([4]), layers.Dense(8, "relu"), layers.Dense(2)])
        if compiled:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("sgd", loss, **compiled)
        return model

    trainer = Trainer(PROBLEM, build, Objective("loss", "min"))
    trainer.xla = choice or trainer.xla
    return trainer.run(SPEC)[0], trainer.compiled(SPEC.recipe).model


def test_on_a_cpu_nothing_is_tried():
    outcome, model = trained()
    assert outcome.notes == () and model.jit_compile is False


@pytest.mark.parametrize("quicker", [True, False])
def test_the_quicker_one_is_taken_recorded_and_the_training_is_the_same(monkeypatch, quicker):
    monkeypatch.setattr(xla_choice, "SECONDS", 0.02)
    times = {False: 2.0, True: 1.0 if quicker else 3.0}
    measured = xla_choice._milliseconds
    monkeypatch.setattr(
        xla_choice,
        "_milliseconds",
        lambda member, state, jit, fit: measured(member, state, jit, fit) and times[jit],
    )
    outcome, model = trained(XlaChoice(lambda: True), jit_compile=True)
    assert outcome.notes == (str(Timed(2.0, times[True])),) and model.jit_compile is quicker
    np.testing.assert_allclose(outcome.losses, trained(jit_compile=False)[0].losses, rtol=1e-4)


def test_what_a_user_compiled_stays_and_what_xla_cannot_compile_is_off(monkeypatch):
    outcome, model = trained(XlaChoice(lambda: True), jit_compile=False)
    assert outcome.notes == () and model.jit_compile is False
    assert not Timed(1.0, float("inf")).is_quicker and "XLA off" in str(Timed(1.0, float("inf")))
