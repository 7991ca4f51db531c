"""Encoded images become what a model takes."""

import numpy as np
import pytest
import tensorflow as tf

from kerastune.data.images import picture, value_range


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=100).numpy()


@pytest.mark.parametrize(
    ("shape", "dtype", "image", "examples"),
    [
        ((5, 4), "uint8", None, None),
        ((5, 4, 3), "uint8", None, None),
        ((5, 4, 1), "int32", (0, 255), None),
        ((5, 4, 3), "float32", None, np.array([0.0, 1.0])),
        ((5, 4), "float64", True, np.array([0.0, 15.0])),
        ((5, 4, 4), "float16", (-1, 1), None),
    ],
)
def test_a_png_gives_back_the_input_that_it_was_made_of(shape, dtype, image, examples):
    chosen = picture(shape, dtype, image, examples)
    grid = np.random.default_rng(0).integers(0, 256, (3, *shape))
    x = (chosen.low + grid / 255 * (chosen.high - chosen.low)).astype(dtype)
    decoded = chosen.decode(tf.constant(chosen.encode(x))).numpy()
    assert decoded.dtype == x.dtype and decoded.shape == x.shape
    np.testing.assert_allclose(
        decoded.astype(float), x.astype(float), atol=2e-3 if dtype == "float16" else 1e-5
    )


def test_a_jpeg_of_another_size_and_in_color_becomes_a_gray_image_of_the_models_size():
    chosen = picture((8, 6, 1), "uint8", None)
    images = [np.full((20, 30, 3), gray, np.uint8) for gray in (0, 100, 255)]
    decoded = chosen.decode(tf.constant([jpeg(image) for image in images])).numpy()
    assert decoded.shape == (3, 8, 6, 1)
    assert np.abs(decoded.astype(int) - np.array([0, 100, 255])[:, None, None, None]).max() <= 1


def test_shrinking_averages_and_does_not_pick_single_pixels():
    stripes = np.tile(np.array([0, 255], np.uint8), 32)[None, :, None].repeat(8, axis=0)
    decoded = (
        picture((8, 8, 1), "float32", (0, 1))
        .decode(tf.constant([tf.io.encode_png(stripes).numpy()]))
        .numpy()
    )
    np.testing.assert_allclose(decoded[0, :, 2:-2, 0], 0.5, atol=0.05)


def test_no_images_and_what_could_be_something_else_give_no_picture():
    for shape, dtype in (
        ((5,), "uint8"),
        ((5, 4, 2), "uint8"),
        ((5, 4), "float32"),
        ((None, 4, 3), "uint8"),
    ):
        assert picture(shape, dtype, None) is None
    assert picture((5, 4, 3), "uint8", False) is None


def test_what_is_no_image_but_was_called_one_is_refused():
    for shape in ((5,), (5, 4, 2), (None, None, 3)):
        with pytest.raises(ValueError, match="images are"):
            picture(shape, "float32", True)
    with pytest.raises(ValueError, match="low < high"):
        picture((5, 4), "float32", (1, 1))


def test_full_scales():
    cases = ((0.5, (0, 1)), (1.5, (0, 16)), (200, (0, 255)), (300, (0, 65535)), (70000, (0, 70000)))
    for largest, wanted in cases:
        assert value_range("float32", np.array([0, largest])) == wanted
    assert value_range("float32", np.array([-0.5, 0.2])) == (-1, 1)
    assert value_range("uint8", np.array([0, 9])) == (0, 255)
