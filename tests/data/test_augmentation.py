"""Augmentation: labels stay valid, and every step has its own changes, whatever came before it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerastune.data.augmentation import TURN, Augmentation, StepSeeds, shifted_in_time
from kerastune.data.batches import Batches, order
from kerastune.problem import Part, Problem


def images(count=300, side=21):
    """One bright spot of 3x3 pixels each, right of the middle."""
    x = np.zeros([count, side, side, 1], "float32")
    x[:, 9:12, 14:17] = 1
    return x


def centers(x):
    """Where the light of every image is, from its middle: `[n, 2]`."""
    side = x.shape[1]
    grid = (
        np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
        - (side - 1) / 2
    )
    return (x * grid).sum(axis=(1, 2)) / x.sum(axis=(1, 2))


def test_images_are_moved_and_turned_by_up_to_their_shares():
    moved = centers(np.asarray(Augmentation(0.1, False, seed=1)(images(), 0)))
    # The spot is 5 pixels from the middle, and moved before.
    turned = (5 + 2.1) * np.sin(2 * np.pi * TURN * 0.1)
    rows, columns = moved[:, 0], moved[:, 1] - 5
    for move, most in ((rows, 2.1 + turned), (columns, 2.1 + 0.1)):
        assert abs(move).max() <= most + 0.05
        assert min(move.max(), -move.min()) > 0.8 * 2.1
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.2  # drawn on their own


def test_what_is_moved_in_repeats_the_edge():
    stripes = np.tile(
        np.array([1.0, 0, 0, 0, 0, 0, 0, 0], "float32")[None, None, :, None], [200, 8, 1, 1]
    )
    moved = np.asarray(Augmentation(0.2, False, seed=1)(stripes, 0))[:, 4, 0, 0]
    assert (moved > 0.99).mean() > 0.4  # moved to the right: its bright edge goes on


def test_about_every_second_image_is_flipped_from_left_to_right_and_never_upside_down():
    x = np.random.default_rng(1).random([400, 5, 4, 2]).astype("float32")
    flipped = np.asarray(Augmentation(0.0, True, seed=1)(x, 3))
    as_it_was = (flipped == x).all(axis=(1, 2, 3))
    mirrored = (flipped == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (as_it_was ^ mirrored).all() and 0.4 < mirrored.mean() < 0.6


@pytest.mark.parametrize("colors", [[3], [1], []])
def test_images_of_bytes_change_as_those_of_floats_do_and_stay_bytes(colors):
    x = np.round(255 * np.random.default_rng(1).random([50, 9, 9, *colors]))
    augmentation = Augmentation(0.1, True, seed=1)
    changed = np.asarray(augmentation(x.astype("uint8"), 3))
    assert changed.dtype == np.uint8 and (changed != x).any()
    of_floats = np.round(augmentation(x.astype("float32").reshape(50, 9, 9, -1), 3))
    np.testing.assert_array_equal(changed, of_floats.reshape(x.shape))


def test_other_integers_stay_for_they_may_be_names_of_things():
    x = np.random.default_rng(1).integers(0, 10, [50, 9, 9, 1])
    np.testing.assert_array_equal(Augmentation(0.3, True, seed=1)(x, 3), x)


def test_a_sequence_moves_in_time_as_a_whole():
    x = np.tile(np.stack([np.arange(20.0), -np.arange(20.0)], axis=1)[None], [300, 1, 1]).astype(
        "float32"
    )
    moved = np.asarray(Augmentation(0.1, False, seed=1)(x, 0))
    moves = moved[:, 10, 0] - 10
    assert set(moves) == {-2, -1, 0, 1, 2}
    np.testing.assert_array_equal(moved[..., 0], -moved[..., 1])
    np.testing.assert_array_equal(
        moved[..., 0], np.clip(np.arange(20)[None] + moves[:, None], 0, 19)
    )
    assert set(np.ravel(shifted_in_time(tf.reshape(tf.range(4.0), [1, 4, 1]), 0.01, [1, 2]))) <= {
        0,
        1,
        2,
        3,
    }


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shape", [(6, 6, 1), (6, 2), (6,)])
def test_what_a_step_sees_depends_on_seed_step_and_input_alone(shape, flip):
    x = {"a": np.random.default_rng(1).normal(size=(40, *shape)).astype("float32")}
    x |= {"b": x["a"].copy(), "kind": np.arange(40)}
    python_state = __import__("random").getstate()
    first = Augmentation(0.2, flip, seed=5)
    first(x, 1)
    seen, again = first(x, 8), Augmentation(0.2, flip, seed=5)(x, tf.constant(8, tf.int64))
    for name in x:
        np.testing.assert_array_equal(seen[name], again[name])
    np.testing.assert_array_equal(seen["kind"], x["kind"])
    others = [first(x, 9)["a"], Augmentation(0.2, flip, seed=6)(x, 8)["a"], seen["b"]]
    assert not any(np.array_equal(seen["a"], other) for other in others)
    # Or a model built later would be another.
    assert __import__("random").getstate() == python_state


def test_only_images_are_flipped():
    x = {"row": np.ones([8, 3], "float32"), "series": np.random.rand(8, 5, 2).astype("float32")}
    for name, value in Augmentation(0.0, True, seed=1)(x, 0).items():
        np.testing.assert_array_equal(value, x[name])


def test_the_seeds_of_a_step_serve_any_random_layer_of_keras():
    seeds, again = StepSeeds(1, 0, 7), StepSeeds(1, 0, 7)
    drawn = [keras.random.uniform([4], seed=seeds).numpy() for _ in range(3)]
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(
        drawn, [keras.random.uniform([4], seed=again).numpy() for _ in range(3)]
    )
    zoom = layers.RandomZoom(0.3)
    transformation = zoom.get_random_transformation(tf.constant(images(4)), seed=StepSeeds(1, 0, 7))
    assert np.ptp(np.ravel(keras.tree.flatten(transformation)[0])) > 0


def test_half_precision_stays_what_it_was():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        seen = Augmentation(0.1, True, seed=1)(images(4), 0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert seen.dtype == tf.float32
    np.testing.assert_array_equal(seen, Augmentation(0.1, True, seed=1)(images(4), 0))


def test_two_epochs_show_both_mirror_images_of_every_example_also_after_a_checkpoint():
    x = np.random.default_rng(1).random([30, 4, 3, 1]).astype("float32")
    part = Part(x, np.arange(30) % 3)
    made = Batches(Problem("toy", "classification", part, part, class_names=("a", "b", "c")))

    def seen(start, until):
        whole = made.training(8, 1, start, until, flip=True)
        return np.concatenate([np.asarray(batch[0]) for batch in whole])

    whole = seen(0, 8)[:60]
    np.testing.assert_array_equal(seen(3, 8), seen(0, 8)[24:])
    rows = order(30, 8, 1, 0, 8)[:60]
    for row in range(30):
        both = whole[rows == row]
        assert sorted(image.tobytes() for image in both) == sorted(
            image.tobytes() for image in (x[row], x[row][:, ::-1])
        )
