"""Distillation in anyone's `fit`, against the same loss worked out by hand."""

import copy
import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from prepared_models import saved_and_loaded

from kerastune.analysis import calibration
from kerastune.callbacks import Distillation, StepLogger
from kerastune.playbook.stages.distill import matched_rate
from kerastune.training import distillation

CLASSES = 3


def classifier(units, seed, end="softmax", outputs=CLASSES, **hidden):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input([5]),
            layers.Dense(units, "tanh", **hidden),
            layers.Dense(outputs, activation=end),
        ]
    )


def without_softmax(model):
    """The same function of the inputs, but for the softmax or sigmoid at its end."""
    other = classifier(model.layers[0].units, 0, None, model.layers[1].units)
    other.set_weights(model.get_weights())
    return other


def data(count=64):
    x = np.random.default_rng(0).normal(size=[count, 5]).astype("float32")
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def first_step(student, teacher, temperature, mix, sample_weight=None, y=None, loss=None):
    """The loss of one step over all examples, and what it did to the weights at a rate of 1."""
    x, classes = data()
    are_logits = student.layers[-1].activation is keras.activations.linear
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=are_logits)
    student.compile(keras.optimizers.SGD(1.0), loss)
    before = student.get_weights()
    taught = Distillation(teacher, temperature, mix, sample=x[:8])
    history = student.fit(
        x,
        classes if y is None else y,
        sample_weight=sample_weight,
        batch_size=64,
        verbose=0,
        callbacks=[taught],
    )
    return history.history["loss"][0], [
        a - b for a, b in zip(before, student.get_weights(), strict=True)
    ]


def by_hand(teacher, student, temperature, mix, weights=None):
    """The same of probabilities `[n, classes]`, in float64."""
    _, y = data()
    soft = -np.sum(
        calibration.tempered(teacher, temperature)
        * np.log(calibration.tempered(student, temperature)),
        1,
    )
    hard = -np.log(student[np.arange(len(y)), y])
    each = (1 - mix) * hard + mix * temperature**2 * soft
    return np.mean(each if weights is None else weights * each)


