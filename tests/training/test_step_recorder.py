"""Every number of a step is held against Keras: `train_on_batch` and the logs of `fit`."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.models.keras_metrics import predicted_classes, true_classes
from kerastune.training.step_recorder import StepRecorder, kernels_by_layer

NUM_EXAMPLES, BATCH, EPOCHS = 38, 8, 2  # 5 steps in an epoch, the last one of 6 examples
STEPS = 10
CROSS_ENTROPY = "sparse_categorical_crossentropy"


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
    options = {
        "optimizer": keras.optimizers.SGD(0.1),
        "loss": CROSS_ENTROPY,
        "metrics": ["accuracy"],
    }
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
    settings = {"batch_size": BATCH, "epochs": EPOCHS, "shuffle": False, "verbose": 0, **options}
    history = model.fit(*data, **settings, callbacks=[logs])
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
    rows, data = [], (x, y) if sample_weight is None else (x, y, sample_weight)
    for _ in range(epochs):
        for start in range(0, len(x), BATCH):
            rows_of = slice(start, start + BATCH)
            part = keras.tree.map_structure(lambda array, of=rows_of: array[of], data)
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
        return tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(y, self(x, training=True))
        )

    def train_step(self, data):
        x, y = data[:2]
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        self.optimizer.apply(
            tape.gradient(loss, self.trainable_variables), self.trainable_variables
        )
        self.loss_tracker.update_state(loss)
        self.accuracy.update_state(y, self(x))
        return {"loss": self.loss_tracker.result(), "accuracy": self.accuracy.result()}


class RawLoss(OwnTrainStep):
    """Gives back the batch's loss as it is, and updates no tracker."""

    def train_step(self, data):
        x, y = data[:2]
        with tf.GradientTape() as tape:
            loss = self.loss_of(x, y)
        self.optimizer.apply(
            tape.gradient(loss, self.trainable_variables), self.trainable_variables
        )
        return {"loss": loss}


class Silent(OwnTrainStep):
    """Logs nothing that is a loss or a mean."""

    def train_step(self, data):
        super().train_step(data)
        return {"reward": tf.constant(1.0)}


class CallsSuper(keras.Sequential):
    def train_step(self, data):
        x, y = data[:2]
        return {**super().train_step((2 * x, y)), "constant": tf.constant(3.0)}


class OnlyTrainStep(OwnTrainStep):
    """Has no `call`, as generative models often."""

    call = keras.Model.call

    def train_step(self, data):
        x, y = data[:2]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(y, self.body(x, training=True))
            )
        self.optimizer.apply(
            tape.gradient(loss, self.body.trainable_variables), self.body.trainable_variables
        )
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
    outputs = {
        "a": layers.Dense(3, "softmax", name="a")(hidden),
        "b": layers.Dense(2, name="b")(hidden),
    }
    return keras.Model(inputs, outputs)


def compiled(model, **options):
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), **options})
    return model


