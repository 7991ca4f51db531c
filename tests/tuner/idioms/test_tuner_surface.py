"""Attributes, hooks and directories as users of KerasTuner's tuners know them."""

import keras
import keras_tuner
import numpy as np
import pytest

from kerastune import PlaybookTuner
from kerastune.study.database import StudyError

X = np.random.default_rng(2).normal(size=[120, 3]).astype("float32")


def build(hp):
    layers = [keras.layers.Dense(hp.Int("units", 4, 8), "tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input([3]), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def tuner(directory, kind=PlaybookTuner, **given):
    return kind(build, directory=directory, budget="1000steps", stages=["start"], **given)


def test_what_was_given_can_be_read(tmp_path):
    made = tuner(tmp_path, objective="val_mae", loss="mae", metrics=["mse"], max_model_size=90)
    assert str(made.oracle.objective) == 'Objective(name="val_mae", direction="min")'
    assert (made.loss, made.metrics, made.max_model_size) == ("mae", ["mse"], 90)


def test_hooks_around_a_search_are_called(tmp_path):
    called = []

    class Mine(PlaybookTuner):
        def on_search_begin(self):
            called.append("begin")

        def on_search_end(self):
            called.append("end")

    tuner(tmp_path, Mine).search(X, X[:, :1], verbose=0)
    assert called == ["begin", "end"]


@pytest.mark.parametrize("name", ["run_trial", "_build_and_fit_model", "on_epoch_end"])
def test_methods_that_would_never_be_called_are_refused(tmp_path, name):
    kind = type("Mine", (PlaybookTuner,), {name: lambda self, *given, **named: None})
    with pytest.raises(ValueError, match=f"Mine overrides {name}, but.* into callbacks"):
        tuner(tmp_path, kind)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_project_of_keras_tuners_is_refused_and_kept(tmp_path, overwrite):
    theirs = keras_tuner.RandomSearch(
        build, "val_loss", 1, directory=tmp_path, project_name="intro"
    )
    theirs.save()
    with pytest.raises(ValueError, match="intro holds a search of KerasTuner's own: give another"):
        tuner(tmp_path, project_name="intro", overwrite=overwrite)
    assert (tmp_path / "intro" / "tuner0.json").exists()


def test_a_search_without_data_and_a_trial_without_a_search_are_refused(tmp_path):
    made = tuner(tmp_path)
    with pytest.raises(ValueError, match="`x` is missing: search needs the data"):
        made.search()
    with pytest.raises(ValueError, match="no search has begun"):
        made.oracle.create_trial("tuner0")


def test_another_number_of_trials_is_refused_by_its_name(tmp_path):
    tuner(tmp_path, max_trials=2).search(X, X[:, :1], verbose=0)
    with pytest.raises(StudyError, match="`max_trials` was 2 when this search started and is 6"):
        tuner(tmp_path, max_trials=6).search(X, X[:, :1], verbose=0)
