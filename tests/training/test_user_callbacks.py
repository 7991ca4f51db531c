"""Callbacks of the user's: copies and files of its own for every trial."""

import csv
import threading

import keras
import numpy as np
import pytest

from kerastune import PlaybookTuner
from kerastune.recipe import Recipe
from kerastune.training.user_callbacks import UserCallbacks, in_trial
from kerastune.trial import TrialSpec
from kerastune.tuner.argument_checks import checked_callbacks, notes_on_callbacks

X = np.random.default_rng(2).normal(size=[300, 4]).astype("float32")
Y = (X.sum(axis=1) > 0).astype(int)


def build(hp):
    layers = [keras.layers.Dense(6, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input([4]), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def search(directory, callbacks, **given):
    settings = {"budget": "1000steps", "directory": directory / "search", **given}
    tuner = PlaybookTuner(build, **settings)
    tuner.search(X, Y, callbacks=callbacks, verbose=0)
    return tuner


def spec(start=0, until=100, every=50):
    return TrialSpec("lr-1", "lr", Recipe(), start, until, every)


@pytest.mark.parametrize(
    "name, given, placed",
    [
        ("filepath", "best.keras", "lr-1/best.keras"),
        ("filepath", "out/{epoch}.keras", "out/lr-1/{epoch}.keras"),
        ("log_dir", "boards", "boards/lr-1"),
        ("_weights_path", "backup/latest.weights.h5", "backup/lr-1/latest.weights.h5"),
        ("backup_dir", "backup", "backup/lr-1"),
    ],
)
def test_files_and_directories_of_a_trial(name, given, placed):
    assert in_trial(name, given, "lr-1") == placed


def test_every_trial_has_files_of_its_own_that_load_without_a_warning(tmp_path, recwarn):
    kinds = keras.callbacks
    tuner = search(
        tmp_path,
        [
            kinds.ModelCheckpoint(tmp_path / "whole" / "best.keras", save_best_only=True),
            kinds.ModelCheckpoint(f"{tmp_path}/last.weights.h5", save_weights_only=True),
            kinds.CSVLogger(f"{tmp_path}/log.csv"),
            kinds.TensorBoard(f"{tmp_path}/board"),
            kinds.BackupAndRestore(f"{tmp_path}/backup", delete_checkpoint=False),
        ],
    )
    outcomes = tuner.latest.playbook.outcomes
    evaluated = {name for name, each in outcomes.items() if each.evals}
    assert {path.parent.name for path in tmp_path.rglob("best.keras")} == evaluated
    assert {path.parent.name for path in tmp_path.glob("*/log.csv")} == set(outcomes)
    assert {path.name for path in (tmp_path / "board").iterdir()} == set(outcomes)
    assert {path.parent.name for path in tmp_path.rglob("latest.weights.h5")} == set(outcomes)
    recwarn.clear()
    for path in tmp_path.rglob("best.keras"):
        loaded = keras.saving.load_model(path)
        assert loaded.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"] > 0.3
        assert type(loaded.optimizer).__module__.startswith("keras.")
    assert not [str(each.message) for each in recwarn if "optimizer" in str(each.message)]
    longest = max(evaluated, key=lambda name: outcomes[name].steps)
    rows = list(csv.DictReader((tmp_path / longest / "log.csv").open()))
    assert len(rows) == len(outcomes[longest].evals)


def test_a_callback_that_stops_a_training_is_named(tmp_path):
    class AfterOneEvaluation(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    tuner = search(tmp_path, AfterOneEvaluation(), stages=["train"])
    (outcome,) = tuner.latest.playbook.outcomes.values()
    assert outcome.notes == (f"stopped by AfterOneEvaluation at step {outcome.steps}",)
    assert outcome.notes[0] in (tuner.run_dir.path / "kerastune.log").read_text()
    assert tuner.oracle.trials[outcome.spec.trial].message == outcome.notes[0]


def test_early_stopping_is_taken_with_a_sentence_and_restores_nothing(tmp_path):
    given = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    (note,) = notes_on_callbacks([given])
    assert "counts evaluations" in note and note.endswith("and none are restored.")
    copies = UserCallbacks([given]).of(spec())
    assert [each.restore_best_weights for each in copies if hasattr(each, "patience")] == [False]
    assert given.restore_best_weights
    assert note in (search(tmp_path, given).run_dir.path / "kerastune.log").read_text()


def test_copies_go_on_with_their_trial_and_are_not_asked_where_nothing_is_evaluated():
    known = UserCallbacks([keras.callbacks.EarlyStopping(), keras.callbacks.TerminateOnNaN()])
    first, second = known.of(spec()), known.of(spec(100, 200))
    assert first[1] is second[1]
    assert len(first) == 5 and len(known.of(spec(every=0))) == 3

    class Reads(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            print(logs["val_loss"])

    said = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs["val_loss"]))
    assert len(UserCallbacks([Reads(), said]).of(spec(every=0))) == 0


def test_a_function_makes_what_can_not_be_copied(tmp_path):
    class Locked(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(ValueError, match=r"Locked can't be copied.*callbacks=\[lambda: Locked"):
        checked_callbacks(Locked())
    made = []

    def make():
        made.append(Locked())
        return made[-1]

    tuner = search(tmp_path, [make], stages=["train"])
    assert len(set(map(id, made))) > len(tuner.latest.playbook.outcomes)


@pytest.mark.parametrize("given, words", [("best", "got 'best'"), ([3], "got 3")])
def test_what_is_no_callback_is_refused(given, words):
    with pytest.raises(ValueError, match=f"must be Keras callbacks.*{words}"):
        checked_callbacks(given)


def test_what_sets_the_learning_rate_is_refused_in_a_function_too():
    for given in (keras.callbacks.ReduceLROnPlateau(), keras.callbacks.ReduceLROnPlateau):
        with pytest.raises(ValueError, match="ReduceLROnPlateau sets the learning rate"):
            checked_callbacks([given])
