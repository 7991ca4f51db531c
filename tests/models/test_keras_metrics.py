"""Metrics that an objective names have the same values as scikit-learn's."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn import metrics as sklearn_metrics

from kerastune.models import compiling, keras_metrics, output_kind
from kerastune.models.keras_metrics import MacroF1
from kerastune.objective import Objective
from kerastune.problem import Part, Problem


def generator(seed=0):
    return np.random.default_rng(seed)


# Macro-F1


def filled(metric, y, outputs, batches=3):
    for rows in np.array_split(np.arange(len(y)), batches):
        metric.update_state(y[rows], outputs[rows])
    return float(metric.result())


@pytest.mark.parametrize("kind", ["int32", "float32", "column", "one-hot"])
@pytest.mark.parametrize("absent", [False, True])
def test_macro_f1_is_that_of_scikit_learn(kind, absent):
    y = generator(1).choice(4, size=200, p=[0.7, 0.2, 0.1, 0.0] if absent else [0.6, 0.2, 0.1, 0.1])
    outputs = generator(2).random((200, 4))
    outputs[:, 3] *= 0 if absent else 1
    targets = {"column": y[:, None], "one-hot": np.eye(4)[y]}.get(kind)
    expected = sklearn_metrics.f1_score(y, outputs.argmax(axis=1), average="macro")
    value = filled(MacroF1(4), y.astype(kind) if targets is None else targets, outputs)
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("threshold", [0.5, 0.0])
def test_macro_f1_of_a_single_output(threshold):
    y, outputs = generator(1).integers(0, 2, 100), generator(2).normal(size=(100, 1))
    expected = sklearn_metrics.f1_score(y, outputs[:, 0] > threshold, average="macro")
    assert filled(MacroF1(2, threshold), y, outputs) == pytest.approx(expected, rel=1e-5)


def test_macro_f1_forgets_and_goes_through_its_configuration():
    metric = MacroF1(3, 0.0, name="f1")
    filled(metric, np.array([0, 1, 2]), np.eye(3))
    assert float(metric.result()) == 1.0
    metric.reset_state()
    assert float(metric.result()) == 0.0
    again = MacroF1.from_config(metric.get_config())
    assert (again.num_classes, again.threshold, again.name) == (3, 0.0, "f1")


# Metrics by name


def classification(y, num_classes, one_hot=False):
    x = generator(4).normal(size=(len(y), 4)).astype("float32")
    part = Part(x, np.eye(num_classes, dtype="float32")[y] if one_hot else y)
    return Problem("toy", "classification", part, part, class_names=tuple("abcdefgh"[:num_classes]))


def regression(y, **scale):
    part = Part(generator(4).normal(size=(len(y), 4)).astype("float32"), y)
    return Problem("toy", "regression", part, part, **scale)


def model_for(units, activation=None):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input([4]),
            layers.Dense(8, "relu"),
            layers.Dense(units),
            layers.Activation(activation),
        ]
    )


def measured(problem, name, model):
    """What a metric gives after several batches, and the outputs as probabilities."""
    x, y = problem.validation.x, problem.validation.y
    form = output_kind.of(model, x, problem.kind).activation
    metric = keras_metrics.make(name, problem, form)
    assert metric.name == name
    outputs = model(x)
    return filled(metric, y, outputs.numpy()), form(outputs).numpy()


def class_1(probabilities):
    return probabilities[:, -1]


BINARY = {
    "auc": lambda y, p: sklearn_metrics.roc_auc_score(y, class_1(p)),
    "precision": lambda y, p: sklearn_metrics.precision_score(y, class_1(p) > 0.5),
    "recall": lambda y, p: sklearn_metrics.recall_score(y, class_1(p) > 0.5),
    "false_negatives": lambda y, p: sum((y == 1) & (class_1(p) <= 0.5)),
    "f1": lambda y, p: sklearn_metrics.f1_score(y, class_1(p) > 0.5, average="macro"),
    "f1_score": lambda y, p: sklearn_metrics.f1_score(y, class_1(p) > 0.5, average="macro"),
    "categorical_accuracy": lambda y, p: np.mean((class_1(p) > 0.5) == y),
    "binary_crossentropy": lambda y, p: sklearn_metrics.log_loss(
        y, class_1(p).astype(float), labels=[0, 1]
    ),
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize(
    "units, activation", [(1, "sigmoid"), (1, None), (2, "softmax"), (2, None)]
)
def test_of_two_classes_the_second_one_counts_however_many_outputs_there_are(
    name, units, activation
):
    y = generator(1).choice(2, 300, p=[0.6, 0.4])
    value, probabilities = measured(classification(y, 2), name, model_for(units, activation))
    assert value == pytest.approx(BINARY[name](y, probabilities), rel=2e-3)


MANY = {
    "auc": lambda y, p: sklearn_metrics.roc_auc_score(np.eye(6)[y].ravel(), p.ravel()),
    "precision": lambda y, p: sklearn_metrics.precision_score(
        np.eye(6)[y].ravel(), p.ravel() > 0.5
    ),
    "f1_score": lambda y, p: sklearn_metrics.f1_score(y, p.argmax(axis=1), average="macro"),
    "macro_f1": lambda y, p: sklearn_metrics.f1_score(y, p.argmax(axis=1), average="macro"),
    "top_k_categorical_accuracy": lambda y, p: sklearn_metrics.top_k_accuracy_score(y, p, k=5),
    "sparse_top_k_categorical_accuracy": lambda y, p: sklearn_metrics.top_k_accuracy_score(
        y, p, k=5
    ),
    "sparse_categorical_crossentropy": lambda y, p: sklearn_metrics.log_loss(y, p.astype(float)),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("one_hot", [False, True])
def test_of_more_classes_targets_may_be_integers_and_outputs_logits(name, activation, one_hot):
    y, model = generator(1).integers(0, 6, 300), model_for(6, activation)
    kernel = model.layers[1].kernel
    # Else nothing is above one half, and precision has nothing to measure.
    kernel.assign(4 * kernel)
    value, probabilities = measured(classification(y, 6, one_hot), name, model)
    assert 0 < value < 4
    assert value == pytest.approx(MANY[name](y, probabilities), rel=5e-3)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("mape", lambda y, p: 100 * sklearn_metrics.mean_absolute_percentage_error(y, p)),
        ("mean_squared_error", sklearn_metrics.mean_squared_error),
        ("rmse", lambda y, p: np.sqrt(sklearn_metrics.mean_squared_error(y, p))),
        ("r2_score", sklearn_metrics.r2_score),
    ],
)
@pytest.mark.parametrize("outputs", [1, 2])
def test_metrics_of_numbers_are_in_the_users_units(name, expected, outputs):
    y = generator(1).normal(size=(300, outputs)).astype("float32")
    mean, scale = (100.0, 5.0) if outputs == 1 else (np.array([100.0, 50.0]), np.array([5.0, 0.5]))
    problem = regression(y[:, 0] if outputs == 1 else y, target_mean=mean, target_scale=scale)
    value, predicted = measured(problem, name, model_for(outputs))
    assert value == pytest.approx(expected(y * scale + mean, predicted * scale + mean), rel=1e-3)


@pytest.mark.parametrize("name", ["f1_score", "auc", "f1"])
def test_a_model_that_is_compiled_for_an_objective_logs_it_at_every_epoch(name):
    y, model = generator(1).integers(0, 6, 300), model_for(6)
    problem = classification(y, 6)
    compiling.compile_for(model, problem, "sgd", objective=name)
    compiling.check_objective(Objective(name, "max"), model)
    part = problem.validation
    logged = model.fit(part.x, y, epochs=2, validation_data=(part.x, y), verbose=0).history[
        f"val_{name}"
    ]
    expected = measured(problem, name, model)[0]
    assert 0 < expected < 1 and logged[0] != logged[1] == pytest.approx(expected, rel=1e-4)


def test_what_the_model_measures_is_not_measured_twice():
    model = model_for(2)
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
    )
    compiling.compile_for(model, classification(np.arange(50) % 2, 2), "sgd", objective="auc")
    assert compiling.metric_names(model) == ["accuracy", "auc"]


@pytest.mark.parametrize(
    "name", ["mean", "sum", "metric", "mean_io_u", "precision_at_recall", "nothing"]
)
def test_a_metric_that_does_not_exist_or_needs_settings_is_not_known(name):
    model = model_for(2)
    compiling.compile_for(model, classification(np.arange(50) % 2, 2), "sgd", objective=name)
    assert compiling.metric_names(model) == ["accuracy"]


def test_a_metric_of_classes_is_refused_for_numbers():
    model, problem = model_for(1), regression(np.zeros(50))
    compiling.compile_for(model, problem, "sgd", objective="auc")
    with pytest.raises(
        ValueError, match="val_auc.*of Keras for regression.*the model has: val_loss, val_mae"
    ):
        compiling.check_objective(Objective("auc", "max"), model, problem.kind)


def test_every_metric_that_is_known_can_be_measured():
    """With both tasks, so that no metric fails in the middle of a search."""
    tasks = [
        classification(np.arange(50) % 2, 2),
        classification(np.arange(50) % 6, 6),
        regression(np.arange(50.0)),
    ]
    for problem in tasks:
        units = max(problem.num_classes, 1)
        x, y = problem.validation.x, problem.validation.y
        outputs = np.abs(model_for(units)(x))
        for name in keras_metrics.known(problem.kind):
            metric = keras_metrics.make(
                name, problem, keras.activations.softmax if units > 1 else keras.activations.linear
            )
            metric.update_state(y, outputs)
            assert metric.name == name and np.isfinite(float(metric.result()))
