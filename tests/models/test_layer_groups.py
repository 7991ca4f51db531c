"""Layers by depth on real models: frozen ones stay, others move by their multiplier."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.models import layer_groups
from kerastune.objective import Objective
from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe
from kerastune.training import optimizers
from kerastune.training.trainer import Trainer
from kerastune.trial import TrialSpec

PLAIN = Recipe(
    learning_rate=0.05,
    batch_size=16,
    total_steps=100,
    initializers="keep",
    decay="none",
    weight_decay=0.1,
)
TOP, BOTTOM = slice(2, 4), slice(0, 2)  # of the weights of `build`: kernels and biases by level


def part(seed):
    x = np.random.default_rng(seed).normal(size=(64, 4)).astype("float32")
    return Part(x, (x[:, 0] > 0).astype("int32"))


PROBLEM = Problem("toy", "classification", part(1), part(2), class_names=("a", "b"))


class Counting(keras.Sequential):
    traces = 0

    def train_step(self, data):
        type(self).traces += 1
        return super().train_step(data)


def build(hyperparameters=None):
    return Counting([keras.Input([4]), layers.Dense(5, "tanh"), layers.Dense(2, "softmax")])


def normalized(hyperparameters=None):
    """A backbone as one layer, with BatchNorm in it, under a head."""
    inside = [layers.Dense(5), layers.BatchNormalization(), layers.ReLU(), layers.Dense(4, "tanh")]
    backbone = keras.Sequential([keras.Input([4]), *inside], name="backbone")
    return keras.Sequential([keras.Input([4]), backbone, layers.Dense(2, "softmax")])


def trained(trainer, steps=1, **changes):
    """The weights before and after some steps, and the outcome."""
    recipe = PLAIN.replace(**changes)
    before = trainer.initial_state(recipe)
    outcome, state, _ = trainer.run(TrialSpec("a", "lr", recipe, 0, steps))
    return before, state.model, outcome


def moved(trainer, **changes):
    before, after, _ = trained(trainer, **changes)
    return [np.abs(b - a).max() for a, b in zip(before, after, strict=True)]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def trainer():
    return Trainer(PROBLEM, build, Objective("accuracy", "max"))


def test_a_multiplier_of_a_tenth_moves_a_variable_a_tenth_and_zero_nothing(trainer):
    settings = {"momentum": 0.9}
    before, usual, _ = trained(trainer, **settings)
    _, slowed, _ = trained(trainer, layer_rate=["dense=0.1", "dense_1/bias=0"], **settings)
    for index in range(2):
        step = (usual[index] - before[index]) / 10
        np.testing.assert_allclose(slowed[index] - before[index], step, rtol=1e-3, atol=1e-8)
    assert np.array_equal(slowed[2], usual[2]) and np.array_equal(slowed[3], before[3])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_nothing_moves_at_zero_with_momentum_weight_decay_and_many_steps(optimizer, trainer):
    changes = {"optimizer": optimizer, "weight_decay": 0.3, "layer_rate": ["dense=0"], "steps": 30}
    before, after, _ = trained(trainer, **changes)
    assert same(before[BOTTOM], after[BOTTOM]) and not np.allclose(before[2], after[2])
    assert not np.allclose(before[0], trained(trainer, **changes | {"layer_rate": []})[1][0])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_multipliers_of_one_are_bit_for_bit_the_plain_training(optimizer, trainer):
    settings = {"optimizer": optimizer, "steps": 60}
    _, plain, outcome = trained(trainer, **settings)
    _, multiplied, again = trained(trainer, layer_rate=["*=1"], **settings)
    assert same(plain, multiplied) and np.array_equal(outcome.losses, again.losses)


def test_nothing_is_traced_again_when_a_multiplier_changes(trainer):
    trained(trainer, layer_decay=0.5)
    before = Counting.traces
    steps = [moved(trainer, layer_decay=decay)[0] for decay in (0.5, 0.1)]
    assert moved(trainer, layer_rate=["dense=0.05"])[0] == pytest.approx(steps[0] / 10, rel=1e-3)
    assert Counting.traces == before and steps[1] == pytest.approx(steps[0] / 5, rel=1e-3)


def test_recorded_update_norms_are_those_of_the_multiplied_steps(trainer):
    before, after, outcome = trained(trainer, layer_decay=0.25)
    assert outcome.layers == ("dense", "dense_1")
    expected = [np.linalg.norm(after[index] - before[index]) for index in (0, 2)]
    np.testing.assert_allclose(outcome.update_norms[0], expected, rtol=1e-3)


def test_the_head_moves_first_and_the_others_when_their_time_has_come(trainer):
    rests = {"head_fraction": 0.3, "layer_rate": ["dense_1/bias=0.5"]}
    before, after, _ = trained(trainer, steps=30, **rests)
    assert same(before[BOTTOM], after[BOTTOM]) and not np.allclose(before[2], after[2])
    assert all(
        np.abs(b - a).max() > 0
        for a, b in zip(before, trained(trainer, steps=31, **rests)[1], strict=True)
    )


def test_slots_go_on_collecting_where_nothing_moves_and_one_norm_clips_all():
    variables = [keras.Variable(np.ones(2, "float32")) for _ in range(2)]
    optimizer = optimizers.tunable(Recipe(nesterov=False), layered=True, global_clipnorm=1.0)
    optimizer.build(variables)
    optimizers.configure(optimizer, np.array([0.1]), Recipe(momentum=0.5))
    optimizers.configure_layers(optimizer, np.array([[0, 1], [1, 1]]), 2)
    for _ in range(2):
        optimizer.apply([tf.constant([3.0, 0.0]), tf.constant([0.0, 4.0])])
    # Of the norm 5 all gradients together are clipped to 1, what rests included.
    np.testing.assert_allclose(variables[1].numpy(), [1, 1 - 0.8 * 0.1 - 0.8 * 0.15], rtol=1e-6)
    assert variables[0].numpy().tolist() == [1, 1]
    optimizer.apply([tf.constant([0.0, 0.0]), tf.constant([0.0, 0.0])])
    np.testing.assert_allclose(variables[0].numpy(), [1 - 0.5 * 0.6 * 0.15, 1], rtol=1e-6)


def test_a_multiplied_run_goes_on_from_its_checkpoint_bit_by_bit(trainer):
    recipe = PLAIN.replace(layer_decay=0.3, head_fraction=0.6, optimizer="adam")
    whole = trainer.run(TrialSpec("a", "lr", recipe, 0, 100))[1]
    _, half, _ = trainer.run(TrialSpec("b", "lr", recipe, 0, 50))
    resumed = trainer.run(TrialSpec("b", "lr", recipe, 50, 100), half)[1]
    assert same(whole.model, resumed.model) and same(whole.optimizer, resumed.optimizer)


# Frozen


@pytest.fixture(scope="module")
def nested():
    return Trainer(PROBLEM, normalized, Objective("accuracy", "max"))


def by_name(model, values):
    return {
        variable.path.split("/", 1)[-1]: value
        for variable, value in zip(model.variables, values, strict=True)
    }


def test_levels_of_a_nested_model_count_from_the_input():
    model = normalized()
    names = [
        [layer_groups.forward(model)[layer] for layer in level]
        for level in layer_groups.levels(model)
    ]
    inside = [
        [("backbone", "dense"), ("backbone", "batch_normalization")],
        [("backbone", "dense_1")],
    ]
    assert names == [*inside, [("dense_2",)]]


def test_frozen_layers_keep_their_weights_and_their_moving_statistics(nested):
    before, after, outcome = trained(nested, steps=20, frozen=1)
    assert outcome.layers == ("dense_1", "dense_2")
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    # Kernel and bias, then gamma, beta, mean and variance of the frozen BatchNorm; the others move.
    assert changed[:6] == [False] * 6 and all(changed[6:10])
    assert all(
        np.abs(b - a).max() > 0
        for a, b in zip(before[:6], trained(nested, steps=20)[1][:6], strict=True)
    )


def test_statistics_of_what_rests_at_first_are_kept_too(nested):
    before, after, _ = trained(nested, steps=40, head_fraction=0.2)
    assert not np.array_equal(before[0], after[0]) and same(before[2:6], after[2:6])


@pytest.mark.slow
def test_what_the_builder_froze_is_no_level_and_stays_frozen():
    def build(hyperparameters):
        model = normalized()
        model.layers[0].layers[0].trainable = False
        return model

    # Its BatchNorm belongs to the next layer with a kernel.
    assert len(layer_groups.levels(build({}))) == 2
    before, after, _ = trained(
        Trainer(PROBLEM, build, Objective("accuracy", "max")), steps=5, layer_decay=0.5
    )
    assert same(before[:2], after[:2]) and not np.array_equal(before[2], after[2])


def test_own_weights_of_a_model_are_frozen_without_what_is_inside():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inside = layers.Dense(2)
            self.scale = self.add_weight(shape=[4, 4], name="scale")

        def call(self, x):
            return self.inside(x @ self.scale)

    model = Own()
    model(np.zeros([1, 4], "float32"))
    layer_groups.freeze(layer_groups.levels(model), Recipe(frozen=1))
    assert [variable.name for variable in model.trainable_variables] == ["kernel", "bias"]


@pytest.mark.slow
def test_a_finished_model_says_what_was_frozen_and_loads_without_kerastune(nested, tmp_path):
    recipe = PLAIN.replace(frozen=2, layer_decay=0.5)
    _, state, _ = nested.run(TrialSpec("a", "lr", recipe, 0, 5))
    nested.finished_model(recipe, state).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras.optimizers.SGD and len(loaded.trainable_variables) == 2
    assert same([variable.numpy() for variable in loaded.layers[-1].weights], state.model[-2:])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"frozen": 3}, r"`frozen` \(3\) must be below the 3 layers"),
        ({"head": 3, "head_fraction": 0.5}, r"`head` \(3\) must be below the 3 layers"),
        ({"layer_rate": ["back=0.1"]}, "'back' matches no layer and no variable"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_before_training(changes, words, nested):
    with pytest.raises(ValueError, match=words):
        nested.run(TrialSpec("a", "lr", PLAIN.replace(**changes), 0, 5))
