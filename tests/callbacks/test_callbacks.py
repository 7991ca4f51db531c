"""The public callbacks in all kinds of `fit`: what they write, and that nothing stays."""

import copy
import inspect
import itertools
import math
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.metrics import f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerastune import callbacks, schedules
from kerastune.callbacks import (
    CosineDecay,
    Distillation,
    EnsembleEvaluation,
    ExponentialDecay,
    LinearDecay,
    MagnitudePruning,
    StepLogger,
    TTAEvaluation,
    UpdateRatio,
)
from kerastune.inference import views
from kerastune.models import pruning
from kerastune.schedules import exponential_decay, linear_decay
from kerastune.training.step_recorder import StepRecorder

RATE = float(np.float32(0.1))  # as the optimizer's variable has it
BATCH, STEPS = 8, 10  # two epochs of five steps, the last one of them of 6 examples


def toy(num_examples=38):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(num_examples, 4)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int32") + (x[:, 2] > 0.5)


class Model(keras.Sequential):
    """Notes the rate of every step where it is used: inside the train function."""

    def note_rates(self, most=300):
        self.rates = tf.Variable(np.full(most, np.nan, np.float32), trainable=False)
        self.row = tf.Variable(0, trainable=False)
        return self

    def train_step(self, data):
        if hasattr(self, "rates"):
            self.rates.scatter_nd_update(
                [[self.row]], [tf.convert_to_tensor(self.optimizer.learning_rate.value)]
            )
            self.row.assign_add(1)
        return super().train_step(data)


def model(units=3, activation="softmax", **options):
    keras.utils.set_random_seed(1)
    stack = [layers.Dense(5, "tanh", name="hidden"), layers.Dense(units, activation, name="out")]
    made = Model([keras.Input([4]), *stack])
    optimizer = keras.optimizers.SGD(RATE)
    settings = {
        "optimizer": optimizer,
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    }
    made.compile(**{**settings, **options})
    return made


def fit(made, *given, data=None, **options):
    x, y = data or toy()
    return made.fit(
        x,
        y,
        **{"batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0, **options},
        callbacks=list(given),
    ).history


def scalars(log_dir):
    """`{tag: (steps, values)}` of all that TensorBoard finds in a directory."""
    events = EventAccumulator(str(log_dir), size_guidance={"scalars": 0})
    events.Reload()
    found = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {
        tag: ([e.step for e in rows], np.array([e.value for e in rows]))
        for tag, rows in found.items()
    }


def is_plain(made):
    return (
        not {"train_step", "make_train_function"} & set(vars(made)) and made.train_function is None
    )


def is_as_after_a_fit(made, name):
    """Whether nothing is left of a callback.

    Those that wrap the step leave no train function behind.

    Masks are meant to stay until they are taken off.
    """
    if name == "MagnitudePruning":
        assert pruning.measured(made) == pytest.approx(0.5, abs=0.02)
        pruning.strip(made)
    plain = not {"train_step", "make_train_function"} & set(vars(made))
    return plain and (made.train_function is None or name in EVALUATIONS)


def true_steps(made, epochs=2, rates=None):
    """Loss and accuracy of every step by `train_on_batch`.

    It sets its metrics to zero before each.
    """
    x, y = toy()
    rows = []
    for step, start in enumerate(list(range(0, len(x), BATCH)) * epochs):
        if rates is not None:
            made.optimizer.learning_rate = rates[step]
        rows.append(
            made.train_on_batch(
                x[start : start + BATCH], y[start : start + BATCH], return_dict=True
            )
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


# What all public callbacks promise.


def teacher():
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input([4]), layers.Dense(3, "softmax")])


MAKERS = {
    "LinearDecay": lambda log_dir: LinearDecay(STEPS, interval=2),
    "StepLogger": lambda log_dir: StepLogger(log_dir),
    "UpdateRatio": lambda log_dir: UpdateRatio(log_dir, every=2),
    "ExponentialDecay": lambda log_dir: ExponentialDecay(4, interval=2),
    "CosineDecay": lambda log_dir: CosineDecay(STEPS, warmup_steps=2),
    "EnsembleEvaluation": lambda log_dir: EnsembleEvaluation(
        [], toy(), snapshots=1, log_dir=log_dir
    ),
    "TTAEvaluation": lambda log_dir: TTAEvaluation([views.Noise(0.1, 1)], toy(), log_dir=log_dir),
    "Distillation": lambda log_dir: Distillation(teacher()),
    "MagnitudePruning": lambda log_dir: MagnitudePruning(0.5, end_step=STEPS, every=2),
}
EVALUATIONS = {"EnsembleEvaluation": "val_ensemble_accuracy", "TTAEvaluation": "val_tta_accuracy"}
TRAIN_OTHERWISE = {
    "CosineDecay",
    "LinearDecay",
    "ExponentialDecay",
    "Distillation",
    "MagnitudePruning",
}
each_callback = pytest.mark.parametrize("name", callbacks.__all__)


