"""Magnitude pruning in anyone's `fit`."""

import copy
import doctest

import keras
import numpy as np
import pytest
from prepared_models import saved_and_loaded

from kerastune.callbacks import LinearDecay, MagnitudePruning, StepLogger
from kerastune.models import pruning


def network(constraint=None):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input([6]),
            keras.layers.Dense(16, activation="relu", kernel_constraint=constraint),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def data(count=192):
    generator = np.random.default_rng(0)
    x = generator.normal(size=[count, 6]).astype("float32")
    return x, np.digitize(x[:, 0] + x[:, 1], [-0.7, 0.7])


class Watch(keras.callbacks.Callback):
    """What is zero after every call of the train function.

    As the model stands when the next one begins.
    """

    def __init__(self):
        super().__init__()
        self.steps, self.shares, self.revived = [], [], 0

    def on_train_batch_end(self, batch, logs=None):
        kernels = [np.asarray(kernel) for kernel in pruning.prunable(self.model)]
        for kernel, variable in zip(kernels, pruning.prunable(self.model), strict=True):
            self.revived += int(np.count_nonzero(kernel[variable.constraint.mask.numpy() == 0]))
        self.steps.append(int(self.model.optimizer.iterations.numpy()))
        self.shares.append(pruning.measured(self.model))


def fitted(callbacks, steps_per_execution=1, model=None, optimizer=None, epochs=3):
    model = model or network()
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.9)
    model.compile(
        optimizer, "sparse_categorical_crossentropy", steps_per_execution=steps_per_execution
    )
    x, y = data()
    history = model.fit(
        x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks
    )
    return model, history.history


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_the_share_follows_its_schedule_and_no_zero_comes_back(steps_per_execution):
    watch = Watch()
    pruned = MagnitudePruning(0.75, end_step=24, begin_step=4, every=4)
    model, history = fitted([watch, pruned], steps_per_execution)
    assert watch.revived == 0
    assert watch.shares == sorted(watch.shares) and watch.steps[-1] == 36
    assert watch.shares[0] == 0 and watch.shares[-1] == 0.75
    assert history["sparsity"] == pytest.approx([0.75 * (1 - (12 / 20) ** 3), 0.75, 0.75], abs=0.01)
    # What is left went on learning, biases and normalizations were let alone.
    assert np.count_nonzero(np.asarray(model.layers[0].bias)) == 16
    assert np.count_nonzero(np.asarray(model.layers[1].gamma)) == 16


def test_within_an_execution_zeros_hold_at_every_step():
    """All steps are one execution.

    Without the mask in the graph, the first update would revive every weight.
    """
    model = network()
    pruning.prune(model, 0.5)
    zero = [np.asarray(kernel) == 0 for kernel in pruning.prunable(model)]
    before = np.asarray(model.layers[0].kernel)
    fitted([], steps_per_execution=12, model=model, optimizer=keras.optimizers.Adam(0.05), epochs=1)
    assert pruning.measured(model) == 0.5
    for kernel, was_zero in zip(pruning.prunable(model), zero, strict=True):
        assert ((np.asarray(kernel) == 0) == was_zero).all()
    assert np.abs(np.asarray(model.layers[0].kernel) - before).max() > 0.1


def test_new_masks_trace_nothing_and_a_model_that_was_trained_before_takes_them():
    traces = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = keras.Sequential(
        [keras.Input([6]), keras.layers.Dense(16), Counted(), keras.layers.Dense(3, "softmax")]
    )
    fitted([], model=model, epochs=1)
    x, y = data()
    count = len(traces)
    # Compiled once, traced without masks: the callback has to make Keras trace again, once.
    model.fit(
        x,
        y,
        batch_size=16,
        epochs=2,
        verbose=0,
        callbacks=[MagnitudePruning(0.5, 30, begin_step=12, every=2)],
    )
    assert pruning.measured(model) == 0.5 and len(traces) == count + 1
    model.fit(
        x, y, batch_size=16, epochs=1, verbose=0, callbacks=[MagnitudePruning(0.9, 44, every=2)]
    )
    assert pruning.measured(model) == pytest.approx(0.9, abs=0.01) and len(traces) <= count + 2


