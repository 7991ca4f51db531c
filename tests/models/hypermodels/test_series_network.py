"""Series get a network of their own, and images never do."""

import numpy as np
import pytest

from kerastune.data import loading
from kerastune.models import hypermodels
from kerastune.models.hypermodels import series_network


def problem(shape, dtype="float32"):
    generator = np.random.default_rng(1)
    scales = np.arange(1, 1 + shape[-1]) * 100.0
    x = (generator.normal(size=(60, *shape)) * scales + scales).astype(dtype)
    return loading.from_arrays(x, np.arange(60) % 3, prepare=True)


@pytest.mark.parametrize(
    "shape, dtype, name",
    [
        ((50, 3), "float32", "series"),
        ((29, 12), "float32", "series"),
        ((4, 60), "int64", "series"),
        ((16, 16), "float32", "cnn"),
        ((8, 16), "float64", "cnn"),
        ((16, 60), "uint8", "cnn"),
        ((16, 60, 1), "float32", "cnn"),
        ((60,), "float32", "mlp"),
    ],
)
def test_the_network_follows_from_the_shape_and_takes_the_prepared_data(shape, dtype, name):
    task = problem(shape, dtype)
    assert hypermodels.fitting(task) == name
    hypermodel = hypermodels.load("", task)
    model = hypermodels.builder(hypermodel)({})
    assert model(task.validation.x[:2]).shape == (2, 3)


def test_channels_are_scaled_one_by_one_in_arrays_and_in_the_saved_model():
    task = problem((50, 3))
    np.testing.assert_allclose(task.train.x.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(task.train.x.std(axis=(0, 1)), 1, rtol=1e-4)
    raw = task.attach.preparation.restore(task.validation.x)
    prepared = task.attach.preparation.graph(raw.astype("float32"))
    np.testing.assert_allclose(prepared, task.validation.x, atol=1e-4)


def test_what_is_no_series_is_refused_in_one_line():
    with pytest.raises(ValueError, match="`series` takes one series"):
        series_network.series((8, 8, 3), 2, "classification")
    assert series_network.series((40,), 2, "regression").output_shape == (None, 2)
