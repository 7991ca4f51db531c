"""Every number of a step is held against Keras itself: `train_on_batch` gives a batch's own values, `fit` its logs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.recording import StepRecorder, classes, kernels_by_layer

NUM_EXAMPLES, BATCH, EPOCHS = 38, 8, 2  # 5 steps in an epoch, the last one of 6 examples
STEPS = 10


def toy(kind="integer", num_examples=NUM_EXAMPLES):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(num_examples, 4)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32") + (x[:, 2] > 0.5)
    targets = {
        "integer": y,
        "float": y.astype("float32"),
        "column": y[:, None],
        "one-hot": np.eye(3, dtype="float32")[y],
        "binary": (y > 0).astype("int32"),
        "regression": x[:, :2] * 2 - 1,
    }
    return x, targets[kind]


def dense(units=3, activation="softmax", **options):
    return [keras.Input([4]), layers.Dense(5, "tanh", **options), layers.Dense(units, activation)]


def plain(seed=1, **compiled):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(dense())
    options = {"optimizer": keras.optimizers.SGD(0.1), "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**{**options, **compiled})
    return model


class Logs(keras.callbacks.Callback):
    """Keeps what a user's callback is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, dict(logs)))


def bare(model, *data, **options):
    logs = Logs()
    history = model.fit(*data, **{"batch_size": BATCH, "epochs": EPOCHS, "shuffle": False, "verbose": 0, **options}, callbacks=[logs])
    return logs.seen, history.history


def recorded(model, *data, capacity=STEPS, ratio_every=0, num_classes=0, threshold=0.5, **options):
    recorder = StepRecorder(model, capacity, ratio_every, num_classes, threshold)
    recorder.install()
    logs = bare(model, *data, **options)
    chunk = recorder.read()
    recorder.uninstall()
    return chunk, logs, recorder


def by_batch(model, x, y, sample_weight=None, epochs=EPOCHS):
    """Keras's own values of every batch: `train_on_batch` sets its metrics to zero before each."""
    rows = []
    for _ in range(epochs):
        for start in range(0, len(x), BATCH):
            part = [keras.tree.map_structure(lambda array: array[start : start + BATCH], each) for each in (x, y, sample_weight)]
            rows.append(model.train_on_batch(*part, return_dict=True))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def by_hand(model, optimizer, x, y, steps):
    """Loss and accuracy of every step of a loop without `fit`."""
    losses, accuracies, batches = [], [], -(-len(x) // BATCH)
    for step in range(steps):
        rows = slice(step % batches * BATCH, (step % batches + 1) * BATCH)
        with tf.GradientTape() as tape:
            outputs = model(x[rows], training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y[rows], outputs))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        losses.append(float(loss))
        accuracies.append(np.mean(np.argmax(outputs, axis=1) == y[rows]))
    return np.array(losses), np.array(accuracies)


@pytest.mark.parametrize("steps_per_execution", [1, 7, 50])
def test_values_equal_those_of_a_hand_written_loop(steps_per_execution):
    x, y = toy(num_examples=25 * BATCH - 3)  # 25 steps in an epoch: chunks of 7 leave one of 4
    chunk, _, _ = recorded(plain(steps_per_execution=steps_per_execution), x, y, capacity=50)
    losses, accuracies = by_hand(plain(), keras.optimizers.SGD(0.1), x, y, steps=50)
    assert len(chunk) == 50
    assert np.abs(chunk.values["loss"] - losses).max() < 1e-5
    assert np.abs(chunk.values["accuracy"] - accuracies).max() < 1e-5


# Models in all the forms that Keras's users bring.


class OwnTrainStep(keras.Model):
    """The form of Keras's guide: its own tracker of the loss, listed in `metrics`."""

    def __init__(self, tracker="loss", listed=True):
        super().__init__()
        self.body = keras.Sequential(dense())
        self.loss_tracker = keras.metrics.Mean(name=tracker)
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.listed = listed

    def call(self, x):
        return self.body(x)

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy] if self.listed else super().metrics

    def loss_of(self, x, y):
        return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, self(x, training=True)))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.loss_tracker.update_state(loss)
        self.accuracy.update_state(y, self(x))
        return {"loss": self.loss_tracker.result(), "accuracy": self.accuracy.result()}


class RawLoss(OwnTrainStep):
    """Gives back the batch's loss as it is, and updates no tracker."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class CallsSuper(keras.Sequential):
    def train_step(self, data):
        x, y = data
        return {**super().train_step((2 * x, y)), "constant": tf.constant(3.0)}


class OnlyTrainStep(OwnTrainStep):
    """Has no `call`, as generative models often."""

    call = keras.Model.call

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, self.body(x, training=True)))
        self.optimizer.apply(tape.gradient(loss, self.body.trainable_variables), self.body.trainable_variables)
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


class Decorated(OwnTrainStep):
    train_step = tf.function(OwnTrainStep.train_step)


class BuiltAtFirstCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = layers.Dense(5, "tanh"), layers.Dense(3, "softmax")

    def call(self, x):
        return self.out(self.hidden(x))


def with_outputs():
    inputs = keras.Input([4])
    hidden = layers.Dense(5, "tanh")(inputs)
    outputs = {"a": layers.Dense(3, "softmax", name="a")(hidden), "b": layers.Dense(2, name="b")(hidden)}
    return keras.Model(inputs, outputs)


def compiled(model, **options):
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), **options})
    return model


CROSS_ENTROPY = "sparse_categorical_crossentropy"
FORMS = {
    "compiled": lambda: compiled(keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"]),
    "own train_step": lambda: compiled(OwnTrainStep()),
    "tracker of another name": lambda: compiled(OwnTrainStep(tracker="total_loss")),
    "trackers beside Keras's": lambda: compiled(OwnTrainStep(tracker="total_loss", listed=False)),
    "raw loss": lambda: compiled(RawLoss()),
    "calls super": lambda: compiled(CallsSuper(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"]),
    "no call": lambda: compiled(OnlyTrainStep()),
    "tf.function": lambda: compiled(Decorated()),
    "built at first call": lambda: compiled(BuiltAtFirstCall(), loss=CROSS_ENTROPY, metrics=["accuracy"]),
    "same name twice": lambda: compiled(
        keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"], weighted_metrics=["accuracy"]
    ),
    "regularised": lambda: compiled(
        keras.Sequential(dense(kernel_regularizer="l2", activity_regularizer="l1")), loss=CROSS_ENTROPY
    ),
    "a root, no mean": lambda: compiled(
        keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=[keras.metrics.AUC(name="auc"), "accuracy"]
    ),
    "eager": lambda: compiled(keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"], run_eagerly=True),
    "XLA": lambda: compiled(keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"], jit_compile=True),
}
NAMES = {
    "raw loss": {"loss"},
    "no call": {"loss"},
    "regularised": {"loss"},
    "same name twice": {"loss", "accuracy", "weighted_accuracy"},
}


def made(form):
    keras.utils.set_random_seed(1)
    return FORMS[form]()


@pytest.mark.parametrize("form", FORMS)
def test_any_model_gives_its_true_values_and_its_own_logs(form):
    x, y = toy()
    chunk, logs, _ = recorded(made(form), x, y, ratio_every=2)
    assert logs == bare(made(form), x, y)
    truth = by_batch(made(form), x, y)
    assert set(chunk.values) == NAMES.get(form, {"loss", "accuracy"})
    for name, values in chunk.values.items():
        np.testing.assert_allclose(values, truth[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert chunk.update_norms.shape == (5, 2) and (chunk.update_norms > 0).all()