def test_an_own_constraint_holds_too_and_comes_back():
    constraint = keras.constraints.MaxNorm(0.3, axis=0)
    model = network(constraint)
    own = model.layers[0].kernel.constraint
    fitted([MagnitudePruning(0.6, end_step=10, every=5, scope="layer")], model=model)
    kernel = np.asarray(model.layers[0].kernel)
    assert (kernel == 0).mean() == pytest.approx(0.6, abs=0.01)
    assert np.linalg.norm(kernel, axis=0).max() < 0.301
    pruning.strip(model)
    assert model.layers[0].kernel.constraint is own and model.layers[2].kernel.constraint is None
    assert (np.asarray(model.layers[0].kernel) == kernel).all()
    # Without masks, training goes everywhere again.
    fitted([], model=model, epochs=1)
    assert pruning.measured(model) < 0.1


def test_what_is_saved_while_masks_are_on_needs_no_kerastune(tmp_path):
    model, _ = fitted([MagnitudePruning(0.5, end_step=5, every=1)])
    loaded = saved_and_loaded(model, tmp_path)
    x, _ = data()
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    assert pruning.measured(loaded) == 0.5 and len(loaded.weights) == len(network().weights)


def test_moving_averages_of_an_optimizer_revive_nothing():
    averaging = keras.optimizers.SGD(
        0.05, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=None
    )
    model, _ = fitted([MagnitudePruning(0.5, end_step=30, every=5)], optimizer=averaging)
    assert pruning.measured(model) == 0.5


def test_it_goes_with_other_callbacks_of_the_same_fit_and_can_be_copied(tmp_path):
    pruned = copy.deepcopy(MagnitudePruning(0.5, end_step=20, every=5))
    logger = StepLogger(str(tmp_path))
    model, history = fitted([logger, pruned, LinearDecay(36)])
    assert pruning.measured(model) == 0.5 and len(history["loss"]) == 3
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.05)
    (events,) = tmp_path.iterdir()
    assert events.read_bytes().count(b"step/loss") == 36


def test_only_kernels_are_pruned_unless_others_are_asked_for():
    keras.utils.set_random_seed(1)
    inputs = keras.Input([5], dtype="int32")
    x = keras.layers.Embedding(20, 8)(inputs)
    x = keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.GRU(4)(keras.layers.LayerNormalization()(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    paths = [variable.path for variable in pruning.prunable(model)]
    assert len(paths) == 4 + 2 + 1 and all(path.endswith("kernel") for path in paths)
    embeddings = [
        v.path for v in pruning.prunable(model, lambda variable: "embedding" in variable.path)
    ]
    assert len(embeddings) == 1
    model.layers[-1].trainable = False
    assert len(pruning.prunable(model)) == 6


def test_what_can_not_be_pruned_is_refused():
    plain = keras.Sequential([keras.Input([4]), keras.layers.BatchNormalization()], name="plain")
    with pytest.raises(
        ValueError,
        match="model `plain` has no trainable variable to prune: choose some with `which`",
    ):
        pruning.prune(plain, 0.5)
    with pytest.raises(ValueError, match="not built yet"):
        pruning.prune(keras.Sequential([keras.layers.Dense(2)]), 0.5)
    with pytest.raises(ValueError, match=r"`sparsity` must be a fraction in \[0, 1\)"):
        MagnitudePruning(1.0, end_step=10)
    with pytest.raises(ValueError, match="`end_step`"):
        MagnitudePruning(0.5, end_step=10, begin_step=20)
    with pytest.raises(ValueError, match="`scope`"):
        MagnitudePruning(0.5, end_step=10, scope="all")


@pytest.mark.slow
def test_loss_scaling_of_mixed_precision_keeps_the_zeros():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    watch = Watch()
    fitted([watch, MagnitudePruning(0.5, end_step=10, every=5)], steps_per_execution=2, model=model)
    assert watch.revived == 0 and pruning.measured(model) == 0.5


def test_examples():
    assert doctest.testmod(pruning).failed == 0
