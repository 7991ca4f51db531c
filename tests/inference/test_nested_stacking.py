"""Members inside an ensemble are found and stacked, and the ensemble answers as before."""

import keras
import numpy as np
from keras import layers, ops

from kerastune.data.preprocessing import Attachment, fit, profile
from kerastune.inference.stacking.nested import for_serving, stack_inside
from kerastune.models.hypermodels import networks

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (6, 10, 10)).astype(np.uint8)


def ensemble(members, logits=False, geometric=False):
    """Members under names of their own, averaged by operations as an ensemble does it."""
    inputs = keras.Input(members[0].input_shape[1:])
    outputs = []
    for number, member in enumerate(members):
        fresh = keras.Input(member.input_shape[1:])
        said = ops.cast(member(fresh), "float32")
        said = ops.softmax(said) if logits else said
        outputs.append(keras.Model(fresh, said, name=f"member_{number}")(inputs))
    total = sum((0.3 + 0.1 * n) * (ops.log(o) if geometric else o) for n, o in enumerate(outputs))
    return keras.Model(inputs, ops.softmax(total) if geometric else total, name="ensemble")


def cnns(count=3, **sizes):
    members = []
    for seed in range(count):
        keras.utils.set_random_seed(seed)
        members.append(
            networks.cnn((10, 10, 1), 4, "classification", filters=2, dense_units=3, **sizes)
        )
    return members


def raw(model):
    return Attachment(fit(profile(IMAGES), True, True))(model)


def kinds(model):
    return [type(layer).__name__ for layer in model._flatten_layers()]


def assert_same(a, b, x):
    np.testing.assert_allclose(a(x, training=False), b(x, training=False), atol=1e-5)


def test_the_members_of_an_ensemble_of_raw_inputs_are_stacked_and_it_answers_as_before():
    for geometric in (False, True):
        model = raw(ensemble(cnns(), geometric=geometric))
        stacked, reasons = stack_inside(model)
        assert reasons == [] and stacked is not model
        assert kinds(model).count("Conv2D") == 6 and kinds(stacked).count("Conv2D") == 2
        assert_same(stacked, model, IMAGES)


def test_members_with_logits_are_stacked_with_what_makes_probabilities_of_them():
    members = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        members.append(
            keras.Sequential([keras.Input((5,)), layers.Dense(4, "relu"), layers.Dense(3)])
        )
    model = ensemble(members, logits=True)
    stacked, reasons = stack_inside(model)
    assert reasons == [] and kinds(stacked).count("EinsumDense") == 1
    assert_same(stacked, model, GENERATOR.normal(size=(7, 5)).astype(np.float32))


def test_an_ensemble_that_is_called_on_several_views_is_stacked_once():
    inner = ensemble(cnns())
    inputs = keras.Input((10, 10, 1))
    model = keras.Model(inputs, 0.5 * inner(inputs) + 0.5 * inner(ops.flip(inputs, 2)))
    stacked, _ = stack_inside(model)
    assert kinds(stacked).count("Conv2D") == 2
    assert_same(stacked, model, IMAGES[..., None].astype(np.float32))


def test_two_members_of_one_architecture_among_others_that_differ_leave_the_model_as_it_is():
    model = ensemble([*cnns(2), networks.mlp((10, 10, 1), 4, "classification", units=3)])
    stacked, reasons = stack_inside(model)
    assert stacked is model and reasons
    served, report = for_serving(model, IMAGES[..., None].astype(np.float32), rounds=1)
    assert served is model and report.kept == "branches" and "can't be stacked" in report.reason


def test_a_single_model_is_served_as_it_is():
    model = raw(cnns(1)[0])
    assert for_serving(model, IMAGES, rounds=1) == (model, None)


def test_what_is_faster_is_served(monkeypatch):
    model = ensemble(cnns())
    x = IMAGES[..., None].astype(np.float32)
    for faster, wanted in ((0.5, "stacked"), (2.0, "branches")):
        monkeypatch.setattr(
            "kerastune.inference.stacking.benchmark.medians",
            lambda *_, faster=faster: {"branches": 1.0, "stacked": faster},
        )
        served, report = for_serving(model, x)
        assert report.kept == wanted and (served is model) == (wanted == "branches")
        assert_same(served, model, x)
