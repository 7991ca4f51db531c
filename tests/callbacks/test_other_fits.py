"""Callbacks in fits with gradient accumulation, several outputs, or a scheduler beside them."""

import keras
import numpy as np
import pytest
from test_callbacks import scalars

from kerastune.callbacks import LinearDecay, StepLogger
from kerastune.training.optimizers import step_counter

X = np.random.default_rng(7).normal(size=[240, 3]).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def model(**options):
    made = keras.Sequential([keras.Input([3]), keras.layers.Dense(2, "softmax")])
    made.compile(keras.optimizers.Adam(0.02, **options), "sparse_categorical_crossentropy")
    return made


class Rates(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate))


@pytest.mark.parametrize("accumulated", [None, 3])
def test_a_step_is_a_batch_whatever_is_accumulated(accumulated, tmp_path):
    made, rates = model(gradient_accumulation_steps=accumulated), Rates()
    given = [LinearDecay(60, interval=1), rates, StepLogger(tmp_path)]
    made.fit(X, Y, batch_size=4, epochs=1, verbose=0, callbacks=given)
    np.testing.assert_allclose(rates.seen, 0.02 * (1 - np.arange(60) / 60), rtol=1e-4)
    assert int(step_counter(made.optimizer).numpy()) == 60
    steps = scalars(tmp_path)["step/loss"][0]
    assert steps == list(range(steps[0], steps[0] + 60))
    made.fit(X, Y, batch_size=4, epochs=1, verbose=0, callbacks=[StepLogger(tmp_path / "on")])
    assert scalars(tmp_path / "on")["step/loss"][0][0] == steps[0] + 60


def test_a_scheduler_beside_a_decay_is_told_of_once(caplog):
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5)
    model().fit(X, Y, epochs=3, verbose=0, callbacks=[scheduler, LinearDecay(90, interval=1)])
    told = [each for each in caplog.messages if "LinearDecay sets the learning rate" in each]
    assert len(told) == 1
    caplog.clear()
    model().fit(X, Y, epochs=2, verbose=0, callbacks=[LinearDecay(60, interval=1)])
    assert not caplog.messages


def test_several_outputs_are_logged_without_a_macro_f1(tmp_path):
    inputs = keras.Input([3])
    outputs = {name: keras.layers.Dense(2, "softmax", name=name)(inputs) for name in ("a", "b")}
    made = keras.Model(inputs, outputs)
    made.compile("adam", {name: "sparse_categorical_crossentropy" for name in outputs})
    made.fit(X, {"a": Y, "b": Y}, verbose=0, callbacks=[StepLogger(tmp_path)])
    assert len(scalars(tmp_path)["step/loss"][0]) == 8


class Interrupts(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 6:
            raise KeyboardInterrupt


def test_an_interrupted_fit_has_every_step_logged_at_the_end_of_the_program(tmp_path, monkeypatch):
    called_at_exit = []
    monkeypatch.setattr("atexit.register", called_at_exit.append)
    made, logger = model(), StepLogger(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, batch_size=8, verbose=0, callbacks=[logger, Interrupts()])
    called_at_exit[-1]()
    assert scalars(tmp_path)["step/loss"][0] == list(range(7))
    made.fit(X, Y, batch_size=8, verbose=0, callbacks=[logger])
    assert scalars(tmp_path)["step/loss"][0] == list(range(37))
