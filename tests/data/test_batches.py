"""Which examples a step sees is a function of the seed and the step."""

import numpy as np
import pytest
import tensorflow as tf

from kerastune.data.batches import VALIDATION_BATCH, Batches, inputs, order
from kerastune.problem import Part, Problem

N = 10


def problem(**changes):
    x = np.arange(N * 2, dtype="float32").reshape(N, 2)
    part = Part(x, np.arange(N) % 3)
    settings = {"train": part, "validation": part, "class_names": ("a", "b", "c")}
    return Problem("toy", "classification", **{**settings, **changes})


def seen(dataset):
    return [
        tuple(np.asarray(each) if not isinstance(each, dict) else each for each in batch)
        for batch in dataset
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 25])
def test_every_example_is_seen_once_per_epoch(batch_size):
    stream = order(N, batch_size, seed=1, start=0, until=20)
    assert len(stream) == 20 * batch_size and stream.dtype == np.int32
    for epoch in range(len(stream) // N):
        assert sorted(stream[epoch * N : (epoch + 1) * N]) == list(range(N))


def test_epochs_and_seeds_have_orders_of_their_own():
    epochs = order(50, 50, seed=1, start=0, until=4).reshape(4, 50)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert order(50, 50, seed=2, start=0, until=1).tolist() != epochs[0].tolist()
    assert order(50, 50, seed=1, start=0, until=4).tolist() == epochs.ravel().tolist()


@pytest.mark.parametrize("start, until", [(0, 1), (2, 3), (1, 9), (5, 12)])
def test_going_on_gives_what_the_whole_would_have_given(start, until):
    whole = order(N, 4, seed=3, start=0, until=12)
    assert (
        order(N, 4, seed=3, start=start, until=until).tolist()
        == whole[start * 4 : until * 4].tolist()
    )


def test_the_order_does_not_depend_on_the_global_seed():
    np.random.seed(1)
    first = order(N, 4, seed=3, start=0, until=5).tolist()
    np.random.seed(2)
    assert order(N, 4, seed=3, start=0, until=5).tolist() == first


def test_only_the_given_rows_are_seen_each_once_per_epoch():
    rows = np.array([1, 3, 4, 8], np.int32)
    batches = seen(Batches(problem()).training(2, seed=1, start=0, until=4, rows=rows))
    numbers = np.concatenate([x[:, 0] / 2 for x, _ in batches])
    assert sorted(numbers[:4]) == sorted(numbers[4:]) == rows.tolist()
    (whole,) = seen(Batches(problem()).training(2, seed=1, start=3, until=4, rows=rows))
    assert whole[0].tolist() == batches[3][0].tolist()


def test_training_batches_are_the_examples_of_the_order():
    batches = seen(Batches(problem()).training(4, seed=1, start=2, until=7))
    rows = order(N, 4, seed=1, start=2, until=7).reshape(5, 4)
    assert len(batches) == 5
    for (x, y), expected in zip(batches, rows, strict=True):
        assert x.tolist() == problem().train.x[expected].tolist()
        assert y.tolist() == problem().train.y[expected].tolist()


@pytest.mark.parametrize("batch_size", [1, 4, N])
def test_the_batch_dimension_stays_open(batch_size):
    batches = Batches(problem())
    for dataset in (batches.training(batch_size, 1, 0, 3), batches.validation()):
        assert [spec.shape.as_list()[0] for spec in dataset.element_spec] == [None, None]
        assert dataset.element_spec[0].shape.as_list() == [None, 2]
    assert int(batches.training(batch_size, 1, 0, 3).cardinality()) == 3


def test_validation_is_in_its_order_and_whole():
    x = np.arange(VALIDATION_BATCH + 7, dtype="float32")[:, None]
    part = Part(x, np.zeros(len(x), int), sample_weight=x[:, 0])
    batches = seen(Batches(problem(validation=part)).validation())
    assert [len(batch[0]) for batch in batches] == [VALIDATION_BATCH, 7]
    for column in (0, 2):
        assert (
            np.concatenate([batch[column] for batch in batches]).ravel().tolist()
            == x.ravel().tolist()
        )


@pytest.mark.parametrize("one_hot", [False, True])
def test_an_examples_weight_is_its_own_times_that_of_its_class(one_hot):
    own = np.linspace(0.5, 2, N)
    y = np.eye(3)[np.arange(N) % 3] if one_hot else np.arange(N) % 3
    by_class = np.array([2.0, 1.0, 0.0])[np.arange(N) % 3]  # the class that is not named counts 1
    for weight, class_weight, expected in [
        (own, None, own),
        (None, {0: 2.0, 2: 0.0}, by_class),
        (own, {0: 2.0, 2: 0.0}, own * by_class),
    ]:
        made = problem(train=Part(np.arange(N)[:, None], y, weight), class_weight=class_weight)
        for x, _, weights in seen(Batches(made).training(4, 1, 0, 5)):
            np.testing.assert_allclose(weights, expected[x[:, 0]], rtol=1e-6)


@pytest.mark.parametrize("own", [None, np.linspace(0.5, 2, N)])
def test_balanced_classes_weigh_the_same_in_all(own):
    y = np.where(np.arange(N) < 2, 1, 2)
    batches = Batches(problem(train=Part(np.arange(N)[:, None], y, own)))
    expected = np.where(y == 1, N / 4, N / (2 * (N - 2))) * (1 if own is None else own)
    for x, _, weights in seen(batches.training(4, 1, 0, 5, class_weights="balanced")):
        np.testing.assert_allclose(weights, expected[x[:, 0]], rtol=1e-6)
    assert len(batches.training(4, 1, 0, 5).element_spec) == (2 if own is None else 3)


def test_the_users_own_class_weights_win():
    made = problem(class_weight={0: 2.0})
    pair = (
        seen(Batches(made).training(4, 1, 0, 5, class_weights=each))
        for each in ("none", "balanced")
    )
    for one, other in zip(*pair, strict=True):
        np.testing.assert_array_equal(one[2], other[2])


def test_without_weights_batches_are_pairs():
    assert len(Batches(problem()).training(4, 1, 0, 1).element_spec) == 2


def test_class_weights_are_for_training_alone():
    assert len(Batches(problem(class_weight={0: 2.0})).validation().element_spec) == 2


def test_inputs_may_be_a_dict():
    x = {"a": np.arange(N), "b": np.arange(N * 3).reshape(N, 3)}
    batches = Batches(problem(train=Part(x, np.arange(N)), validation=Part(x, np.arange(N))))
    for examples, y in seen(batches.training(4, 1, 0, 5)):
        assert set(examples) == {"a", "b"}
        assert examples["a"].numpy().tolist() == y.tolist()
        assert examples["b"].numpy().tolist() == x["b"][y].tolist()


def stream(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


def test_a_stream_gives_exactly_the_steps_and_every_example_once_per_epoch():
    made = problem(train=None, stream=stream(np.arange(N), np.arange(N) % 3))
    dataset = Batches(made).training(5, seed=1, start=4, until=8)
    batches = seen(dataset)
    assert int(dataset.cardinality()) == len(batches) == 4
    assert dataset.element_spec[0].shape.as_list() == [None]
    x = np.concatenate([batch[0] for batch in batches])
    assert sorted(x[:N]) == sorted(x[N:]) == list(range(N))


def test_a_stream_has_an_order_of_its_seed():
    made = problem(train=None, stream=stream(np.arange(N), np.arange(N) % 3))
    tf.random.set_seed(1)
    orders = [
        [batch[0].tolist() for batch in seen(Batches(made).training(5, seed, 0, 4))]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("own", [None, np.linspace(0.5, 2, N)])
def test_class_weights_reach_a_stream(one_hot, own):
    y = np.eye(3)[np.arange(N) % 3] if one_hot else np.arange(N) % 3
    parts = (np.arange(N), y) if own is None else (np.arange(N), y, own)
    made = problem(train=None, stream=stream(*parts), class_weight={0: 2.0, 2: 0.0})
    expected = np.array([2.0, 1.0, 0.0])[np.arange(N) % 3] * (1.0 if own is None else own)
    for x, _, weights in seen(Batches(made).training(5, 1, 0, 4)):
        np.testing.assert_allclose(weights, expected[x], rtol=1e-6)


# augmentation


def test_other_inputs_get_noise_of_the_strength_and_integers_none():
    x = {
        "a": np.zeros([2000, 3], "float32"),
        "b": np.zeros([2000, 3], "float32"),
        "kind": np.arange(2000),
    }
    part = Part(x, np.arange(2000) % 3)
    batches = Batches(problem(train=part, validation=part)).training(500, 1, 3, 5, augmentation=0.1)
    (first, y), (second, _) = batches.as_numpy_iterator()
    assert first["kind"].tolist() != second["kind"].tolist() and (first["kind"] % 3 == y).all()
    for noise in (first["a"], first["b"], second["a"]):
        assert noise.std() == pytest.approx(0.1, rel=0.1) and abs(noise.mean()) < 0.01
    assert abs(np.corrcoef(first["a"].ravel(), first["b"].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(first["a"].ravel(), second["a"].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_step_has_its_own_noise_wherever_the_segment_starts(streamed):
    x, y = np.zeros([N, 2], "float32"), np.arange(N) % 3
    made = problem(train=None, stream=stream(x, y)) if streamed else problem(train=Part(x, y))
    whole = [batch[0] for batch in Batches(made).training(4, 7, 0, 4, 0.5).as_numpy_iterator()]
    rest = [batch[0] for batch in Batches(made).training(4, 7, 2, 4, 0.5).as_numpy_iterator()]
    np.testing.assert_array_equal(whole[2:], rest)
    other_seed = next(iter(Batches(made).training(4, 8, 0, 4, 0.5).as_numpy_iterator()))[0]
    assert not np.array_equal(whole[0], other_seed) and not np.array_equal(whole[0], whole[1])


def test_validation_is_never_augmented():
    made = Batches(problem())
    plain = [batch[0] for batch in made.validation().as_numpy_iterator()]
    next(iter(made.training(4, 1, 0, 4, 0.5)))
    np.testing.assert_array_equal(
        [batch[0] for batch in made.validation().as_numpy_iterator()], plain
    )


def test_inputs_come_in_their_order_and_nobody_waits_for_a_thread_that_tunes_the_pipeline():
    x = {"a": np.arange(10.0), "b": np.arange(20).reshape(10, 2)}
    found = inputs(x, 4)
    assert [len(batch["a"]) for (batch,) in found] == [4, 4, 2]
    for name, values in x.items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for (batch,) in found]), values)
    assert found.options().autotune.enabled is False


def test_every_epoch_of_a_stream_begins_with_a_batch_where_states_are_kept():
    single = tf.data.Dataset.from_tensor_slices((np.arange(N), np.zeros(N)))
    settings = {"train": None, "stream": single, "batch_size": 4, "shuffled": False}
    found = Batches(problem(**settings, is_stateful=True)).training(4, seed=1, start=0, until=4)
    assert [batch[0].tolist() for batch in seen(found)] == 2 * [[0, 1, 2, 3], [4, 5, 6, 7]]
