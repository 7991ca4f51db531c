"""Preparation is the same on arrays and in the saved model, and fitted on what it is given."""

import keras
import numpy as np
import pytest
from prepared_models import dense, saved_and_loaded, tensors

from kerastune.data import preprocessing, profiling


def test_a_profile_in_chunks_is_that_of_the_whole(monkeypatch):
    monkeypatch.setattr(profiling, "CHUNK", 7)
    x = np.random.default_rng(0).normal(1e6, 2.0, (50, 3))
    profile = profiling.profile(x)
    np.testing.assert_allclose(profile.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(profile.scale, x.std(axis=0), rtol=1e-9)


def test_images_have_one_mean_for_all_pixels():
    x = np.arange(24, dtype="uint8").reshape(2, 3, 4)
    profile = profiling.profile(x)
    assert (profile.mean, profile.scale) == (11.5, pytest.approx(x.std()))


def test_a_constant_feature_is_safe():
    x = np.column_stack([np.full(10, 0.1), np.arange(10.0)])
    prepared = preprocessing.fit(profiling.profile(x), True, True).apply(x)
    np.testing.assert_allclose(prepared[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(prepared[:, 1].std(), 1, rtol=1e-6)


def test_applying_leaves_the_array_as_it_is():
    x = np.arange(6, dtype="float64").reshape(3, 2)
    before = x.copy()
    preprocessing.fit(profiling.profile(x), True, True).apply(x)
    assert (x == before).all()


def test_nothing_to_prepare_gives_the_very_array():
    x = np.ones((3, 4, 4))
    preparation = preprocessing.fit(profiling.profile(x, measure=False), False, False)
    assert preparation.is_identity and preparation.apply(x) is x


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(5,), (4, 4), (4, 4, 3)])
def test_the_saved_model_prepares_as_the_arrays_were(shape, dtype, tmp_path):
    raw = (
        np.random.default_rng(1)
        .integers(0, 2 if dtype == "bool" else 100, (20, *shape))
        .astype(dtype)
    )
    preparation = preprocessing.fit(profiling.profile(raw), True, True)
    prepared = preparation.apply(raw)
    assert prepared.dtype == np.float32 and prepared.shape == (20, *preparation.new_shape)
    layers = [keras.Input(prepared.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    loaded = saved_and_loaded(preprocessing.Attachment(preparation)(model), tmp_path)
    assert loaded.input.dtype == dtype and loaded.input.shape[1:] == shape
    np.testing.assert_allclose(loaded(raw), model(prepared), atol=1e-5)


def test_time_stamps_keep_their_differences(tmp_path):
    raw = 1.6e9 + np.arange(10.0)[:, None]
    preparation = preprocessing.fit(profiling.profile(raw), True, True)
    assert len(np.unique(preparation.apply(raw))) == 10
    model = dense(1)
    loaded = saved_and_loaded(preprocessing.Attachment(preparation)(model), tmp_path)
    np.testing.assert_allclose(loaded(raw), model(preparation.apply(raw)), atol=1e-5)


def test_a_dict_of_inputs_stays_one(tmp_path):
    raw = {"age": np.arange(10), "image": np.random.default_rng(0).random((10, 3, 3))}
    preparation = preprocessing.fit(profiling.profile(raw), True, True)
    prepared = preparation.apply(raw)
    assert prepared["age"].shape == (10, 1) and prepared["image"].shape == (10, 3, 3, 1)
    inputs = {name: keras.Input(array.shape[1:], name=name) for name, array in prepared.items()}
    flat = [keras.layers.Flatten()(tensor) for tensor in inputs.values()]
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Concatenate()(flat)))
    loaded = saved_and_loaded(preprocessing.Attachment(preparation)(model), tmp_path)
    np.testing.assert_allclose(loaded(tensors(raw)), model(tensors(prepared)), atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "scale"), [(20.0, 5.0), (np.array([20.0, -3.0]), np.array([5.0, 0.5]))]
)
def test_outputs_are_given_in_the_users_units(mean, scale, tmp_path):
    x = np.random.default_rng(0).random((6, 4))
    model = dense(4, np.size(mean))
    identity = preprocessing.fit(profiling.profile(x, measure=False), False, False)
    loaded = saved_and_loaded(preprocessing.Attachment(identity, mean, scale)(model), tmp_path)
    np.testing.assert_allclose(loaded(x), np.asarray(model(x)) * scale + mean, rtol=1e-5)


def test_outputs_that_do_not_match_the_targets_are_refused():
    identity = preprocessing.fit(profiling.profile(np.ones((2, 4)), measure=False), False, False)
    with pytest.raises(ValueError, match=r"outputs \(None, 3\), expected \[examples, 2\]"):
        preprocessing.Attachment(identity, np.zeros(2), np.ones(2))(dense(4))


def test_robust_scales_take_odd_values_for_what_they_are_and_stay_invertible():
    generator = np.random.default_rng(3)
    plain = np.stack([generator.normal(50, 4, 400), generator.integers(0, 2, 400)], axis=1)
    odd = plain.copy()
    odd[:5, 0] = 1e7
    prepared = [
        preprocessing.fit(profiling.profile(x), True, True, is_robust=True) for x in (plain, odd)
    ]
    both = [each.apply(plain) for each in prepared]
    np.testing.assert_allclose(both[0], both[1], atol=0.05)
    assert np.abs(prepared[1].apply(odd)).max() <= preprocessing.CLIP
    for each in prepared:
        np.testing.assert_allclose(each.restore(each.apply(plain)), plain, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(each.graph(plain), each.apply(plain), atol=1e-5)


def test_robust_scales_of_constant_and_almost_constant_features_are_finite():
    x = np.zeros([100, 2])
    x[:3, 1] = 8
    apply = preprocessing.fit(profiling.profile(x), True, True, is_robust=True).apply
    assert not apply(x)[:, 0].any()
    np.testing.assert_allclose(apply(x)[:3, 1], 2 / np.sqrt(1 + 4 / 9), rtol=1e-6)
