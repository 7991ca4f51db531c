"""What a model says of its targets, before anything is trained."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerastune.models import compiling, hypermodels, output_kind, scoring
from kerastune.problem import Part, Problem
from kerastune.trial import Objective

X = np.random.default_rng(2).normal(size=(30, 4)).astype("float32")


def sequential(*last):
    return keras.Sequential([keras.Input([4]), layers.Dense(8, "relu"), *last])


def zero_head(*last):
    return sequential(layers.Dense(3, kernel_initializer="zeros"), *last)


def with_function(function):
    x = keras.Input([4])
    return keras.Model(x, function(layers.Dense(3, kernel_initializer="zeros")(x)))


class Late(keras.Model):
    def __init__(self, function=None):
        super().__init__()
        self.out = layers.Dense(3, kernel_initializer="zeros")
        self.function = function

    def call(self, x):
        return self.function(self.out(x)) if self.function else self.out(x)


@pytest.mark.parametrize(
    "model, logits",
    [
        (zero_head(), True),
        (zero_head(layers.Softmax()), False),
        (zero_head(layers.Activation("softmax")), False),
        (keras.Sequential([keras.Input([4]), zero_head()]), True),
        (with_function(ops.softmax), False),
        (with_function(lambda x: ops.softmax(x) * 0.5 + 0.1), False),
    ],
)
def test_the_end_of_the_graph_is_believed_before_untrained_outputs(model, logits):
    assert output_kind.gives_logits(model, X) is logits


@pytest.mark.parametrize("function, logits", [(None, True), (ops.softmax, False)])
def test_zeros_are_no_probabilities(function, logits):
    model = Late(function)
    model(X)
    assert output_kind.gives_logits(model, X) is logits


def test_a_compiled_model_declares_loss_outputs_and_activation():
    model = sequential(layers.Dense(1, "softplus"))
    assert not output_kind.declared(model).is_compiled
    model.compile("sgd", "poisson", metrics=["accuracy"])
    said = output_kind.declared(model, X)
    assert (said.loss, said.width, said.activation) == ("poisson", 1, "softplus")
    assert said.measures_accuracy and not said.is_own_loss and not said.adds_losses


def test_a_function_at_the_end_has_a_scale_though_the_last_layer_has_none():
    model = with_function(ops.exp)
    model.compile("sgd", keras.losses.MeanSquaredError())
    assert output_kind.declared(model).activation == "exp"


def test_layers_that_add_losses_are_seen():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(ops.mean(ops.square(x)))
            return x

    model = sequential(Adds(), layers.Dense(1))
    model.compile("sgd", "mse")
    assert output_kind.declared(model, X).adds_losses


def test_several_outputs_are_declared_by_name():
    x = keras.Input([4])
    outputs = [layers.Dense(1, name="b")(x), layers.Dense(2, name="a")(x)]
    listed = keras.Model(x, outputs)
    named = keras.Model(x, {"p": outputs[0], "q": outputs[1]})
    for model, names, is_listed in ((listed, ("b", "a"), True), (named, ("p", "q"), False)):
        model.compile("sgd", "mse")
        said = output_kind.declared(model)
        assert (said.num_outputs, said.names, said.is_listed) == (2, names, is_listed)
        assert said.width is None


def test_a_model_built_late_tells_its_outputs_when_it_sees_inputs():
    model = Late()
    model.compile("sgd", lambda y, p: ops.mean(ops.square(y - p)))
    assert output_kind.declared(model).num_outputs == 0
    said = output_kind.declared(model, X)
    assert said.width == 3 and said.is_own_loss
    assert output_kind.declared(Late(), np.zeros([2, 3, 3, 3], str)).num_outputs == 0


def test_metrics_of_several_outputs_have_their_names_in_the_logs():
    x = keras.Input([4])
    model = keras.Model(x, {"p": layers.Dense(1, name="p")(x), "q": layers.Dense(1, name="q")(x)})
    model.compile("sgd", "mse", metrics={"p": ["mae"], "q": ["mse", "mae"]})
    assert compiling.metric_names(model) == ["p_mae", "q_mse", "q_mae"]


def test_numbers_in_the_users_units_are_scored_by_the_variance_that_is_explained():
    y = np.linspace(0, 500, 30).astype("float32")
    part = Part(X, y)
    problem = Problem("toy", "regression", part, part, target_std=float(y.std()))
    model = sequential(layers.Dense(1))
    model.compile("sgd", "mse")
    outputs = np.full([30, 1], y.mean(), "float32")
    scores = scoring.example_scores(model, problem, part, outputs, Objective("loss", "min"))
    assert scores.mean() == pytest.approx(-1, rel=1e-5)
    assert scoring.figures(problem, part, outputs, False)["rmse"] == pytest.approx(y.std())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_sequential_without_an_input_takes_batches_of_any_size(count):
    def build(hp):
        model = keras.Sequential([layers.Dense(5)])
        model.compile("sgd", "mse")
        return model

    found = hypermodels.asking(hypermodels.BuildFunction(build), {})(
        np.zeros([count, 12], "float32")
    )
    assert (found.batch_size, found.numbers) == (None, 5)
