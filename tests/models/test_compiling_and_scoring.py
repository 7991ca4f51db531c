"""What a model is compiled with and judged by."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn import metrics as sklearn_metrics

from kerastune.models import compiling, output_kind, scoring
from kerastune.models.output_kind import OutputKind
from kerastune.objective import Objective
from kerastune.problem import Part, Problem


def generator(seed=0):
    return np.random.default_rng(seed)


def inputs(num_examples=50):
    return generator().normal(size=(num_examples, 4)).astype("float32")


def classification(y, num_classes=3, x=None):
    part = Part(inputs(len(y)) if x is None else x, y)
    return Problem("toy", "classification", part, part, class_names=tuple("abcdef"[:num_classes]))


def regression(y, **scale):
    part = Part(inputs(len(y)), y)
    return Problem("toy", "regression", part, part, **scale)


# Logits or probabilities


class Subclassed(keras.Model):
    """Ends with a function where no layer tells of it."""

    def __init__(self, units, function=None, activation=None):
        super().__init__()
        self.hidden = layers.Dense(8, "relu")
        self.out = layers.Dense(units, activation)
        self.function = function

    def call(self, x):
        outputs = self.out(self.hidden(x))
        return self.function(outputs) if self.function else outputs


def sequential(*last):
    return keras.Sequential([keras.Input([4]), layers.Dense(8, "relu"), *last])


def functional(function):
    x = keras.Input([4])
    return keras.Model(x, function(layers.Dense(3)(x)))


def built(model):
    keras.utils.set_random_seed(1)
    model = model()
    model(inputs())
    return model


PROBABILITIES = {
    "softmax": lambda: sequential(layers.Dense(3, "softmax")),
    "sigmoid": lambda: sequential(layers.Dense(1, "sigmoid")),
    "activation layer": lambda: sequential(layers.Dense(3), layers.Activation("softmax")),
    "softmax layer": lambda: sequential(layers.Dense(3), layers.Softmax()),
    "nested": lambda: sequential(
        keras.Sequential([layers.Dense(3), keras.Sequential([layers.Dense(3, "softmax")])])
    ),
    "subclassed": lambda: Subclassed(3, activation="softmax"),
    "keras.ops in a graph": lambda: functional(keras.ops.softmax),
    "tf in call": lambda: Subclassed(3, tf.nn.softmax),
    "sigmoid in call": lambda: Subclassed(1, tf.sigmoid),
    "reshaped": lambda: sequential(layers.Dense(3, "softmax"), layers.Reshape([3])),
}
VISIBLE = ("softmax", "sigmoid", "activation layer", "softmax layer", "nested", "subclassed")
LOGITS = {
    "linear": lambda: sequential(layers.Dense(3)),
    "single": lambda: sequential(layers.Dense(1)),
    "nested": lambda: sequential(keras.Sequential([layers.Dense(3)])),
    "subclassed": lambda: Subclassed(3),
    "single subclassed": lambda: Subclassed(1),
    "softmax inside": lambda: sequential(layers.Dense(3, "softmax"), layers.Dense(3)),
    "log softmax": lambda: sequential(layers.Dense(3, "log_softmax")),
}


@pytest.mark.parametrize("form", PROBABILITIES)
def test_models_that_give_probabilities(form):
    assert not output_kind.gives_logits(built(PROBABILITIES[form]), inputs())
    if form in VISIBLE:
        assert not output_kind.gives_logits(built(PROBABILITIES[form]))


@pytest.mark.parametrize("form", LOGITS)
def test_models_that_give_logits(form):
    assert output_kind.gives_logits(built(LOGITS[form]), inputs())
    assert output_kind.gives_logits(built(LOGITS[form]))


def test_small_logits_are_not_taken_for_probabilities():
    model = built(lambda: Subclassed(1))
    model.out.kernel.assign(model.out.kernel * 1e-2)
    model.out.bias.assign([0.5])
    assert ((0 < model(inputs())) & (model(inputs()) < 1)).numpy().all()
    assert output_kind.gives_logits(model, inputs())


@pytest.mark.parametrize(
    "loss, logits",
    [
        (keras.losses.BinaryCrossentropy(from_logits=True), True),
        (keras.losses.BinaryCrossentropy(), False),
        ("binary_crossentropy", False),
        ("mse", True),
    ],
)
def test_what_the_loss_was_told_counts_where_no_layer_tells(loss, logits):
    model = built(lambda: Subclassed(1, lambda outputs: outputs * 1.0))
    model.compile("sgd", loss)
    assert output_kind.gives_logits(model) == logits


@pytest.mark.parametrize("integers", [False, True])
def test_inputs_may_be_a_dict_or_integers(integers):
    x = {"a": keras.Input([2], dtype="int32" if integers else "float32")}
    hidden = layers.Embedding(5, 3)(x["a"]) if integers else x["a"]
    model = keras.Model(x, keras.ops.softmax(layers.Dense(3)(layers.Flatten()(hidden))))
    values = generator().integers(0, 5, (8, 2)).astype("int32") if integers else inputs(8)[:, :2]
    assert not output_kind.gives_logits(model, {"a": values})


# Compiling


def y_for(units, one_hot):
    y = np.arange(50) % max(units, 2)
    return np.eye(units, dtype="float32")[y] if one_hot else y


@pytest.mark.parametrize("kind", [sequential, Subclassed])
@pytest.mark.parametrize(
    "units, activation, one_hot, loss",
    [
        (3, "softmax", False, "SparseCategoricalCrossentropy"),
        (3, "softmax", True, "CategoricalCrossentropy"),
        (3, None, False, "SparseCategoricalCrossentropy"),
        (1, "sigmoid", False, "BinaryCrossentropy"),
        (1, None, False, "BinaryCrossentropy"),
    ],
)
def test_loss_and_accuracy_fit_outputs_and_targets(kind, units, activation, one_hot, loss):
    last = [layers.Dense(units, activation)] if kind is sequential else [units, None, activation]
    model, y = built(lambda: kind(*last)), y_for(units, one_hot)
    compiling.compile_for(model, classification(y, max(units, 2)), keras.optimizers.SGD(0.1))
    assert type(model.loss).__name__ == loss
    assert model.loss.get_config()["from_logits"] == (activation is None)
    measured = model.evaluate(inputs(), y, verbose=0, return_dict=True)
    outputs = model.predict(inputs(), verbose=0)
    predicted = output_kind.predicted_classes(outputs, logits=activation is None)
    assert measured["accuracy"] == pytest.approx(
        np.mean(predicted == np.arange(50) % max(units, 2))
    )
    assert 0 < measured["accuracy"] < 1


def test_macro_f1_is_watched_where_classes_are_imbalanced():
    y = (np.arange(50) < 10).astype(int)
    for watch, watched in ((True, y), (False, y), (True, np.arange(50) % 2)):
        model = built(LOGITS["single"])
        compiling.compile_for(model, classification(watched, 2), "sgd", watch=watch)
        measured = model.evaluate(inputs(), watched, verbose=0, return_dict=True)
        assert ("macro_f1" in measured) == (watch and watched is y)
        if "macro_f1" in measured:
            predicted = model.predict(inputs(), verbose=0)[:, 0] > 0
            expected = sklearn_metrics.f1_score(y, predicted, average="macro")
            assert measured["macro_f1"] == pytest.approx(expected, rel=1e-5)


def test_regression_is_trained_on_squared_errors():
    model = built(lambda: sequential(layers.Dense(1)))
    y = generator(3).normal(size=50).astype("float32")
    compiling.compile_for(model, regression(y), "sgd")
    measured = model.evaluate(inputs(), y, verbose=0, return_dict=True)
    errors = model.predict(inputs(), verbose=0)[:, 0] - y
    assert measured == pytest.approx(
        {"loss": np.mean(errors**2), "mae": np.mean(np.abs(errors))}, rel=1e-4
    )


def test_what_the_builder_compiled_is_kept_but_for_the_optimizer():
    model = built(lambda: sequential(layers.Dense(3, "softmax")))
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, "top")]
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile("adam", loss, metrics=metrics, loss_weights=[2.0], run_eagerly=True)
    optimizer = keras.optimizers.SGD(0.3)
    compiling.compile_for(
        model, classification(np.arange(50) % 3), optimizer, steps_per_execution=5
    )
    assert model.loss is loss and model.optimizer is optimizer
    assert model.steps_per_execution == 5 and model.run_eagerly
    measured = model.evaluate(inputs(), np.arange(50) % 3, verbose=0, return_dict=True)
    assert set(measured) == {"loss", "accuracy", "top"}
    plain = float(loss(np.arange(50) % 3, model(inputs())))
    assert measured["loss"] == pytest.approx(2 * plain, rel=1e-4)


def test_a_model_with_a_compile_of_its_own():
    class Own(keras.Sequential):
        def compile(self, flavor):
            super().compile("adam", "mse", metrics=["mae"])
            self.flavor = flavor

    model = Own([keras.Input([4]), layers.Dense(1)])
    model.compile(flavor="sweet")
    compiling.compile_for(model, regression(np.zeros(50)), "sgd")
    assert (
        model.flavor == "sweet"
        and model.loss == "mse"
        and type(model.optimizer) is keras.optimizers.SGD
    )


# The objective


def compiled(metrics):
    model = built(lambda: sequential(layers.Dense(3, "softmax")))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    return model


@pytest.mark.parametrize(
    "metrics, objective",
    [
        (["accuracy"], Objective("accuracy", "max")),
        (["acc"], Objective("acc", "max")),
        ([keras.metrics.SparseCategoricalAccuracy(name="accuracy")], Objective("accuracy", "max")),
        (["mae"], Objective("loss", "min")),
        (None, Objective("loss", "min")),
    ],
)
def test_the_objective_is_the_accuracy_where_it_is_measured(metrics, objective):
    assert (
        compiling.default_objective(compiled(metrics), classification(np.arange(9) % 3))
        == objective
    )
    compiling.check_objective(objective, compiled(metrics))


def test_the_objective_of_a_regression_is_the_loss():
    assert compiling.default_objective(
        compiled(["accuracy"]), regression(np.zeros(9))
    ) == Objective("loss", "min")


def test_an_objective_that_is_not_measured_is_refused_by_name():
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, "top")
    words = "val_acu.*did you mean `val_auc`.*The model has: val_loss, val_accuracy, val_top"
    with pytest.raises(ValueError, match=words) as refused:
        compiling.check_objective(Objective("acu", "max"), compiled(["accuracy", top]))
    assert "\n" not in str(refused.value)


# Figures


def test_predictions_are_float32_and_whole():
    model = built(PROBABILITIES["softmax"])
    x = inputs(output_kind.PREDICTION_BATCH + 3)
    outputs = output_kind.predict(model, x)
    assert outputs.dtype == np.float32 and outputs.shape == (len(x), 3)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-5)


def test_predicted_classes():
    assert output_kind.predicted_classes(
        np.array([[0.1, 0.9], [0.7, 0.3]]), logits=False
    ).tolist() == [1, 0]
    assert output_kind.predicted_classes(np.array([[0.4], [0.6], [-1]]), logits=False).tolist() == [
        0,
        1,
        0,
    ]
    assert output_kind.predicted_classes(np.array([[0.4], [0.6], [-1]]), logits=True).tolist() == [
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("one_hot", [False, True])
def test_figures_of_classes(one_hot):
    true, outputs = generator(1).choice(3, 60, p=[0.7, 0.2, 0.1]), generator(2).random((60, 3))
    problem = classification(np.eye(3)[true] if one_hot else true)
    predicted = outputs.argmax(axis=1)
    found = scoring.figures(problem, problem.validation, outputs, logits=False)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    assert found["macro_f1"] == pytest.approx(
        sklearn_metrics.f1_score(true, predicted, average="macro")
    )
    model = built(PROBABILITIES["softmax"])
    each = scoring.example_scores(
        model, problem, problem.validation, outputs, Objective("accuracy", "max")
    )
    assert each.tolist() == (predicted == true).astype(float).tolist()
    each = scoring.example_scores(
        model, problem, problem.validation, outputs, Objective("macro_f1", "max")
    )
    assert each.mean() == pytest.approx(found["macro_f1"])


@pytest.mark.parametrize("outputs", [1, 2])
def test_figures_of_numbers_are_in_the_users_units(outputs):
    shape = (60,) if outputs == 1 else (60, outputs)
    mean, scale = (100.0, 5.0) if outputs == 1 else (np.array([100.0, -3.0]), np.array([5.0, 0.1]))
    y = generator(1).normal(size=shape).astype("float32")
    predicted = (y.reshape(60, outputs) + generator(2).normal(size=(60, outputs))).astype("float32")
    problem = regression(y, target_mean=mean, target_scale=scale)
    found = scoring.figures(problem, problem.validation, predicted, logits=True)
    true, guessed = y.reshape(60, outputs) * scale + mean, predicted * scale + mean
    assert found["mae"] == pytest.approx(
        sklearn_metrics.mean_absolute_error(true, guessed), rel=1e-4
    )
    assert found["rmse"] == pytest.approx(
        np.sqrt(sklearn_metrics.mean_squared_error(true, guessed)), rel=1e-4
    )
    assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(true, guessed), rel=1e-4)
    each = scoring.example_scores(
        compiled_for_loss("mse"), problem, problem.validation, predicted, Objective("loss", "min")
    )
    np.testing.assert_allclose(
        each, -np.mean((predicted - y.reshape(60, outputs)) ** 2, axis=1), rtol=1e-5
    )
    each = scoring.example_scores(
        compiled_for_loss("mae"), problem, problem.validation, predicted, Objective("loss", "min")
    )
    target = y if outputs == 2 else y.reshape(60, 1)
    if outputs == 2:
        np.testing.assert_allclose(each, -np.abs(predicted - target).mean(axis=1), rtol=1e-5)


def compiled_for_loss(loss):
    model = built(PROBABILITIES["softmax"])
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    "loss, objective, measure",
    [
        ("sparse_categorical_crossentropy", Objective("accuracy", "max"), "accuracy"),
        ("sparse_categorical_crossentropy", Objective("macro_f1", "max"), "macro-F1"),
        (keras.losses.SparseCategoricalCrossentropy(), Objective("loss", "min"), "loss"),
        (lambda y, p: 0.0, Objective("auc", "max"), "accuracy"),
    ],
)
def test_examples_are_scored_by_the_objective_or_what_is_nearest_to_it(loss, objective, measure):
    assert (
        scoring.scored_by(compiled_for_loss(loss), classification(np.arange(9) % 3), objective)
        == measure
    )


@pytest.mark.parametrize("name", ["precision", "recall", "auc"])
def test_what_rare_classes_count_for_is_scored_by_macro_f1_where_there_are_any(name):
    model, rare = (
        compiled_for_loss("sparse_categorical_crossentropy"),
        (np.arange(12) > 9).astype(int),
    )
    assert scoring.scored_by(model, classification(rare, 2), Objective(name, "max")) == "macro-F1"
    assert (
        scoring.scored_by(model, classification(rare, 2), Objective("accuracy", "max"))
        == "accuracy"
    )


def test_the_loss_of_every_example_counts_as_its_weight_says():
    true, outputs = np.arange(9) % 3, generator(2).random((9, 3)).astype("float32")
    outputs /= outputs.sum(axis=1, keepdims=True)
    problem = classification(true)
    weighted = Part(problem.validation.x, true, np.r_[np.zeros(8), 9.0])
    model = compiled_for_loss("sparse_categorical_crossentropy")
    plain = scoring.example_scores(
        model, problem, problem.validation, outputs, Objective("loss", "min")
    )
    np.testing.assert_allclose(plain, np.log(outputs[np.arange(9), true]), rtol=1e-4)
    each = scoring.example_scores(model, problem, weighted, outputs, Objective("loss", "min"))
    np.testing.assert_allclose(each, np.r_[np.zeros(8), 9 * plain[8]], rtol=1e-4)


# What outputs mean, found out once


@pytest.mark.parametrize(
    "last, loss, known",
    [
        (layers.Dense(3, "softmax"), None, OutputKind("classification")),
        (layers.Dense(1, "sigmoid"), None, OutputKind("classification", is_binary=True)),
        (layers.Dense(3), "mse", OutputKind("regression")),
        (
            layers.Dense(3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            OutputKind("classification", are_logits=True),
        ),
        (
            layers.Dense(2),
            keras.losses.BinaryCrossentropy(from_logits=True),
            OutputKind("classification", are_logits=True, is_binary=True),
        ),
    ],
)
def test_what_outputs_mean(last, loss, known):
    model = keras.Sequential([keras.Input([4]), type(last).from_config(last.get_config())])
    if loss is not None:
        model.compile("sgd", loss)
    assert output_kind.of(model) == known
    outputs = np.array([[-1.0, 2.0]])
    expected = {
        (False, False): outputs,
        (False, True): outputs,
        (True, False): tf.nn.softmax(outputs),
        (True, True): tf.sigmoid(outputs),
    }[known.are_logits, known.is_binary]
    np.testing.assert_allclose(known.averageable(outputs), expected, rtol=1e-6)
    assert known.threshold == (0.0 if known.are_logits else 0.5)


@pytest.mark.parametrize(
    "metric, expected",
    [
        (keras.metrics.AUC(name="area"), "area"),
        ("auc", "auc"),
        (keras.metrics.AUC(curve="PR"), "macro_f1"),
    ],
)
def test_a_measured_roc_auc_chooses_where_classes_are_imbalanced(metric, expected):
    rare, balanced = (np.arange(50) < 10).astype(int), np.arange(50) % 2
    model = built(PROBABILITIES["sigmoid"])
    model.compile("sgd", "binary_crossentropy", metrics=[metric])
    problem = classification(rare, 2)
    compiling.compile_for(model, problem, "sgd", watch=True)
    objective = compiling.default_objective(model, problem)
    assert objective.name == expected
    assert compiling.default_objective(model, classification(balanced, 2)).name == "loss"
    measure = scoring.scored_by(model, problem, objective)
    assert measure == ("ROC AUC" if expected != "macro_f1" else "macro-F1")
    outputs = model.predict(inputs(), verbose=0)
    each = scoring.example_scores(model, problem, problem.validation, outputs, objective)
    if measure == "ROC AUC":
        assert each.mean() == pytest.approx(sklearn_metrics.roc_auc_score(rare, outputs[:, 0]))