class Stop(Exception):
    pass


class Fails(keras.callbacks.Callback):
    """Stops the training as a user's code or Ctrl-C does."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise Stop


def failing_data():
    x, y = toy()
    for start in (0, 8, 16):
        yield x[start : start + BATCH], y[start : start + BATCH]
    raise Stop


def interrupt(made, callback, how):
    if how == "data":
        with pytest.raises(Exception, match="Stop"):
            made.fit(failing_data(), steps_per_epoch=5, verbose=0, callbacks=[callback])
        return
    with pytest.raises(Stop):
        fit(made, *([Fails(), callback] if how == "callback before" else [callback, Fails()]))


def test_every_public_callback_is_under_contract():
    assert set(MAKERS) == set(callbacks.__all__)


@each_callback
def test_it_is_made_and_called_as_keras_says(name):
    kind = getattr(callbacks, name)
    assert issubclass(kind, keras.callbacks.Callback)
    for hook in ("on_train_begin", "on_train_end"):
        assert list(inspect.signature(getattr(kind, hook)).parameters) == ["self", "logs"]
    for argument in list(inspect.signature(kind).parameters):
        assert f"        {argument}: " in kind.__doc__ or argument == "log_dir", argument
    assert ">>>" in kind.__doc__


@each_callback
def test_it_undoes_everything_at_the_end(name, tmp_path):
    made = model()
    made.optimizer.learning_rate = 0.07
    fit(made, MAKERS[name](tmp_path))
    assert is_as_after_a_fit(made, name)
    assert float(made.optimizer.learning_rate) == np.float32(0.07)
    again = model()
    again.set_weights(made.get_weights())
    again.optimizer.learning_rate = 0.07
    assert fit(made) == fit(again)


@each_callback
def test_it_can_be_used_again_on_the_same_and_on_another_model(name, tmp_path):
    callback, first, second = MAKERS[name](tmp_path), model(), model()
    history = fit(first, callback)
    fit(first, callback)
    assert fit(second, callback) == history
    assert is_as_after_a_fit(first, name) and is_as_after_a_fit(second, name)


@each_callback
def test_it_can_be_copied_before_and_after_a_fit_and_after_an_exception(name, tmp_path):
    class Unsaveable(Model):
        def get_config(self):
            raise NotImplementedError

    callback = MAKERS[name](tmp_path)
    before = copy.deepcopy(callback)
    fit(model(), callback)
    callback.set_model(Unsaveable())
    assert copy.deepcopy(callback).model is None
    interrupt(model(), callback, "callback after")
    after = pickle.loads(pickle.dumps(callback))
    assert fit(model(), after) == fit(model(), before)


@pytest.mark.parametrize(
    "name, how",
    [
        *(("LinearDecay", how) for how in ("data", "callback before", "callback after")),
        ("ExponentialDecay", "callback after"),
        ("StepLogger", "callback after"),
        ("UpdateRatio", "callback before"),
        ("EnsembleEvaluation", "callback after"),
        ("TTAEvaluation", "callback before"),
    ],
)
def test_after_an_exception_nothing_is_left_when_the_model_trains_again(name, how, tmp_path):
    callback, made, plain = MAKERS[name](tmp_path), model(), model()
    interrupt(made, callback, how)
    plain.set_weights(made.get_weights())
    assert fit(made) == fit(plain)
    assert not {"train_step", "make_train_function"} & set(vars(made))
    assert float(made.optimizer.learning_rate) == np.float32(RATE)
    interrupt(made, callback, how)
    made.set_weights(plain.get_weights())
    assert fit(made, callback) == fit(plain, MAKERS[name](tmp_path / "plain"))
    assert is_as_after_a_fit(made, name)


def test_after_an_exception_train_on_batch_is_right_too(tmp_path):
    made, plain = model(), model()
    interrupt(made, StepLogger(tmp_path), "callback after")
    plain.set_weights(made.get_weights())
    x, y = toy()
    assert made.train_on_batch(x, y) == plain.train_on_batch(x, y)
    assert not {"train_step", "make_train_function"} & set(vars(made))


@pytest.mark.parametrize("name", sorted(set(MAKERS) - TRAIN_OTHERWISE))
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_the_users_logs_stay_what_they_were(name, steps_per_execution, tmp_path):
    seen = []
    for given in ([MAKERS[name](tmp_path)], []):
        kept = []
        noted = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, kept=kept: kept.append((batch, dict(logs)))
        )
        history = fit(
            model(steps_per_execution=steps_per_execution), *given, noted, validation_data=toy()
        )
        assert len(history.pop(EVALUATIONS.get(name), [])) in (0, 2)
        seen.append((kept, history))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_together_in_any_order(order, tmp_path):
    made = model(steps_per_execution=3).note_rates()
    fit(made, *(MAKERS[name](tmp_path / name) for name in np.array(list(MAKERS))[list(order)]))
    rates = linear_decay(np.arange(STEPS), RATE, STEPS, interval=2).astype(np.float32)
    np.testing.assert_array_equal(made.rates[:STEPS].numpy(), rates)
    steps, losses = scalars(tmp_path / "StepLogger")["step/loss"]
    assert steps == list(range(STEPS))
    truth = true_steps(model(), rates=rates)
    np.testing.assert_allclose(losses, truth["loss"], rtol=1e-5)
    assert scalars(tmp_path / "UpdateRatio")["weight_update_ratio/whole_model"][0] == list(
        range(0, STEPS, 2)
    )
    assert is_plain(made)
    assert float(made.optimizer.learning_rate) == np.float32(RATE)


def test_a_recorder_that_was_put_on_for_good_outlives_a_callbacks_exception(tmp_path):
    made = model()
    recorder = StepRecorder(made, 50)
    recorder.install()
    interrupt(made, StepLogger(tmp_path), "callback after")
    recorder.reset()
    fit(made)
    assert len(recorder.read()) == STEPS


# LinearDecay


@pytest.mark.parametrize("steps_per_execution, interval", [(1, 30), (7, 30), (7, 100), (50, 100)])
def test_the_rate_of_every_step_is_that_of_the_formula(steps_per_execution, interval):
    made = model(steps_per_execution=steps_per_execution).note_rates()
    data = toy(num_examples=65 * 2)
    callback = LinearDecay(total_steps=120, interval=interval)
    fit(made, callback, data=data, batch_size=2)
    fit(made, callback, data=data, batch_size=2, epochs=1)
    # From each fit's own first step.
    expected = linear_decay(np.r_[:130, :65], RATE, 120, interval).astype(np.float32)
    np.testing.assert_array_equal(made.rates[:195].numpy(), expected)


@pytest.mark.parametrize("steps_per_execution", [1, 7])
@pytest.mark.parametrize(
    "callback, formula",
    [
        (
            LinearDecay(120, interval=30, start=41),
            lambda steps: linear_decay(steps, RATE, 120, 30, 41),
        ),
        (ExponentialDecay(41, 0.3, 30), lambda steps: exponential_decay(steps, RATE, 41, 0.3, 30)),
    ],
)
def test_a_delayed_decay_is_that_of_the_formula(callback, formula, steps_per_execution):
    made = model(steps_per_execution=steps_per_execution).note_rates()
    fit(made, callback, data=toy(num_examples=65 * 2), batch_size=2)
    np.testing.assert_array_equal(
        made.rates[:130].numpy(), formula(np.arange(130)).astype(np.float32)
    )
    assert float(made.optimizer.learning_rate) == np.float32(RATE)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE))},
        {"jit_compile": True},
        {"run_eagerly": True},
    ],
)
def test_decay_with_loss_scaling_with_xla_and_eagerly(options):
    made = model(
        **{name: value() if callable(value) else value for name, value in options.items()}
    ).note_rates()
    fit(made, LinearDecay(STEPS, interval=1))
    expected = linear_decay(np.arange(STEPS), RATE, STEPS, 1).astype(np.float32)
    np.testing.assert_array_equal(made.rates[:STEPS].numpy(), expected)
    assert float(made.optimizer.learning_rate) == np.float32(RATE)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_decay_counts_batches_also_where_several_make_one_update(wrap):
    made = model(optimizer=wrap(keras.optimizers.SGD(RATE, gradient_accumulation_steps=4)))
    made = made.note_rates()
    fit(made, LinearDecay(STEPS, interval=1))
    expected = linear_decay(np.arange(STEPS), RATE, STEPS, 1).astype(np.float32)
    np.testing.assert_array_equal(made.rates[:STEPS].numpy(), expected)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, keras.optimizers.LossScaleOptimizer])
def test_an_optimizer_with_a_schedule_is_refused(wrap):
    made = model(optimizer=wrap(keras.optimizers.SGD(schedules.LinearDecay(0.1, 10))))
    for callback in (LinearDecay(STEPS), ExponentialDecay(3)):
        name = type(callback).__name__
        words = f"{name} needs .* plain learning rate.*compile the model with a number"
        with pytest.raises(ValueError, match=words):
            fit(made, callback)
    assert not {"train_step", "make_train_function"} & set(vars(made))


@pytest.mark.parametrize("arguments, name", [((0,), "total_steps"), ((10, 0), "interval")])
def test_bad_arguments_of_linear_decay_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be >= 1"):
        LinearDecay(*arguments)


@pytest.mark.parametrize(
    "arguments, name", [((-1,), "start"), ((1, 1.0), "factor"), ((1, 0.5, 0), "interval")]
)
def test_bad_arguments_of_exponential_decay_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        ExponentialDecay(*arguments)


def test_after_ctrl_c_a_rate_that_the_user_sets_stays():
    made = model()
    interrupt(made, LinearDecay(STEPS, interval=1), "callback after")
    made.optimizer.learning_rate = 0.5
    fit(made)
    assert float(made.optimizer.learning_rate) == 0.5


@pytest.mark.parametrize("rate", [0.5, schedules.LinearDecay(0.5, 100)])
def test_after_ctrl_c_a_model_that_is_compiled_again_keeps_its_new_rate(rate):
    made = model()
    interrupt(made, LinearDecay(STEPS, interval=1), "callback after")
    made.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    fit(made)
    assert float(made.optimizer.learning_rate) == 0.5


# StepLogger


@pytest.mark.parametrize("steps_per_execution", [1, 3, 60])
def test_the_true_values_of_every_step_are_in_tensorboard(steps_per_execution, tmp_path):
    made = model(steps_per_execution=steps_per_execution)
    history = fit(made, StepLogger(tmp_path, num_classes=0), validation_data=toy())
    truth, found = true_steps(model()), scalars(tmp_path)
    assert set(found) == {"step/loss", "step/accuracy", "validation/loss", "validation/accuracy"}
    for name, values in truth.items():
        steps, written = found[f"step/{name}"]
        assert steps == list(range(STEPS))
        np.testing.assert_allclose(written, values, rtol=1e-5)
        steps, written = found[f"validation/{name}"]
        assert steps == [5, 10]
        np.testing.assert_allclose(written, history[f"val_{name}"], rtol=1e-6)


@pytest.mark.parametrize("steps_per_execution, every", [(1, 1), (7, 3)])
def test_long_epochs_are_written_while_they_last(steps_per_execution, every, tmp_path):
    made, data, written = model(steps_per_execution=steps_per_execution), toy(num_examples=130), []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: written.append(scalars(tmp_path / "loss"))
    )
    given = [look, StepLogger(tmp_path / "loss"), UpdateRatio(tmp_path / "ratio", every=every)]
    fit(made, *given, data=data, batch_size=1, epochs=1)
    assert len(written[0]["step/loss"][0]) > 50  # before the epoch's end is told to the logger
    assert scalars(tmp_path / "loss")["step/loss"][0] == list(range(130))
    assert scalars(tmp_path / "ratio")["weight_update_ratio/out"][0] == list(range(0, 130, every))


def test_values_by_class_are_no_curve(tmp_path):
    data = toy()[0], np.eye(3, dtype="float32")[toy()[1]]
    made = model(
        loss="categorical_crossentropy",
        metrics=[keras.metrics.F1Score(average=None, name="by_class")],
    )
    fit(made, StepLogger(tmp_path, num_classes=0), data=data, epochs=1, validation_data=data)
    assert set(scalars(tmp_path)) == {"step/loss", "validation/loss"}


def test_steps_are_counted_on_from_the_optimizers(tmp_path):
    made, callback = model(), StepLogger(tmp_path)
    fit(made, callback)
    fit(made, callback, epochs=1)
    steps, losses = scalars(tmp_path)["step/loss"]
    assert steps == list(range(15))
    np.testing.assert_allclose(losses, true_steps(model(), epochs=3)["loss"], rtol=1e-5)


def imbalanced(num_classes=3, num_examples=60):
    steps = np.arange(num_examples)
    return toy(num_examples)[0], np.where(steps % 10 < 8, 0, steps % num_classes)


@pytest.mark.parametrize("form", ["integer", "float", "one-hot", "sigmoid", "logits"])
def test_macro_f1_where_classes_are_imbalanced(form, tmp_path):
    x, y = imbalanced(2 if form in ("sigmoid", "logits") else 3, num_examples=120)
    options = {
        "integer": {},
        "float": {},
        "one-hot": {"loss": "categorical_crossentropy"},
        "sigmoid": {"units": 1, "activation": "sigmoid", "loss": "binary_crossentropy"},
        "logits": {
            "units": 1,
            "activation": None,
            "loss": keras.losses.BinaryCrossentropy(from_logits=True),
        },
    }[form]
    targets = {"float": y.astype("float32"), "one-hot": np.eye(3)[y]}.get(form, y)
    made = model(**options, optimizer=keras.optimizers.SGD(1e-12))
    ones = tf.data.Dataset.from_tensor_slices((x, targets)).batch(1)
    made.fit(ones, epochs=2, steps_per_epoch=60, verbose=0, callbacks=[StepLogger(tmp_path)])
    outputs = made.predict(x, verbose=0)
    threshold = 0.0 if form == "logits" else 0.5
    predicted = outputs.argmax(axis=1) if outputs.shape[1] > 1 else outputs[:, 0] > threshold
    assert len(set(predicted)) > 1
    steps, values = scalars(tmp_path)["step/macro_f1"]
    assert steps == [60, 120]
    for value, half in zip(values, (slice(60), slice(60, 120)), strict=True):  # each epoch alone
        assert value == pytest.approx(f1_score(y[half], predicted[half], average="macro"), rel=1e-6)


@pytest.mark.parametrize(
    "why, options, given",
    [
        ("balanced", {}, {}),
        ("turned off", {}, {"num_classes": 0}),
        (
            "several labels",
            {"activation": "sigmoid", "loss": "binary_crossentropy", "metrics": []},
            {},
        ),
        ("no cross-entropy", {"loss": "mse", "metrics": []}, {}),
    ],
)
def test_no_macro_f1_where_it_would_say_nothing(why, options, given, tmp_path):
    x, y = imbalanced()
    y = np.arange(60) % 3 if why == "balanced" else y
    fit(
        model(**options),
        StepLogger(tmp_path, **given),
        data=(x, np.eye(3)[y] if options else y),
        epochs=1,
    )
    assert "step/loss" in scalars(tmp_path) and "step/macro_f1" not in scalars(tmp_path)


# UpdateRatio


@pytest.mark.parametrize("every", [1, 3])
def test_ratios_of_every_layer_are_in_tensorboard(every, tmp_path):
    made = model()
    kernels = [[layer.kernel.numpy() for layer in made.layers]]
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: kernels.append(
            [layer.kernel.numpy() for layer in made.layers]
        )
    )
    fit(made, note, UpdateRatio(tmp_path, every=every))
    norms = np.linalg.norm
    update = np.array(
        [[norms(b - a) for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(kernels)]
    )
    weight = np.array([[norms(a) for a in each] for each in kernels[:-1]])
    expected = {"hidden": (update / weight)[:, 0], "out": (update / weight)[:, 1]}
    expected["whole_model"] = np.linalg.norm(update, axis=1) / np.linalg.norm(weight, axis=1)
    found = scalars(tmp_path)
    assert {tag.split("/")[-1] for tag in found} == set(expected)
    for tag, (steps, values) in found.items():
        assert tag.startswith("weight_update_ratio/")
        assert steps == list(range(0, STEPS, every))
        np.testing.assert_allclose(values, expected[tag.split("/")[-1]][::every], rtol=1e-3)


def test_measuring_less_often_than_every_step_is_needed(tmp_path):
    with pytest.raises(ValueError, match="`every` must be >= 1 step, got 0"):
        UpdateRatio(tmp_path, every=0)


def test_a_rate_is_suggested_in_proportion(tmp_path):
    callback = UpdateRatio(tmp_path, every=1)
    with pytest.raises(ValueError, match="measured"):
        fit(model(), callback, epochs=0)
        callback.suggest_learning_rate()
    suggested = []
    for rate in (1e-5, 1e-4):
        fit(model(optimizer=keras.optimizers.SGD(rate)), callback, epochs=1)
        suggested.append(callback.suggest_learning_rate())
    # The ratio grows in proportion to so small a rate, so both fits say the same.
    assert suggested[0] == pytest.approx(suggested[1], rel=0.02)
    assert math.isfinite(suggested[0])
