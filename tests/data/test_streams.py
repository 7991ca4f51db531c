"""A `tf.data.Dataset` is prepared as arrays are, or refused in one line."""

import numpy as np
import pytest
import tensorflow as tf

from kerastune.data import checks, loading, memory
from kerastune.data.batches import Batches
from kerastune.problem import OTHER, Declared


def examples(num_examples=60, num_classes=3, seed=0):
    y = np.arange(num_examples) % num_classes
    return np.random.default_rng(seed).normal(5.0, 2.0, (num_examples, 4)), y


def dataset(x, y, *weight):
    return tf.data.Dataset.from_tensor_slices((x, y, *weight))


@pytest.mark.parametrize("batch", [0, 8])
def test_a_dataset_becomes_a_stream_of_prepared_single_examples(batch):
    x, y = examples()
    stream = dataset(x, y).batch(batch) if batch else dataset(x, y)
    problem = loading.from_arrays(stream, validation_data=dataset(x, y).batch(7), prepare=True)
    arrays = loading.from_arrays(x, y, validation_data=(x, y), prepare=True)
    assert (
        problem.train is None
        and len(problem.stream) == 60
        and problem.class_names == ("0", "1", "2")
    )
    streamed = list(problem.stream.as_numpy_iterator())
    np.testing.assert_allclose(np.stack([x for x, _ in streamed]), arrays.train.x, atol=1e-5)
    assert [int(y) for _, y in streamed] == arrays.train.y.tolist()
    np.testing.assert_allclose(problem.validation.x, arrays.validation.x, atol=1e-5)
    checks.check(problem, 60)
    with pytest.raises(ValueError, match="larger than the training part"):
        checks.check(problem, 61)


def test_a_dataset_for_ones_own_model_stays_as_it_is():
    x, y = examples()
    problem = loading.from_arrays(
        dataset(x, np.eye(3)[y]).batch(8, drop_remainder=True), validation_data=(x, np.eye(3)[y])
    )
    first_x, first_y = next(iter(problem.stream.as_numpy_iterator()))
    assert (first_x == x[0]).all() and (first_y == np.eye(3)[0]).all() and problem.attach is None


def test_one_hot_rows_of_a_dataset_are_numbered_for_built_in_models():
    x, y = examples()
    x = x[:, :3]  # as many features as classes: still single examples
    problem = loading.from_arrays(
        dataset(x, np.eye(3)[y]), validation_data=(x, np.eye(3)[y]), prepare=True
    )
    assert (
        [int(y) for _, y in problem.stream.as_numpy_iterator()]
        == y.tolist()
        == problem.validation.y.tolist()
    )


def test_dict_inputs_images_and_weights_of_a_dataset_are_prepared_as_arrays():
    x = {"a": np.arange(20.0), "b": np.random.default_rng(0).random((20, 3, 3))}
    y, weight = np.linspace(100, 200, 20), np.ones(20)
    problem = loading.from_arrays(
        dataset(x, y, weight), validation_data=(x, y, weight), prepare=True
    )
    streamed = list(problem.stream.as_numpy_iterator())
    for name in x:
        np.testing.assert_allclose(
            [x[name] for x, _, _ in streamed], problem.validation.x[name], atol=1e-5
        )
    np.testing.assert_allclose([y for _, y, _ in streamed], problem.validation.y, atol=1e-6)
    assert abs(problem.validation.y.mean()) < 1e-6 and streamed[0][2] == 1


def test_datasets_that_cannot_be_used_are_refused(monkeypatch):
    x, y = examples()
    good, nan = dataset(x, y), np.where(np.arange(60)[:, None] == 55, np.nan, x)
    ragged = tf.data.Dataset.from_generator(
        lambda: ((np.ones([1 + row // 300, 2]), row % 2) for row in range(600)),
        output_signature=(tf.TensorSpec((None, 2)), tf.TensorSpec((), tf.int64)),
    )
    for train, validation, message in [
        (good, None, "cannot be split"),
        (good.repeat(), good, "training part is infinite"),
        (good.batch(4).repeat().map(lambda x, y: (x, y)), good, "is infinite"),
        (good, good.repeat(), "validation part is infinite"),
        (ragged, good, "different shapes"),
        (good.take(0), good, "is empty"),
        (dataset(nan, y), good, "`x` of the training part has 4 values that are NaN"),
        (dataset(x[:, :3], y), good, "have the shapes"),
        (dataset(x, y * 10), dataset(x, y * 10), "must run from 0 on, got 0, 10, 20"),
        (dataset(x, y.astype(str)), good, "has dtype int64, that of the training part"),
        (tf.data.Dataset.from_tensor_slices(x), good, r"training part \{.x.: \(4,\)\}; give all"),
        (tf.data.Dataset.from_tensors((x, y, y, y)), good, r"must yield x, \(x, y\) or"),
    ]:
        with pytest.raises(ValueError, match=message):
            loading.from_arrays(train, validation_data=validation)
    with pytest.raises(ValueError, match="leave them out"):
        loading.from_arrays(good, y, validation_data=good)
    monkeypatch.setattr(memory, "available", lambda: 100)
    with pytest.raises(ValueError, match="validation part is larger than memory"):
        loading.from_arrays(good, validation_data=good)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: {"image": x}])
def test_a_dataset_of_inputs_alone_has_no_targets(wrap):
    x, _ = examples()
    stream = tf.data.Dataset.from_tensor_slices(x).batch(8).map(wrap)
    ask = lambda few: Declared(True, adds_losses=True)  # noqa: E731
    problem = loading.from_arrays(stream, validation_data=stream.take(2), ask=ask)
    held = problem.validation
    assert problem.kind == OTHER and len(held) == 16 and held.y is None
    assert int(problem.stream.cardinality()) == 60
    (first,) = next(iter(Batches(problem).training(4, seed=1, start=0, until=3)))
    assert (first["image"] if isinstance(first, dict) else first).shape == (4, 4)
