"""A search ends with a model, or fails with one line."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune import PlaybookTuner
from kerastune.playbook.decision import Decision
from kerastune.playbook.ensemble_values import EnsembleValues
from kerastune.playbook.stages.train import TrainValues
from kerastune.recipe import Recipe
from kerastune.training.pace import CALL_SECONDS, steps_at_once
from kerastune.training.segment_callback import CHUNK
from kerastune.tuner import oracle

X = np.random.default_rng(4).normal(size=(300, 5)).astype("float32")
Y = X[:, :3].argmax(axis=1)
SECONDS = 0.25


def searched(directory, build, budget, **settings):
    tuner = PlaybookTuner(build, budget=budget, directory=directory, **settings)
    began = time.monotonic()
    tuner.search(X, Y, verbose=0)
    return tuner, time.monotonic() - began


@keras.saving.register_keras_serializable()
class Slow(layers.Layer):
    def call(self, x):
        def wait(values):
            time.sleep(SECONDS)
            return values

        return x + 0 * tf.ensure_shape(
            tf.py_function(wait, [tf.stop_gradient(x)], x.dtype), x.shape
        )


def slow(hp):
    network = [keras.Input([5]), Slow(), layers.Dense(8, "relu"), layers.Dense(3, "softmax")]
    model = keras.Sequential(network)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def lost(hp):
    model = keras.Sequential([keras.Input([5]), layers.Dense(3, "softmax")])
    model.compile("adam", lambda true, given: tf.reduce_mean(given, -1) * np.nan)
    return model


def test_slow_steps_end_in_time_with_a_model(tmp_path):
    # 50 steps, which one call of the train function takes else, would be 12 s.
    tuner, seconds = searched(tmp_path, slow, "8s", ensemble=False, tta=False)
    assert tuner.run_dir.model.is_file() and tuner.get_best_models()
    assert tuner.result["not_tuned"].startswith("Not tuned: 8 s")
    assert "tuned recipe" not in tuner.run_dir.report.read_text()
    assert "trained by kerastune" in tuner.run_dir.report.read_text()
    assert seconds < 8 + CHUNK * SECONDS


def test_where_every_learning_rate_diverges_the_search_fails_with_one_line(tmp_path):
    with pytest.raises(ValueError, match="stage train: No final model.* diverged at step 0"):
        searched(tmp_path, lost, "1500steps", ensemble=False, tta=False)
    assert list(tmp_path.rglob("report.html"))


def test_a_step_is_not_waited_for_fifty_times_where_it_is_slow():
    assert steps_at_once(0.0) == steps_at_once(0.01) == CHUNK
    for pace in (0.1, 0.3, 2.0):
        assert CHUNK % steps_at_once(pace) == 0
        assert steps_at_once(pace) * pace <= CALL_SECONDS


def test_a_stage_that_had_nothing_to_choose_from_takes_no_choice_back():
    made = [
        Decision("train", Recipe(), Recipe(), "kept", "no numbers", (), TrainValues("train-50")),
        Decision("ensemble", Recipe(), Recipe(), "kept", "no numbers", (), EnsembleValues()),
    ]
    assert oracle.chosen_trial(made) == "train-50" and oracle.chosen_trial(made[1:]) is None