@pytest.mark.parametrize("temperature, mix", [(1.0, 0.5), (4.0, 0.7)])
def test_the_loss_is_hintons_of_softmaxed_models_and_of_logits_alike(temperature, mix):
    x, _ = data()
    teacher, student = classifier(16, 1), classifier(4, 2)
    wanted = by_hand(teacher(x).numpy(), student(x).numpy(), temperature, mix)
    updates = []
    for teaching in (teacher, without_softmax(teacher)):
        for learning in (copy_of(student), without_softmax(student)):
            loss, update = first_step(learning, teaching, temperature, mix)
            assert loss == pytest.approx(wanted, rel=1e-5)
            updates.append(update)
    for update in updates[1:]:
        for one, other in zip(updates[0], update, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def copy_of(model):
    other = classifier(model.layers[0].units, 0)
    other.set_weights(model.get_weights())
    return other


def test_sample_weights_weigh_targets_and_teacher():
    x, _ = data()
    teacher, student = classifier(16, 1), classifier(4, 2)
    weights = np.random.default_rng(1).uniform(0, 3, size=len(x)).astype("float32")
    wanted = by_hand(teacher(x).numpy(), student(x).numpy(), 2.0, 0.6, weights)
    assert first_step(student, teacher, 2.0, 0.6, weights)[0] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
def test_the_students_regularizers_count_whole(mix):
    x, _ = data()
    teacher, student = (
        classifier(16, 1),
        classifier(4, 2, kernel_regularizer=keras.regularizers.L2(0.3)),
    )
    penalty = 0.3 * np.sum(np.square(student.layers[0].kernel.numpy()))
    wanted = by_hand(teacher(x).numpy(), student(x).numpy(), 2.0, mix) + penalty
    assert penalty > 0.5 and first_step(student, teacher, 2.0, mix)[0] == pytest.approx(
        wanted, rel=1e-5
    )


def test_a_single_output_is_taught_as_two_classes_would_be():
    x, classes = data()
    y = (classes > 0).astype("float32")
    teacher, student = classifier(16, 1, "sigmoid", 1), classifier(4, 2, "sigmoid", 1)
    both = [np.concatenate([1 - p, p], axis=1) for p in (teacher(x).numpy(), student(x).numpy())]
    softened = [calibration.tempered(each, 3.0) for each in both]
    hard = -np.log(both[1][np.arange(len(y)), y.astype(int)])
    wanted = np.mean(0.5 * hard - 0.5 * 9 * np.sum(softened[0] * np.log(softened[1]), axis=1))
    loss, _ = first_step(student, teacher, 3.0, 0.5, y=y[:, None], loss="binary_crossentropy")
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_a_student_that_is_sure_of_the_wrong_class_still_learns():
    """Where Keras's cross-entropies cut off, nothing would come back from the teacher."""
    student = tf.Variable([[40.0, 0.0, 0.0]])
    teacher = tf.math.log([[0.01, 0.98, 0.01]])
    with tf.GradientTape() as tape:
        said = distillation.log_probabilities(tf.nn.softmax(student), are_logits=False)
        loss = distillation.soft_loss(teacher, said, 2.0)
    assert tape.gradient(loss, student).numpy()[0, 1] < -0.5


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_first_step_is_as_long_with_a_teacher_as_without_at_the_matched_rate(temperature):
    student = tf.Variable(tf.zeros([1, CLASSES]))
    sure = 100.0 * tf.eye(CLASSES)[:1]
    with tf.GradientTape() as tape:
        loss = distillation.soft_loss(sure, tf.convert_to_tensor(student), temperature)
    step = matched_rate(0.1, temperature, mix=1.0) * tape.gradient(loss, student).numpy()
    np.testing.assert_allclose(
        step, 0.1 * (np.full([1, CLASSES], 1 / CLASSES) - np.eye(CLASSES)[:1]), atol=1e-6
    )


def test_the_student_learns_what_the_teacher_knows_and_stays_a_model_of_its_own(tmp_path):
    """The targets are noise: all that the student can know is what the teacher says."""
    x, y = data(512)
    teacher = classifier(16, 1)
    teacher.set_weights([3 * weights for weights in teacher.get_weights()])
    before = [weights.copy() for weights in teacher.get_weights()]
    noise = np.random.default_rng(3).permutation(y)
    student = classifier(8, 2)
    student.compile(
        keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy", steps_per_execution=4
    )
    taught = copy.deepcopy(Distillation(teacher, temperature=2, mix=1.0))
    logger = StepLogger(str(tmp_path / "logs"))
    student.fit(
        x, noise, epochs=12, verbose=0, validation_data=(x, noise), callbacks=[taught, logger]
    )
    agreed = np.mean(
        student.predict(x, verbose=0).argmax(1) == teacher.predict(x, verbose=0).argmax(1)
    )
    assert agreed > 0.85
    assert all((old == new).all() for old, new in zip(before, teacher.get_weights(), strict=True))
    # After `fit` nothing of it is left: the loss is the student's own again, and so is what is
    # saved.
    x, y = data()
    own = student.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    student.optimizer.learning_rate = 0.0
    again = student.fit(x, y, batch_size=64, verbose=0).history["loss"][0]
    assert again == pytest.approx(own, rel=1e-4)
    assert len(saved_and_loaded(student, tmp_path).weights) == 4


def test_evaluation_during_training_is_the_students_own():
    x, y = data()
    student, teacher = classifier(4, 2), classifier(16, 1)
    student.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    logs = student.fit(
        x, y, verbose=0, validation_data=(x, y), callbacks=[Distillation(teacher, 4.0)]
    ).history
    assert logs["val_loss"][0] == pytest.approx(student.evaluate(x, y, verbose=0), rel=1e-5)
    assert logs["loss"][0] > 2 * logs["val_loss"][0]


def test_what_can_not_teach_is_refused(tmp_path):
    for changes, words in (
        ({"temperature": 0}, "`temperature` must be a finite number > 0"),
        ({"mix": 1.5}, "`mix`"),
    ):
        with pytest.raises(ValueError, match=words):
            Distillation(classifier(4, 1), **changes)
    with pytest.raises(
        ValueError, match="must both be .* with the same classes, got .*, 4.* and .*, 3"
    ):
        first_step(classifier(4, 2), classifier(4, 1, outputs=4), 2.0, 0.5)
    student = classifier(4, 2)
    student.compile("sgd", "sparse_categorical_crossentropy")
    x, y = data()
    with pytest.raises(ValueError, match="may have logits or probabilities"):
        student.fit(x, y, verbose=0, callbacks=[Distillation(classifier(4, 1, "relu"))])
    # What failed leaves nothing behind.
    student.fit(x, y, verbose=0)


def test_examples():
    assert doctest.testmod(distillation).failed == 0
