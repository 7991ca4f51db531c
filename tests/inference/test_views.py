"""Views: what they do to an input, how they are undone, and that they can be saved."""

import keras
import numpy as np
import pytest
from keras import layers

from kerastune.inference import views
from kerastune.inference.views import Crop, Flip, Noise, Rotate, Scale, Shift, TimeShift

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 255, [3, 8, 10, 2]).astype("float32")
OF_IMAGES = [
    *views.candidates(IMAGES.shape[1:]).values(),
    Shift(2, -3),
    Rotate(90.0),
    Crop(0.5, 0.3, 0.7),
]
OTHERS = [
    (TimeShift(2), GENERATOR.normal(size=[3, 9, 2])),
    (Noise(0.1, 3), GENERATOR.normal(size=[3, 5])),
]
ALL = [(view, IMAGES) for view in OF_IMAGES] + OTHERS


def seen(view, x):
    return np.asarray(views.apply(view, x))


@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
def test_flipped_twice_is_what_it_was_and_once_is_not(direction):
    once = seen(Flip(direction), IMAGES)
    np.testing.assert_array_equal(seen(Flip(direction), once), IMAGES)
    np.testing.assert_array_equal(
        once, IMAGES[:, :, ::-1] if direction == "horizontal" else IMAGES[:, ::-1]
    )


def test_shifted_and_back_is_what_it_was_away_from_the_edge_which_fills():
    there = seen(Shift(2, -1), IMAGES)
    np.testing.assert_array_equal(there[:, 2:, :-1], IMAGES[:, :-2, 1:])
    np.testing.assert_array_equal(there[:, 0], there[:, 2])
    np.testing.assert_array_equal(there[:, :, -1], there[:, :, -2])
    np.testing.assert_array_equal(seen(Shift(-2, 1), there)[:, :-2, 1:], IMAGES[:, :-2, 1:])


def test_shifted_in_time_and_back():
    x = OTHERS[0][1]
    later = seen(TimeShift(2), x)
    np.testing.assert_array_equal(later[:, 2:], x[:, :-2])
    np.testing.assert_array_equal(later[:, 0], x[:, 0])
    np.testing.assert_array_equal(seen(TimeShift(-2), later)[:, :-2], x[:, :-2])


def test_turned_by_a_right_angle_and_by_a_little_and_back():
    square = IMAGES[:, :, :8]
    np.testing.assert_allclose(seen(Rotate(90.0), square), np.rot90(square, axes=(1, 2)), atol=1e-3)
    ramp = np.broadcast_to(np.arange(16.0, dtype="float32")[None, :, None, None], [1, 16, 16, 1])
    there = seen(Rotate(5.0), ramp)
    assert abs(there - ramp).max() > 0.2
    np.testing.assert_allclose(
        seen(Rotate(-5.0), there)[:, 3:-3, 3:-3], ramp[:, 3:-3, 3:-3], atol=1e-3
    )


def test_scaled_about_the_center_and_back():
    ramp = np.broadcast_to(np.arange(16.0, dtype="float32")[None, None, :, None], [1, 16, 16, 1])
    larger = seen(Scale(2.0), ramp)
    np.testing.assert_allclose(larger[0, 0, :, 0], 7.5 + (np.arange(16) - 7.5) / 2, atol=1e-4)
    np.testing.assert_allclose(seen(Scale(0.5), larger)[:, :, 4:12], ramp[:, :, 4:12], atol=1e-4)


