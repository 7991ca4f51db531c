"""Label smoothing: what Keras's own would be, for integer targets too, and in training alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune.models import label_smoothing
from kerastune.models.label_smoothing import LabelSmoothing, SmoothedCrossentropy

CLASSES = 4
INTEGERS = np.array([0, 3, 1, 2, 2])
LOGITS = np.random.default_rng(1).normal(size=[5, CLASSES]).astype("float32")
ONE_HOT = np.eye(CLASSES, dtype="float32")[INTEGERS]


def smoothed(loss, y, outputs, strength, **options):
    made = SmoothedCrossentropy(loss)
    made.strength.assign(strength)
    with made.in_training():
        return float(made(y, outputs, **options))


@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.1, 0.7])
def test_the_loss_is_the_cross_entropy_with_smoothed_targets(logits, strength):
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    outputs = LOGITS if logits else probabilities
    targets = (1 - strength) * ONE_HOT + strength / CLASSES
    weights = np.arange(5.0)
    each = -(targets * np.log(probabilities)).sum(axis=1)
    for loss, y in (("SparseCategorical", INTEGERS), ("Categorical", ONE_HOT)):
        made = getattr(keras.losses, f"{loss}Crossentropy")(from_logits=logits)
        assert smoothed(made, y, outputs, strength) == pytest.approx(each.mean(), rel=1e-5)
        weighted = smoothed(made, y, outputs, strength, sample_weight=weights)
        assert weighted == pytest.approx((weights * each).mean(), rel=1e-5)


@pytest.mark.parametrize("logits", [True, False])
def test_a_binary_loss_is_smoothed_as_keras_does_it(logits):
    y, outputs = np.array([[0.0], [1.0], [1.0]]), np.array([[0.3], [0.6], [0.9]])
    own = keras.losses.BinaryCrossentropy(from_logits=logits, label_smoothing=0.2)(y, outputs)
    assert smoothed(
        keras.losses.BinaryCrossentropy(from_logits=logits), y, outputs, 0.2
    ) == pytest.approx(float(own))


@pytest.mark.parametrize(
    "name", ["sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"]
)
def test_a_loss_may_be_given_by_its_name_or_function(name):
    outputs = np.full([5, CLASSES], 1 / CLASSES)
    for loss in (name, keras.losses.sparse_categorical_crossentropy):
        assert smoothed(loss, INTEGERS, outputs, 0.3) == pytest.approx(np.log(CLASSES))
        assert SmoothedCrossentropy(loss).name == "sparse_categorical_crossentropy"


def own_loss(y, outputs):
    return outputs[:, 0]


REFUSED = [
    ("mse", "mean_squared_error is not a cross-entropy"),
    (own_loss, "own_loss is not a cross-entropy"),
    (None, "NoneType is not a cross-entropy"),
    (["binary_crossentropy"], "list is not a cross-entropy"),
    (keras.losses.CategoricalFocalCrossentropy(), "focal_crossentropy is not a cross-entropy"),
    (keras.losses.CategoricalCrossentropy(label_smoothing=0.1), "smooths labels already"),
    (keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), "ignores a class"),
    (keras.losses.SparseCategoricalCrossentropy(axis=1), "not on the last axis"),
]


@pytest.mark.parametrize("loss, words", REFUSED)
def test_other_losses_are_refused_by_name(loss, words):
    assert words in label_smoothing.why_not(loss)
    with pytest.raises(ValueError, match=f"`label_smoothing`.*{words}"):
        SmoothedCrossentropy(loss)


@pytest.mark.parametrize("compiled_step", [False, True])
def test_training_is_smoothed_validation_is_not_and_another_strength_traces_nothing(compiled_step):
    traces = []

    class Model(keras.Sequential):
        def train_step(self, data):
            traces.append(1)
            return super().train_step(data)

    if compiled_step:
        Model.train_step = tf.function(Model.train_step)
    model = Model(
        [keras.Input([2]), keras.layers.Dense(CLASSES, "softmax", kernel_initializer="zeros")]
    )
    model.layers[0].bias.assign([3.0, 0, 0, 0])
    loss = SmoothedCrossentropy("sparse_categorical_crossentropy")
    model.compile(keras.optimizers.SGD(0.0), loss)
    LabelSmoothing(model).install()
    x, y = np.zeros([8, 2], "float32"), np.zeros(8, int)
    right, wrong = np.log(np.exp(3) + 3) - 3, np.log(np.exp(3) + 3)
    for strength in (0.4, 0.8):
        loss.strength.assign(strength)
        history = model.fit(x, y, validation_data=(x, y), verbose=0).history
        share = strength * 3 / CLASSES
        assert history["loss"] == [pytest.approx((1 - share) * right + share * wrong, rel=1e-5)]
        assert history["val_loss"] == [pytest.approx(right, rel=1e-5)]
        if strength == 0.4:
            traces.clear()
    assert traces == []
    assert float(loss(y, model(x))) == pytest.approx(right, rel=1e-5)