FORMS = {
    "compiled": lambda: compiled(
        keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"]
    ),
    "own train_step": lambda: compiled(OwnTrainStep()),
    "tracker of another name": lambda: compiled(OwnTrainStep(tracker="total_loss")),
    "trackers beside Keras's": lambda: compiled(OwnTrainStep(tracker="total_loss", listed=False)),
    "raw loss": lambda: compiled(RawLoss()),
    "silent": lambda: compiled(Silent()),
    "calls super": lambda: compiled(CallsSuper(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"]),
    "no call": lambda: compiled(OnlyTrainStep()),
    "tf.function": lambda: compiled(Decorated()),
    "built at first call": lambda: compiled(
        BuiltAtFirstCall(), loss=CROSS_ENTROPY, metrics=["accuracy"]
    ),
    "same name twice": lambda: compiled(
        keras.Sequential(dense()),
        loss=CROSS_ENTROPY,
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    ),
    "regularized": lambda: compiled(
        keras.Sequential(dense(kernel_regularizer="l2", activity_regularizer="l1")),
        loss=CROSS_ENTROPY,
    ),
    "no mean": lambda: compiled(
        keras.Sequential(dense()),
        loss=CROSS_ENTROPY,
        metrics=[
            "sparse_top_k_categorical_accuracy",
            keras.metrics.IoU(3, [0], sparse_y_pred=False, name="iou"),
        ],
    ),
    "eager": lambda: compiled(
        keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"], run_eagerly=True
    ),
    "XLA": lambda: compiled(
        keras.Sequential(dense()), loss=CROSS_ENTROPY, metrics=["accuracy"], jit_compile=True
    ),
}
NAMES = {
    "raw loss": {"loss"},
    "silent": set(),
    "no call": {"loss"},
    "regularized": {"loss"},
    "no mean": {"loss", "sparse_top_k_categorical_accuracy"},
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
    assert len(chunk) == STEPS
    assert set(chunk.values) == NAMES.get(form, {"loss", "accuracy"})
    for name, values in chunk.values.items():
        np.testing.assert_allclose(values, truth[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert chunk.update_norms.shape == (5, 2) and (chunk.update_norms > 0).all()


@pytest.mark.parametrize("steps_per_execution", [3, 50])
def test_logs_stay_what_they_were_with_many_steps_per_execution(steps_per_execution):
    x, y = toy()
    options = {"steps_per_execution": steps_per_execution}
    validated = {"validation_data": (x, y)}
    _, logs, _ = recorded(
        plain(**options), x, y, capacity=50, ratio_every=1, num_classes=3, **validated
    )
    assert logs == bare(plain(**options), x, y, **validated)


def test_a_mean_with_a_result_of_its_own():
    metrics = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]

    def model():
        keras.utils.set_random_seed(1)
        copies = [m if isinstance(m, str) else type(m).from_config(m.get_config()) for m in metrics]
        return compiled(keras.Sequential(dense(2, None)), loss="mse", metrics=copies)

    x, y = toy("regression")
    chunk, logs, _ = recorded(model(), x, y)
    assert logs == bare(model(), x, y)
    np.testing.assert_allclose(chunk.values["rmse"], by_batch(model(), x, y)["rmse"], rtol=1e-5)
    np.testing.assert_allclose(chunk.values["rmse"], np.sqrt(chunk.values["loss"]), rtol=1e-5)


def test_several_outputs_with_several_metrics_each():
    def model():
        keras.utils.set_random_seed(1)
        return compiled(
            with_outputs(),
            loss={"a": CROSS_ENTROPY, "b": "mse"},
            metrics={
                "a": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, "top")],
                "b": ["mae"],
            },
            weighted_metrics={"b": ["mae"]},
        )

    x = toy()[0]
    y = {"a": toy()[1], "b": toy("regression")[1]}
    chunk, logs, _ = recorded(model(), x, y)
    assert logs == bare(model(), x, y)
    truth = by_batch(model(), x, y)
    assert (
        set(chunk.values)
        == set(truth)
        >= {"loss", "a_loss", "b_loss", "a_top", "b_mae", "b_weighted_mae"}
    )
    for name, values in chunk.values.items():
        np.testing.assert_allclose(values, truth[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_sample_weights():
    x, y = toy()
    weights = np.linspace(0, 3, len(x)).astype("float32")
    options = {"weighted_metrics": ["accuracy"], "metrics": None}
    chunk, logs, _ = recorded(plain(**options), x, y, sample_weight=weights)
    assert logs == bare(plain(**options), x, y, sample_weight=weights)
    truth = by_batch(plain(**options), x, y, weights)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(chunk.values[name], truth[name], rtol=1e-5, atol=1e-6)
    unweighted, _, _ = recorded(plain(**options), x, y)
    assert not np.allclose(chunk.values["loss"], unweighted.values["loss"])


def test_class_weights():
    x, y = toy()
    by_class = {0: 1.0, 1: 5.0, 2: 0.5}
    chunk, logs, _ = recorded(plain(), x, y, class_weight=by_class)
    assert logs == bare(plain(), x, y, class_weight=by_class)
    truth = by_batch(plain(), x, y, np.vectorize(by_class.get)(y).astype("float32"))
    np.testing.assert_allclose(chunk.values["loss"], truth["loss"], rtol=1e-5)


def test_mixed_precision_with_loss_scaling():
    def model():
        keras.utils.set_random_seed(1)
        half = [
            keras.Input([4]),
            layers.Dense(5, "tanh", dtype="mixed_float16"),
            layers.Dense(3, "softmax"),
        ]
        scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
        return compiled(
            keras.Sequential(half), optimizer=scaled, loss=CROSS_ENTROPY, metrics=["accuracy"]
        )

    x, y = toy()
    chunk, logs, _ = recorded(model(), x, y, ratio_every=1)
    assert logs == bare(model(), x, y)
    np.testing.assert_allclose(chunk.values["loss"], by_batch(model(), x, y)["loss"], rtol=1e-3)
    assert (chunk.update_norms > 0).all()


class KeptWeights(keras.callbacks.Callback):
    """Kernels before every step, for the norms that a recorder should find."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_train_batch_begin(self, batch, logs=None):
        self.kernels.append([v.numpy() for v in self.model.trainable_variables if len(v.shape) > 1])

    def norms(self):
        """Update and weight norms of every step, worked out by hand."""
        self.on_train_batch_begin(None)
        update = [
            [np.linalg.norm(b - a) for a, b in zip(*pair, strict=True)]
            for pair in itertools.pairwise(self.kernels)
        ]
        return np.array(update), np.array(
            [[np.linalg.norm(a) for a in kernels] for kernels in self.kernels[:-1]]
        )


@pytest.mark.parametrize("start", [0, 4])
def test_norms_are_those_of_the_due_steps(start):
    x, y = toy()
    model, kept = plain(), KeptWeights()
    recorder = StepRecorder(model, STEPS, ratio_every=3)
    recorder.install()
    recorder.reset(start)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[kept])
    chunk = recorder.read()
    due = [step for step in range(STEPS) if (start + step) % 3 == 0]
    assert chunk.ratio_steps.tolist() == due
    updates, weights = kept.norms()
    np.testing.assert_allclose(chunk.update_norms, updates[due], rtol=1e-4)
    np.testing.assert_allclose(chunk.weight_norms, weights[due], rtol=1e-5)


def test_layers_are_named_and_hold_no_vectors():
    stack = [
        layers.LSTM(2, name="memory"),
        layers.BatchNormalization(),
        layers.Dense(1, name="out"),
    ]
    found = kernels_by_layer(keras.Sequential([keras.Input([3, 4]), *stack]))
    assert list(found) == ["lstm_cell", "out"]
    assert [len(group) for group in found.values()] == [2, 1]


@pytest.mark.parametrize("ratio_every", [0, 2])
def test_what_nobody_reads_does_no_harm(ratio_every):
    x, y = toy()
    chunk, logs, _ = recorded(plain(), x, y, capacity=3, ratio_every=ratio_every)
    assert logs == bare(plain(), x, y)
    assert len(chunk.values["loss"]) == 3
    np.testing.assert_allclose(
        chunk.values["loss"][:2], by_batch(plain(), x, y)["loss"][:2], rtol=1e-5
    )


def test_reading_forgets_and_goes_on_counting():
    x, y = toy()
    model = plain()
    recorder = StepRecorder(model, STEPS, ratio_every=2, num_classes=3)
    recorder.install()
    assert len(recorder.read()) == 0
    options = {"batch_size": BATCH, "epochs": 1, "shuffle": False, "verbose": 0}
    model.fit(x, y, **options)
    first = recorder.read()
    model.fit(x, y, **options)
    second = recorder.read()
    assert (len(first), len(second), len(recorder.read())) == (5, 5, 0)
    # Steps 6 and 8.
    assert first.ratio_steps.tolist() == [0, 2, 4] and second.ratio_steps.tolist() == [1, 3]
    assert first.confusion.sum() == second.confusion.sum() == len(x)
    whole, _, _ = recorded(plain(), x, y)
    np.testing.assert_array_equal(
        np.r_[first.values["loss"], second.values["loss"]], whole.values["loss"]
    )


def test_a_capacity_below_one_execution_is_refused():
    with pytest.raises(ValueError, match=r"capacity.*\(3\).*steps_per_execution \(4\)"):
        StepRecorder(plain(steps_per_execution=4), capacity=3)


# Confusion


def confusion_of(kind, model, threshold=0.5):
    """Counts over one epoch, by the recorder and by hand.

    The learning rate is next to nothing: the model stays what it was.
    """
    x, y = toy(kind)
    chunk, _, _ = recorded(model, x, y, num_classes=3, threshold=threshold, epochs=1)
    return chunk.confusion, x, toy("integer")[1]


def counted(true, predicted):
    counts = np.zeros([3, 3])
    np.add.at(counts, (true, predicted), 1)
    return counts


@pytest.mark.parametrize("kind", ["integer", "float", "column", "one-hot"])
def test_confusion_of_every_form_of_targets(kind):
    keras.utils.set_random_seed(1)
    loss = "categorical_crossentropy" if kind == "one-hot" else CROSS_ENTROPY
    model = compiled(keras.Sequential(dense()), loss=loss, optimizer=keras.optimizers.SGD(1e-12))
    confusion, x, true = confusion_of(kind, model)
    np.testing.assert_array_equal(
        confusion, counted(true, model.predict(x, verbose=0).argmax(axis=1))
    )


@pytest.mark.parametrize("activation, threshold", [("sigmoid", 0.5), (None, 0.0)])
def test_confusion_of_a_single_output(activation, threshold):
    keras.utils.set_random_seed(1)
    model = compiled(
        keras.Sequential(dense(1, activation)), loss="mse", optimizer=keras.optimizers.SGD(1e-12)
    )
    confusion, x, true = confusion_of("binary", model, threshold)
    predicted = model.predict(x, verbose=0)[:, 0] > threshold
    np.testing.assert_array_equal(confusion, counted((true > 0).astype(int), predicted.astype(int)))
    assert 0 < predicted.sum() < len(x)


def test_a_class_that_the_loss_ignores_is_not_counted():
    x, y = toy()
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    keras.utils.set_random_seed(1)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    chunk, _, _ = recorded(
        compiled(keras.Sequential(dense()), loss=loss), x, y, num_classes=3, epochs=1
    )
    assert chunk.confusion.sum() == (y >= 0).sum()
    np.testing.assert_array_equal(chunk.confusion.sum(axis=1), np.bincount(y[y >= 0]))


def test_classes_of_targets_and_of_predictions():
    assert true_classes(np.array([0.0, 2.0, 1.0])).numpy().tolist() == [0, 2, 1]
    assert true_classes(np.array([[2], [0]])).numpy().tolist() == [2, 0]
    assert true_classes(np.eye(3)[[1, 2]]).numpy().tolist() == [1, 2]
    assert predicted_classes(np.array([[0.2], [0.7]])).numpy().tolist() == [0, 1]
    assert predicted_classes(np.array([[-0.2], [0.3]]), threshold=0.0).numpy().tolist() == [0, 1]
    assert predicted_classes(np.array([[0.1, 0.9], [0.8, 0.2]])).numpy().tolist() == [1, 0]