def test_a_crop_is_the_part_it_says_in_the_size_of_the_whole():
    top_left, bottom_right = (seen(Crop(0.5, place, place), IMAGES) for place in (0.0, 1.0))
    assert top_left.shape == bottom_right.shape == IMAGES.shape
    np.testing.assert_allclose(top_left[:, 0, 0], IMAGES[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(bottom_right[:, -1, -1], IMAGES[:, -1, -1], rtol=1e-5)
    np.testing.assert_allclose(seen(Crop(1.0), IMAGES), IMAGES, rtol=1e-5)


def test_noise_is_the_same_for_every_example_and_another_for_another_seed():
    x = OTHERS[1][1]
    added = seen(Noise(0.1, 3), x) - x
    np.testing.assert_allclose(added, np.tile(added[:1], [3, 1]))
    assert 0.01 < added.std() < 0.3
    assert abs(seen(Noise(0.1, 4), x) - x - added).max() > 0.01


@pytest.mark.parametrize("view, x", ALL)
def test_shape_and_type_stay_and_an_example_does_not_depend_on_its_batch(view, x):
    for dtype in ("float32", "float64", "uint8", "int32"):
        if isinstance(view, Noise) and "int" in dtype:
            continue
        given = x.astype(dtype)
        whole = seen(view, given)
        assert whole.shape == x.shape and whole.dtype == dtype
        np.testing.assert_allclose(seen(view, given[1:2]), whole[1:2], rtol=1e-6)
        np.testing.assert_array_equal(np.asarray(view(given)), whole)  # as a layer


@pytest.mark.parametrize("view", OF_IMAGES)
def test_images_without_channels_and_raw_pixels_are_seen_alike(view):
    np.testing.assert_allclose(seen(view, IMAGES[..., 0]), seen(view, IMAGES)[..., 0], rtol=1e-6)
    raw = IMAGES.astype("uint8")
    prepared = (raw.astype("float32") - 100) / 60
    np.testing.assert_allclose(seen(view, raw), 60 * seen(view, prepared) + 100, atol=0.51)


@pytest.mark.parametrize("view, x", ALL)
def test_a_view_is_saved_and_loaded_with_a_model(view, x, tmp_path):
    model = keras.Sequential([keras.Input(x.shape[1:]), view])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[0]) is type(view) and again.layers[0].get_config() == view.get_config()
    x = x.astype("float32")
    np.testing.assert_array_equal(again(x), model(x))


def test_the_sensible_candidates_for_every_kind_of_input():
    images = views.candidates((28, 28, 1))
    assert len(images) == 14 and (images["shift-up"].down, images["shift-up"].right) == (-1, 0)
    assert images["crop-bottom-left"].down == 1 and images["crop-bottom-left"].right == 0
    assert {name.split("-")[0] for name in views.candidates((None, None, 3))} == {"flip", "shift"}
    assert list(views.candidates((28, 28), "images")) == list(images)
    assert [view.steps for view in views.candidates((100, 3)).values()] == [2, -2]
    assert len({view.seed for view in views.candidates((7,)).values()}) == 4
    assert set(views.candidates({"a": (7,), "b": (100, 3)})) == {
        *views.candidates((7,)),
        "time-later",
        "time-earlier",
    }
    assert views.candidates((4, 4, 4, 1)) == {}
    with pytest.raises(
        ValueError, match="`kind` must be one of images, sequences, tables, got 'films'"
    ):
        views.candidates((8, 8, 1), "films")


def test_views_of_several_inputs_are_of_those_they_are_meant_for():
    x = {"photo": IMAGES, "series": OTHERS[0][1], "age": OTHERS[1][1], "color": np.array([1, 2, 3])}
    for view, changed in (
        (Flip(), {"photo"}),
        (TimeShift(1), {"series"}),
        (Noise(0.1, 1), {"photo", "series", "age"}),
    ):
        found = views.apply(view, x)
        assert {name for name in x if not np.array_equal(found[name], x[name])} == changed


@pytest.mark.parametrize(
    "view, x, words",
    [
        (
            Flip(),
            np.zeros([2, 5]),
            "`Flip` can't be applied to inputs float64\\[5\\]: leave it out",
        ),
        (
            Noise(0.1, 1),
            np.zeros([2, 8, 8, 1], "uint8"),
            "`Noise` can't be applied to inputs uint8",
        ),
        (
            TimeShift(1),
            {"age": np.zeros([2, 5]), "color": np.zeros(2, int)},
            "to age float64\\[5\\], color int64",
        ),
    ],
)
def test_what_a_view_is_not_meant_for_is_refused_by_name(view, x, words):
    with pytest.raises(ValueError, match=words):
        views.apply(view, x)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: Flip("diagonal"), "direction"),
        (lambda: Scale(0.0), "factor"),
        (lambda: Crop(1.5), "share"),
        (lambda: Crop(0.5, down=2.0), "down"),
    ],
)
def test_values_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make()


class Unregistered(keras.layers.Layer):
    def call(self, x):
        return -x


@keras.saving.register_keras_serializable(package="test_views")
def halved(x):
    return x / 2


def test_own_functions_and_layers_must_be_registered_and_sure():
    assert seen(views.checked(halved), np.ones([2, 3], "float32"))[0, 0] == 0.5
    assert views.checked(OF_IMAGES[0]) is OF_IMAGES[0]
    for own in (Unregistered(), lambda x: -x, layers.Lambda(lambda x: -x)):
        with pytest.raises(ValueError, match="is not registered.*register_keras_serializable"):
            views.checked(own)
    with pytest.raises(ValueError, match="is random"):
        views.checked(layers.RandomFlip("horizontal"))
    with pytest.raises(ValueError, match="must be a Keras layer or a function"):
        views.checked("flip")


def test_a_view_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match="changes the shape or type of the inputs"):
        views.apply(layers.Flatten(), IMAGES)
