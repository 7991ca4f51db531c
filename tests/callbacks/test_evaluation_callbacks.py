"""Ensembles and views evaluated during `fit`: the logged value, and for what targets."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerastune.callbacks import EnsembleEvaluation, TTAEvaluation
from kerastune.inference import views

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=[60, 4]).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32") + (X[:, 2] > 0.5)
NOISE = views.Noise(1.0, 1)


def network(
    units=3, activation="softmax", seed=1, loss="sparse_categorical_crossentropy", **options
):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input([4]), layers.Dense(units, activation, kernel_initializer="normal")]
    )
    model.compile(keras.optimizers.SGD(0.1), loss, **options)
    return model


def fit(model, *callbacks, y=Y, epochs=3):
    return model.fit(
        X, y, epochs=epochs, batch_size=20, verbose=0, callbacks=list(callbacks)
    ).history


class Snapshots(keras.callbacks.Callback):
    """Keeps the outputs of the model in training at the end of every epoch.

    For the examples and for their view.
    """

    def on_train_begin(self, logs=None):
        self.plain, self.noisy = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.plain.append(np.asarray(self.model(X)))
        self.noisy.append(np.asarray(self.model(views.apply(NOISE, X))))


def accuracy(outputs, y=Y):
    return float(np.mean(outputs.argmax(axis=1) == y))


def test_the_ensemble_is_the_mean_with_models_and_with_paths(tmp_path):
    others = [
        network(seed=2),
        network(
            activation=None,
            seed=3,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
    ]
    others[1].save(tmp_path / "other.keras")
    kept = Snapshots()
    found = fit(network(), kept, EnsembleEvaluation([others[0], tmp_path / "other.keras"], (X, Y)))
    given = [np.asarray(others[0](X)), np.asarray(keras.ops.softmax(others[1](X)))]
    expected = [accuracy(np.mean([*given, own], axis=0)) for own in kept.plain]
    assert found["val_ensemble_accuracy"] == pytest.approx(expected)
    assert len(set(expected)) > 1 or expected[0] != accuracy(kept.plain[0])


def test_earlier_snapshots_are_members_the_last_so_many(tmp_path):
    def probability(y, outputs):
        return float(np.mean(outputs[np.arange(len(y)), y]))

    kept = Snapshots()
    found = fit(
        network(), kept, EnsembleEvaluation([], (X, Y), snapshots=2, metric=probability), epochs=5
    )
    expected = [
        probability(Y, np.mean(kept.plain[max(end - 3, 0) : end], axis=0)) for end in range(1, 6)
    ]
    assert found["val_ensemble_probability"] == pytest.approx(expected)
    assert len(set(expected)) == 5


@pytest.mark.parametrize("steps_per_execution", [1, 7])
@pytest.mark.parametrize("weights", [None, [3, 1]])
def test_views_are_averaged_with_the_example_and_written_to_tensorboard(
    weights, steps_per_execution, tmp_path
):
    kept = Snapshots()
    model = network(steps_per_execution=steps_per_execution)
    found = fit(model, kept, TTAEvaluation([NOISE], (X, Y), weights=weights, log_dir=tmp_path))
    expected = [
        accuracy(np.average(pair, axis=0, weights=weights))
        for pair in zip(kept.plain, kept.noisy, strict=True)
    ]
    assert found["val_tta_accuracy"] == pytest.approx(expected)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    written = events.Scalars("validation/tta_accuracy")
    assert [event.step for event in written] == [3, 6, 9]
    assert [event.value for event in written] == pytest.approx(expected)


BINARY = keras.losses.BinaryCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    "model, y, name",
    [
        (lambda: network(loss="categorical_crossentropy"), np.eye(3)[Y], "accuracy"),
        (
            lambda: network(1, "sigmoid", loss="binary_crossentropy"),
            (Y > 0).astype("float32"),
            "accuracy",
        ),
        (lambda: network(1, None, loss=BINARY), (Y > 0)[:, None].astype("float32"), "accuracy"),
        (lambda: network(1, None, loss="mse"), X[:, 0] - X[:, 3], "mse"),
        (lambda: network(2, None, loss="huber"), X[:, :2], "mse"),
    ],
)
def test_targets_of_every_kind(model, y, name):
    made, kept = model(), Snapshots()
    found = fit(
        made,
        kept,
        EnsembleEvaluation([model()], (X, y)),
        TTAEvaluation([NOISE], (X, y)),
        y=y,
        epochs=2,
    )
    other = np.asarray(model()(X))

    def value(outputs):
        if name == "mse":
            return np.mean((np.reshape(y, outputs[0].shape) - np.mean(outputs, axis=0)) ** 2)
        if made.loss is BINARY:
            outputs = [1 / (1 + np.exp(-each)) for each in outputs]
        mean = np.mean(outputs, axis=0)
        if mean.shape[1] == 1:
            return np.mean((mean[:, 0] > 0.5) == (np.ravel(y) > 0))
        return accuracy(mean, np.argmax(y, axis=1))

    expected = [value([other, own]) for own in kept.plain]
    assert found[f"val_ensemble_{name}"] == pytest.approx(expected, rel=1e-5)
    expected = [value(pair) for pair in zip(kept.plain, kept.noisy, strict=True)]
    assert found[f"val_tta_{name}"] == pytest.approx(expected, rel=1e-5)


def test_every_so_many_epochs_and_seen_by_what_stands_after_it():
    stop = keras.callbacks.EarlyStopping("val_tta_accuracy", patience=0, mode="min")
    fit(network(), TTAEvaluation([NOISE], (X, Y)), stop, epochs=2)
    assert np.isfinite(stop.best)
    assert (
        len(
            fit(network(), TTAEvaluation([NOISE], (X, Y), every_epochs=2), epochs=5)[
                "val_tta_accuracy"
            ]
        )
        == 2
    )


def test_a_dataset_is_read():
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)
    found = [fit(network(), TTAEvaluation([NOISE], given), epochs=1) for given in ((X, Y), batches)]
    assert found[0]["val_tta_accuracy"] == found[1]["val_tta_accuracy"]


def test_the_others_stay_what_they_were_and_are_not_kept():
    other = network(seed=2)
    before = [weight.copy() for weight in other.get_weights()]
    callback = EnsembleEvaluation([other], (X, Y), snapshots=3)
    fit(network(), callback)
    assert all(np.array_equal(*pair) for pair in zip(before, other.get_weights(), strict=True))
    assert (
        not {"_x", "_y", "board"} & set(vars(callback))
        and not callback._others
        and not callback._earlier
    )


def own_loss(y, outputs):
    return keras.ops.mean((outputs[:, 0] - keras.ops.cast(y, "float32")) ** 2)


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: EnsembleEvaluation([], (X, Y), every_epochs=0),
            "`every_epochs` must be >= 1, got 0",
        ),
        (lambda: EnsembleEvaluation([], (X, Y), snapshots=-1), "`snapshots` must be >= 0, got -1"),
        (lambda: TTAEvaluation([NOISE], (X, Y), weights=[1]), "`weights` must be 2 numbers"),
        (lambda: TTAEvaluation([lambda x: x], (X, Y)), "is not registered"),
    ],
)
def test_what_can_not_be_is_refused_at_once(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_only_a_fit_shows_is_refused_there():
    with pytest.raises(ValueError, match="outputs differ in shape: \\[\\(60, 4\\), \\(60, 3\\)\\]"):
        fit(network(), EnsembleEvaluation([network(4)], (X, Y)), epochs=1)
    untold = network(1, None, loss=own_loss)
    with pytest.raises(ValueError, match="may be a classifier or a regressor: give its `kind`"):
        fit(untold, TTAEvaluation([NOISE], (X, Y)), epochs=1)
    assert "val_tta_mse" in fit(untold, TTAEvaluation([NOISE], (X, Y), kind="regression"), epochs=1)
