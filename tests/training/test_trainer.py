"""The trainer on tiny real models: it trains as a hand-written loop does."""

import copy
import dataclasses
import warnings
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerastune import schedules
from kerastune.callbacks import StepLogger
from kerastune.data import batches, folds
from kerastune.models import output_kind
from kerastune.objective import Objective
from kerastune.problem import Part, Problem
from kerastune.recipe import Recipe
from kerastune.training import pace, segment_callback
from kerastune.training.segment_callback import CHUNK, RATIO_EVERY
from kerastune.training.trainer import Trainer
from kerastune.trial import State, TrialSpec
from kerastune.tuner import refit

ACCURACY = Objective("accuracy", "max")
PLAIN = Recipe(learning_rate=0.05, batch_size=16, total_steps=200, initializers="keep")


def part(num_examples, seed, weights=None):
    x = np.random.default_rng(seed).normal(size=(num_examples, 4)).astype("float32")
    return Part(x, (x[:, 0] * x[:, 1] > 0).astype("int32") + (x[:, 2] > 0.5), weights)


def problem(**changes):
    settings = {"train": part(120, 1), "validation": part(60, 2), "class_names": ("a", "b", "c")}
    return Problem("toy", "classification", **{**settings, **changes})


def build(hyperparameters):
    units = hyperparameters.get("units", 8)
    return keras.Sequential(
        [keras.Input([4]), layers.Dense(units, "tanh"), layers.Dense(3, "softmax")]
    )


def regularized(hyperparameters):
    hidden = layers.Dense(8, "tanh", kernel_regularizer="l2")
    normal = [layers.BatchNormalization(), layers.Dropout(0.4)]
    return keras.Sequential([keras.Input([4]), hidden, *normal, layers.Dense(3, "softmax")])


def trainer(made=build, **options):
    data = options.pop("problem", None) or problem()
    return Trainer(data, made, options.pop("objective", ACCURACY), **options)


@pytest.fixture(scope="module")
def plain():
    """A trainer that many tests use.

    What was trained before changes nothing, as a test of its own shows.
    """
    return trainer()


def spec(recipe=PLAIN, start=0, until=100, **options):
    return TrialSpec(options.pop("trial", "a"), "lr", recipe, start, until, **options)


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


# What is trained


@pytest.mark.parametrize(
    "recipe, stock",
    [
        (PLAIN, keras.optimizers.SGD(0.0, momentum=0.9, nesterov=True)),
        (
            PLAIN.replace(decay="none", momentum=0.5, nesterov=False, seed=5),
            keras.optimizers.SGD(0.0, momentum=0.5),
        ),
        (
            PLAIN.replace(optimizer="adam", learning_rate=0.01, decay_interval=30),
            keras.optimizers.Adam(0.0),
        ),
    ],
)
def test_a_run_is_what_a_hand_written_loop_over_the_recipe_is(recipe, stock, plain):
    outcome, state, _ = plain.run(spec(recipe, until=70))
    data = problem().train
    keras.utils.set_random_seed(recipe.seed)
    model = build({})
    rows = batches.order(len(data), recipe.batch_size, recipe.seed, 0, 70).reshape(
        70, recipe.batch_size
    )
    losses, accuracies, kernels = [], [], [[layer.kernel.numpy() for layer in model.layers]]
    for step, batch in enumerate(rows):
        with tf.GradientTape() as tape:
            outputs = model(data.x[batch], training=True)
            loss = tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(data.y[batch], outputs)
            )
        stock.learning_rate = recipe.learning_rate
        if recipe.decay == "linear":
            decay = recipe.learning_rate, recipe.total_steps, recipe.decay_interval
            stock.learning_rate = schedules.linear_decay(step, *decay)
        stock.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        losses.append(float(loss))
        accuracies.append(np.mean(np.argmax(outputs, axis=1) == data.y[batch]))
        kernels.append([layer.kernel.numpy() for layer in model.layers])
    assert outcome.steps == state.step == 70 and outcome.diverged_at is None
    np.testing.assert_allclose(outcome.losses, losses, atol=1e-5)
    np.testing.assert_allclose(outcome.curves["accuracy"], accuracies, atol=1e-6)
    for weights, value in zip(model.weights, state.model, strict=True):
        np.testing.assert_allclose(value, weights, atol=1e-4)
    assert outcome.norm_steps.tolist() == list(range(0, 70, RATIO_EVERY))
    for step, update, weight in zip(
        outcome.norm_steps, outcome.update_norms, outcome.weight_norms, strict=True
    ):
        before, after = kernels[step], kernels[step + 1]
        np.testing.assert_allclose(
            update, [np.linalg.norm(b - a) for a, b in zip(before, after, strict=True)], rtol=5e-3
        )
        np.testing.assert_allclose(weight, [np.linalg.norm(a) for a in before], rtol=1e-3)


def test_rates_of_a_recipe():
    assert schedules.rates(PLAIN.replace(decay="none")).tolist() == [0.05]
    decayed = schedules.rates(PLAIN.replace(decay_interval=30))
    assert decayed.tolist() == schedules.linear_decay(np.arange(200), 0.05, 200, 30).tolist()


class Counting(keras.Sequential):
    """Counts how often its steps are traced."""

    traces = []

    def train_step(self, data):
        self.traces.append("train")
        return super().train_step(data)

    def test_step(self, data):
        self.traces.append("test")
        return super().test_step(data)


def test_one_trace_serves_all_trials():
    def counting(hyperparameters):
        return Counting(build(hyperparameters).layers)

    made = trainer(counting)
    Counting.traces.clear()
    first = made.run(spec(eval_every=50))[0]
    assert Counting.traces == ["train", "test"]
    Counting.traces.clear()
    changes = [
        {"learning_rate": 0.3, "momentum": 0.0},
        {"momentum": 0.5, "batch_size": 33},
        {"batch_size": 1, "decay": "none"},
        {"total_steps": 333, "decay_interval": 7},
        {"seed": 9, "initializers": "auto", "regularizers": "on"},  # the model has none
    ]
    for number, change in enumerate(changes):
        outcome, state, _ = made.run(
            spec(PLAIN.replace(**change), trial=str(number), until=50, eval_every=50)
        )
        made.run(spec(PLAIN.replace(**change), start=50, until=70), state)
    assert Counting.traces == []
    assert same([made.run(spec(eval_every=50))[0].losses], [first.losses])


def test_a_trial_is_the_same_whatever_was_trained_before_it():
    used = trainer(regularized)
    recipe = PLAIN.replace(regularizers="on")
    first, state, _ = used.run(spec(recipe))
    used.run(spec(recipe.replace(learning_rate=0.5, momentum=0.5, seed=3)))
    again, same_state, _ = used.run(spec(recipe))
    assert same([first.losses], [again.losses])
    assert same([*state.model, *state.optimizer], [*same_state.model, *same_state.optimizer])


@pytest.mark.parametrize("optimizer, ema", [("sgd", 0), ("adam", 0), ("muon", 0.9)])
def test_going_on_from_a_checkpoint_is_bit_identical(optimizer, ema):
    recipe = PLAIN.replace(optimizer=optimizer, learning_rate=0.01, regularizers="on", ema=ema)
    one, other = trainer(regularized), trainer(regularized)
    whole, end, _ = one.run(spec(recipe, until=200, eval_every=100))
    first, middle, _ = one.run(spec(recipe, until=100, eval_every=100))
    other.run(spec(recipe.replace(seed=7), until=50))
    second, last, _ = other.run(
        spec(recipe, start=100, until=200, eval_every=100), State.from_bytes(middle.to_bytes())
    )
    joined = second.after(first)
    assert same(
        [joined.losses, joined.curves["accuracy"]], [whole.losses, whole.curves["accuracy"]]
    )
    assert same([joined.norm_steps, joined.update_norms], [whole.norm_steps, whole.update_norms])
    assert joined.evals == whole.evals and [values["step"] for values in whole.evals] == [100, 200]
    assert same([*last.model, *last.optimizer], [*end.model, *end.optimizer])
    assert (last.step, last.first_loss) == (200, end.first_loss) and joined.notes == ()


def test_the_moving_average_is_what_is_evaluated_and_kept_and_not_what_is_trained(plain):
    recipe = PLAIN.replace(decay="none")
    _, weights, _ = plain.run(spec(recipe, until=100, eval_every=50, keep_best=True))
    averaged = trainer()
    outcome, state, best = averaged.run(
        spec(recipe.replace(ema=0.95), until=100, eval_every=100, keep_best=True)
    )
    assert same(state.model[:4], weights.model[:4])
    assert not np.array_equal(best.model[0], state.model[0])
    outputs = averaged.outputs(recipe, best, problem().validation.x)
    right = np.mean(np.argmax(outputs, axis=1) == problem().validation.y)
    assert outcome.evals[-1]["accuracy"] == pytest.approx(right)


def test_norms_go_on_at_their_steps(plain):
    first, state, _ = plain.run(spec(until=15))
    second, _, _ = plain.run(spec(start=15, until=40), state)
    assert (first.norm_steps.tolist(), second.norm_steps.tolist()) == ([0, 10], [20, 30])
    assert len(second.update_norms) == len(second.weight_norms) == 2


def test_random_states_are_part_of_what_goes_on():
    recipe = PLAIN.replace(regularizers="on")
    made = trainer(regularized)
    _, state, _ = made.run(spec(recipe))
    paths = [variable.path for variable in made.compiled(recipe).model.variables]
    seed = paths.index(next(path for path in paths if "seed_generator" in path))
    onward = made.run(spec(recipe, start=100, until=150), state)[0]
    state.model[seed] = state.model[seed] + 1
    assert not same(
        [made.run(spec(recipe, start=100, until=150), state)[0].losses], [onward.losses]
    )


def test_a_seed_gives_the_initial_weights_and_another_seed_others():
    made = trainer()
    first, again = made.initial_state(PLAIN), trainer().initial_state(PLAIN)
    assert same(first, again)
    assert not same(first, made.initial_state(PLAIN.replace(seed=2)))


def test_initial_weights_follow_the_activation_unless_kept():
    def rectified(hyperparameters):
        return keras.Sequential([keras.Input([400]), layers.Dense(300, "relu"), layers.Dense(3)])

    wide = Part(np.zeros([4, 400], "float32"), np.arange(4) % 3)
    made = trainer(rectified, problem=problem(train=wide, validation=wide))
    he, glorot = (
        made.initial_state(PLAIN.replace(initializers=how))[0].std() for how in ("auto", "keep")
    )
    assert he == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert glorot == pytest.approx(np.sqrt(2 / 700), rel=0.02)


def test_regularizers_are_off_unless_the_recipe_has_them_on():
    made = trainer(regularized)
    off, on = (
        made.run(spec(PLAIN.replace(regularizers=how), until=50))[0] for how in ("off", "on")
    )
    assert on.losses[0] > off.losses[0] + 0.01  # the penalty alone
    finished = made.finished_model(PLAIN, made.run(spec(until=50))[1])
    assert finished.layers[2].rate == 0.4 and finished.losses  # as its builder made it


def test_hyperparameters_make_models_of_their_own():
    made = trainer()
    small, large = (
        made.run(spec(PLAIN.replace(hyperparameters={"units": n}), until=10))[1] for n in (5, 6)
    )
    assert (small.model[0].shape, large.model[0].shape) == ((4, 5), (4, 6))
    assert (
        made.compiled(PLAIN.replace(hyperparameters={"units": 5})).model.count_params()
        == 5 * 4 + 5 + 5 * 3 + 3
    )


# Where a run is lost


def test_a_loss_that_is_not_a_number_stops_the_run_at_its_chunk():
    data, lost = part(600, 1), 230
    # Step 230 is the first one that sees it.
    data.x[batches.order(600, 2, PLAIN.seed, 0, 300)[2 * lost]] = np.nan
    made, recipe = (
        trainer(problem=problem(train=data)),
        PLAIN.replace(batch_size=2, learning_rate=1e-4),
    )
    outcome, state, best = made.run(spec(recipe, until=500, eval_every=50, keep_best=True))
    assert (outcome.diverged_at, outcome.steps, state.step, best.step) == (lost, 250, 250, 200)
    assert np.isfinite(outcome.losses[:lost]).all() and np.isnan(outcome.losses[lost:]).all()
    _, state, _ = made.run(spec(recipe, until=70))
    onward, _, _ = made.run(spec(recipe, start=70, until=500), state)
    assert (onward.diverged_at, onward.steps) == (lost, 200)


@pytest.mark.parametrize(("left", "steps"), [(np.inf, 250), (99.0, 240)])
def test_where_it_stops_depends_on_the_steps_of_a_call_with_a_limit_in_time_only(
    left, steps, monkeypatch
):
    data, lost = part(600, 1), 230
    data.x[batches.order(600, 2, PLAIN.seed, 0, 300)[2 * lost]] = np.nan
    monkeypatch.setattr(pace, "steps_at_once", lambda seconds: 10)
    made = trainer(problem=problem(train=data), seconds_left=lambda: left)
    recipe = PLAIN.replace(batch_size=2, learning_rate=1e-4)
    outcome, *_ = made.run(spec(recipe, until=500, eval_every=50, keep_best=True))
    assert (outcome.diverged_at, outcome.steps) == (lost, steps)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_first_loss_that_is_not_finite(loss):
    made = trainer(problem=problem(train=part(120, 1, np.full(120, loss))))
    outcome, _, best = made.run(spec(until=200, eval_every=50, keep_best=True))
    assert (outcome.diverged_at, outcome.steps, best) == (0, CHUNK, None)


def test_an_explosion_stops_the_run_and_is_measured_against_the_trials_first_loss():
    def regression(hyperparameters):
        return keras.Sequential([keras.Input([4]), layers.Dense(1)])

    x = part(120, 1).x
    data = Part(x, x.sum(axis=1) + 3)
    made = trainer(
        regression,
        problem=Problem("r", "regression", data, data),
        objective=Objective("loss", "min"),
    )
    calm = PLAIN.replace(decay="none", learning_rate=1e-3, momentum=0.0)
    first, state, _ = made.run(spec(calm, until=50))
    assert first.diverged_at is None and state.first_loss == pytest.approx(first.losses[0])
    wild = calm.replace(learning_rate=1.4)
    outcome, _, _ = made.run(spec(wild, start=50, until=500), state)
    assert 50 < outcome.diverged_at < 100 and outcome.steps == CHUNK
    before, after = np.split(outcome.losses, [outcome.diverged_at - 49])
    assert before[0] < 3 * first.losses[0] < after.max()


def test_a_member_of_a_fold_sees_the_rows_outside_of_its_own_in_every_segment(monkeypatch):
    made = trainer()
    asked, given = [], made._batches.training
    monkeypatch.setattr(
        made._batches, "training", lambda *how, rows: asked.append(rows) or given(*how, rows=rows)
    )
    cut = {"folds": 3, "left_out": 2}
    first, state, _ = made.run(spec(until=50, **cut))
    second, *_ = made.run(spec(start=50, until=100, **cut), state)
    rows = folds.training_rows(made.problem, 3, 2)
    assert [same([rows], [each]) for each in asked] == [True, True] and len(rows) == len(
        made.problem.train
    ) * 2 // 3
    whole, *_ = made.run(spec(until=100, **cut))
    assert np.array_equal(whole.losses, [*first.losses, *second.losses])


class Seeing(keras.Sequential):
    """Notes every number of an example, its first input, that it trains on or is evaluated on."""

    seen = {"train": set(), "test": set()}

    @classmethod
    def _note(cls, where, data):
        tf.py_function(lambda x: cls.seen[where].update(x.numpy().astype(int)), [data[0][:, 0]], [])

    @classmethod
    def forget(cls):
        for numbers in cls.seen.values():
            numbers.clear()

    def train_step(self, data):
        self._note("train", data)
        return super().train_step(data)

    def test_step(self, data):
        self._note("test", data)
        return super().test_step(data)


def numbered(first, count, weights=None):
    numbers = np.arange(first, first + count)
    x = np.stack([numbers, *[numbers % 5] * 3], axis=1).astype("float32")
    return Part(x, (numbers % 3).astype("int32"), weights)


@pytest.mark.parametrize("weights", [None, np.ones(60)])
def test_a_trial_that_leaves_out_a_fold_of_all_examples_never_trains_on_it(weights):
    data = problem(train=numbered(0, 120), validation=numbered(120, 60, weights))
    made = trainer(lambda hyperparameters: Seeing(build(hyperparameters).layers), problem=data)
    missed = []
    for fold in range(1, 6):
        Seeing.forget()
        cut = {"folds": 5, "left_out": fold, "repeat": 2, "keep_best": True, "eval_every": 50}
        _, state, _ = made.run(spec(until=50, **cut))
        made.run(spec(start=50, **cut), state)
        held_out = folds.of_all(data, 5, fold, 2).held_out
        assert Seeing.seen["test"] == set(held_out) and len(held_out) == 36
        assert Seeing.seen["train"] == set(range(180)) - set(held_out)
        missed += held_out.tolist()
    assert sorted(missed) == list(range(180))
    # The next training of this trainer learns from the training part again.
    Seeing.forget()
    made.run(spec(until=50, eval_every=50))
    assert Seeing.seen == {"train": set(range(120)), "test": set(range(120, 180))}


def test_scores_of_a_fold_are_those_of_its_examples_and_no_fold_is_traced_anew():
    Counting.traces.clear()
    made = trainer(lambda hyperparameters: Counting(build(hyperparameters).layers))
    for repeat in (1, 2):
        for fold in range(1, 6):
            cut = {"folds": 5, "left_out": fold, "repeat": repeat}
            outcome, _, best = made.run(spec(keep_best=True, eval_every=50, **cut))
            left = folds.problem_of(made.problem, 5, fold, repeat).validation
            right = made.outputs(PLAIN, best, left.x).argmax(1) == left.y
            assert outcome.example_scores.tolist() == right.tolist()
    assert Counting.traces == ["train", "test"]


def test_a_deadline_stops_at_a_chunk_and_steps_are_told():
    told = []
    made = trainer(on_steps=told.append, seconds_left=lambda: 2 - len(told))
    outcome, state, _ = made.run(spec(until=170))
    assert told == [50, 50] and outcome.steps == state.step == 100 and outcome.diverged_at is None
    assert outcome.out_of_time
    told.clear()
    in_time = made.run(spec(until=70))[0]
    assert told == [50, 20] and in_time.steps == 70 and not in_time.out_of_time


def test_a_refit_is_trained_to_its_end_on_all_examples_whatever_the_deadline():
    made = trainer(seconds_left=lambda: 0)
    examples = len(made.problem.train) + len(made.problem.validation)
    wanted = refit.spec_of(PLAIN.replace(total_steps=300, decay="linear"), made.problem)
    assert wanted.until == round(300 * examples / len(made.problem.train))
    outcome, state, kept = refit.run(made, wanted)
    assert outcome.steps == wanted.until and state is kept and not outcome.out_of_time
    assert made.run(spec(until=200))[0].steps == CHUNK  # the deadline is still that of the search


@pytest.mark.parametrize(
    "given, state, message",
    [
        (spec(until=120, eval_every=40), None, r"`eval_every` \(40\) must be a multiple of 50"),
        (spec(start=50, until=100), None, "starts at step 50, but its checkpoint is of step None"),
        (
            spec(start=50, until=100),
            State(40, [], []),
            "starts at step 50, but its checkpoint is of step 40",
        ),
        (spec(), State(40, [], []), "starts at step 0, but its checkpoint is of step 40"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(given, state, message):
    def never(hyperparameters):
        raise AssertionError("built")

    with pytest.raises(ValueError, match=message):
        trainer(never).run(given, state)


def test_a_checkpoint_of_another_model_is_refused(plain):
    _, state, _ = plain.run(spec(until=10))
    with pytest.raises(ValueError, match="holds 3 arrays, the model has 4"):
        plain.run(spec(start=10, until=20), State(10, state.model[:3], state.optimizer))


def test_one_evaluation_at_the_end_needs_no_whole_chunks(plain):
    outcome, _, _ = plain.run(spec(until=30, eval_every=30))
    assert [values["step"] for values in outcome.evals] == [30]


# Best weights


def test_the_best_weights_are_those_of_the_best_evaluation(plain):
    recipe = PLAIN.replace(learning_rate=0.3, total_steps=400, decay="none")
    outcome, state, best = plain.run(spec(recipe, until=400, eval_every=50, keep_best=True))
    values = [each["accuracy"] for each in outcome.evals]
    assert [each["step"] for each in outcome.evals] == list(range(50, 401, 50))
    chosen = max(outcome.evals, key=lambda each: (each["accuracy"], -each["loss"]))
    assert best.step == chosen["step"] and best.optimizer == []
    model = plain.finished_model(recipe, best)
    data = problem().validation
    measured = model.evaluate(data.x, data.y, verbose=0, return_dict=True)
    assert measured == pytest.approx({"loss": chosen["loss"], "accuracy": max(values)}, rel=1e-5)
    assert outcome.example_scores.mean() == pytest.approx(max(values))
    assert not same(best.model, state.model) or best.step == 400


def test_the_objective_may_be_a_loss():
    outcome, _, best = trainer(objective=Objective("loss", "min")).run(
        spec(
            PLAIN.replace(learning_rate=0.5, decay="none"), until=300, eval_every=50, keep_best=True
        )
    )
    assert best.step == min(outcome.evals, key=lambda each: each["loss"])["step"]


def test_a_decaying_rate_keeps_its_best_weights_and_pruning_its_last(plain):
    recipe = PLAIN.replace(learning_rate=0.3, total_steps=400, decay="linear")
    asked = spec(recipe, until=400, eval_every=50, keep_best=True)
    outcome, state, best = plain.run(asked)
    top = max(outcome.evals, key=lambda values: (values["accuracy"], -values["loss"]))
    assert best.step == top["step"] < 400
    assert outcome.example_scores.mean() == pytest.approx(top["accuracy"])
    assert outcome.mirrored_scores is None
    pruned, state, best = plain.run(dataclasses.replace(asked, trial="b", sparsity=0.5))
    assert best.step == 400 and same(best.model, state.model)
    assert pruned.example_scores.mean() == pytest.approx(pruned.evals[-1]["accuracy"])


def test_without_being_asked_nothing_is_kept(plain):
    outcome, _, best = plain.run(spec(eval_every=50))
    assert best is None and outcome.example_scores is None


# What the user brings


def test_a_compiled_model_keeps_its_loss_and_metrics():
    def compiled(hyperparameters):
        model = build(hyperparameters)
        by_class = keras.metrics.F1Score(average=None, name="by_class")
        metrics = ["accuracy", by_class, keras.metrics.MeanSquaredError("mse")]
        model.compile(
            "rmsprop", keras.losses.CategoricalCrossentropy(label_smoothing=0.2), metrics=metrics
        )
        return model

    train, validation = (
        Part(p.x, np.eye(3, dtype="float32")[p.y]) for p in (part(120, 1), part(60, 2))
    )
    made = trainer(compiled, problem=problem(train=train, validation=validation))
    outcome, state, _ = made.run(spec(until=50, eval_every=50))
    assert list(outcome.curves) == ["loss", "accuracy", "mse"]
    # F1 by class is no number to choose by; macro-F1 is added where the classes are imbalanced.
    assert set(outcome.evals[0]) - {"macro_f1"} == {"step", "loss", "accuracy", "mse"}
    first = batches.order(120, 16, PLAIN.seed, 0, 1)
    keras.utils.set_random_seed(PLAIN.seed)
    outputs = build({})(train.x[first])
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)(train.y[first], outputs)
    assert outcome.losses[0] == pytest.approx(float(smoothed), rel=1e-5)
    finished = made.finished_model(PLAIN, state)
    assert finished.loss.get_config()["label_smoothing"] == 0.2


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("class_weight", [None, {0: 0.1, 1: 4.0}])
def test_weights_are_part_of_the_loss(own, class_weight):
    weights = np.linspace(0, 3, 120).astype("float32") if own else None
    data = part(120, 1, weights)
    outcome, _, _ = trainer(problem=problem(train=data, class_weight=class_weight)).run(
        spec(until=1)
    )
    rows = batches.order(120, 16, PLAIN.seed, 0, 1)
    keras.utils.set_random_seed(PLAIN.seed)
    each = keras.losses.sparse_categorical_crossentropy(data.y[rows], build({})(data.x[rows]))
    by_class = np.array([0.1, 4.0, 1.0])[data.y[rows]] if class_weight else 1.0
    expected = np.mean(each * by_class * (weights[rows] if own else 1.0))
    assert outcome.losses[0] == pytest.approx(float(expected), rel=1e-5)


class Noting(keras.callbacks.Callback):
    """Notes into a list that all copies share."""

    notes = []

    def __init__(self, log_dir=None):
        super().__init__()
        self.log_dir, self.used = log_dir, False

    def on_train_batch_end(self, batch, logs=None):
        self.used = True
        self.notes.append((self.log_dir, id(self), batch, sorted(logs)))

    def on_epoch_end(self, epoch, logs=None):
        self.notes.append((self.log_dir, id(self), "epoch", sorted(logs)))


def test_the_users_callbacks_get_copies_logs_and_directories_of_their_own():
    given = [Noting("logs"), Noting()]
    made = trainer(callbacks=given)
    Noting.notes.clear()
    for trial in ("a", "b"):
        made.run(spec(trial=trial, eval_every=100))
    assert not any(callback.used for callback in given)
    assert {note[0] for note in Noting.notes} == {"logs/a", "logs/b", None}
    of_one = [note[2:] for note in Noting.notes if note[0] == "logs/a"]
    batch_logs = ["accuracy", "loss", "macro_f1"]
    epoch_logs = batch_logs + [f"val_{name}" for name in batch_logs]
    assert of_one == [(49, batch_logs), (99, batch_logs), ("epoch", epoch_logs)]


def compiled_with_decay(hyperparameters):
    model = build(hyperparameters)
    optimizer = keras.optimizers.AdamW(weight_decay=0.5, clipnorm=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_clipping_always_acts_and_weight_decay_when_regularizers_are_on():
    made = trainer(compiled_with_decay)
    weights = {}
    for setting in ("off", "on"):
        recipe = PLAIN.replace(regularizers=setting, momentum=0.0, nesterov=False, decay="none")
        outcome, state, _ = made.run(spec(recipe=recipe, until=1))
        assert outcome.update_norms.max() <= 0.05 * (0.01 if setting == "off" else 0.52) * 10
        weights[setting] = state.model
        stock = made.finished_model(recipe, state).optimizer
        assert (stock.weight_decay, stock.clipnorm) == (0.5, 0.01)
    start = made.initial_state(PLAIN)
    for on, off, first in zip(weights["on"], weights["off"], start, strict=True):
        if first.dtype == np.float32:  # not the seeds
            np.testing.assert_allclose(on - off, -0.05 * 0.5 * first, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weight_decay_takes_its_share_off_kernels_alone_and_other_strengths_trace_nothing(
    optimizer,
):
    Counting.traces.clear()
    made = trainer(lambda hyperparameters: Counting(build(hyperparameters).layers))
    recipe = PLAIN.replace(optimizer=optimizer, decay="none")
    start = made.initial_state(recipe).copy()
    ends = {}
    for strength in (0.0, 0.5, 2.0):
        _, state, _ = made.run(spec(recipe=recipe.replace(weight_decay=strength), until=1))
        ends[strength] = state.model
        if strength == 0.5:
            Counting.traces.clear()
    assert Counting.traces == []
    for plain_end, half, double, first in zip(*ends.values(), start, strict=True):
        if first.ndim == 2:
            np.testing.assert_allclose(half - plain_end, -0.05 * 0.5 * first, atol=2e-6)
            np.testing.assert_allclose(double - plain_end, -0.05 * 2.0 * first, atol=5e-6)
        else:
            np.testing.assert_array_equal(half, plain_end)


def test_a_trial_with_augmentation_goes_on_bit_by_bit(plain):
    recipe = PLAIN.replace(augmentation=0.3)
    whole, end, _ = plain.run(spec(recipe=recipe, until=150))
    first, state, _ = plain.run(spec(recipe=recipe, until=50))
    rest, last, _ = plain.run(spec(recipe=recipe, start=50, until=150), state)
    assert same(
        [whole.losses, *end.model], [np.concatenate([first.losses, rest.losses]), *last.model]
    )
    assert not np.array_equal(whole.losses, plain.run(spec(until=150))[0].losses)


def of_images():
    def images(hyperparameters):
        built = [
            layers.Flatten(),
            layers.Dense(8, "relu"),
            layers.Dropout(0.0),
            layers.Dense(3, "softmax"),
        ]
        return keras.Sequential([keras.Input([6, 6, 1]), *built])

    def of(seed):
        x = np.random.default_rng(seed).normal(size=[60, 6, 6, 1]).astype("float32")
        return Part(x, np.arange(60) % 3)

    return trainer(images, problem=problem(train=of(1), validation=of(2)))


@pytest.mark.parametrize("flip", [True, False])
def test_who_is_trained_with_a_flip_is_asked_about_both_mirror_images(flip):
    made = of_images()
    recipe = PLAIN.replace(flip=flip, regularizers="on")
    outcome, _, best = made.run(spec(recipe=recipe, until=100, eval_every=50, keep_best=True))
    model, data = made.finished_model(recipe, best), made.problem.validation
    alone, mirrored = (model.predict(x, verbose=0) for x in (data.x, data.x[:, :, ::-1]))
    np.testing.assert_array_equal(outcome.example_scores, alone.argmax(axis=1) == data.y)
    if not flip:
        assert outcome.mirrored_scores is None
        return
    np.testing.assert_array_equal(
        outcome.mirrored_scores, (alone + mirrored).argmax(axis=1) == data.y
    )
    assert not np.array_equal(outcome.mirrored_scores, outcome.example_scores)


def test_a_trial_with_everything_that_regularizes_goes_on_bit_by_bit():
    made = of_images()
    values = {
        "augmentation": 0.2,
        "flip": True,
        "dropout": 0.3,
        "label_smoothing": 0.1,
        "weight_decay": 0.01,
    }
    recipe = PLAIN.replace(regularizers="on", **values)
    whole, end, _ = made.run(spec(recipe=recipe, until=150))
    first, state, _ = made.run(spec(recipe=recipe, until=50))
    made.run(spec(recipe=recipe.replace(seed=3), until=50))  # another trial between
    rest, last, _ = made.run(spec(recipe=recipe, start=50, until=150), state)
    assert same(
        [whole.losses, *end.model], [np.concatenate([first.losses, rest.losses]), *last.model]
    )
    for name in values:
        less = recipe.replace(**{name: getattr(Recipe(), name)})
        assert not np.array_equal(whole.losses, made.run(spec(recipe=less, until=50))[0].losses), (
            name
        )


def dropping(hyperparameters):
    rate = hyperparameters.get("rate", 0.0)
    # With seeds: Keras draws one less for a Dropout of no rate.
    glorot = keras.initializers.GlorotUniform
    hidden = [
        layers.Dense(16, "tanh", kernel_initializer=glorot(1)),
        layers.Dropout(rate, name="drop"),
    ]
    return Counting(
        [keras.Input([4]), *hidden, layers.Dense(3, "softmax", kernel_initializer=glorot(2))]
    )


def test_a_dropout_rate_is_what_a_model_built_with_it_has():
    made = trainer(dropping)
    recipe = PLAIN.replace(regularizers="on")
    tuned, state, _ = made.run(spec(recipe=recipe.replace(dropout=0.5)))
    built, _, _ = made.run(spec(recipe=recipe.replace(hyperparameters={"rate": 0.5})))
    plain, _, _ = made.run(spec(recipe=recipe))
    off, _, _ = made.run(spec(recipe=recipe.replace(hyperparameters={"rate": 0.5}, dropout=0.0)))
    assert abs(tuned.losses.mean() - built.losses.mean()) < 0.25 * (
        tuned.losses.mean() - plain.losses.mean()
    )
    np.testing.assert_array_equal(plain.losses, off.losses)
    np.testing.assert_array_equal(
        plain.losses, made.run(spec(recipe=PLAIN.replace(dropout=0.5)))[0].losses
    )
    Counting.traces.clear()
    made.run(spec(recipe=recipe.replace(dropout=0.5)))
    assert Counting.traces == []


@pytest.mark.parametrize("rate", [None, 0.25])
def test_what_is_saved_carries_the_dropout_rate_and_no_smoothing(rate, tmp_path):
    made = trainer(lambda hyperparameters: keras.Sequential(dropping({"rate": 0.5}).layers))
    recipe = PLAIN.replace(regularizers="on", dropout=rate, label_smoothing=0.2)
    _, state, _ = made.run(spec(recipe=recipe, until=50))
    model = made.finished_model(recipe, state)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("drop").rate == (0.5 if rate is None else rate)
    assert type(loaded.loss) is keras.losses.SparseCategoricalCrossentropy
    x = made.problem.validation.x
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)


def test_smoothing_is_in_the_training_loss_alone_and_another_strength_traces_nothing():
    made = trainer(lambda hyperparameters: Counting(build(hyperparameters).layers))
    recipe = PLAIN.replace(decay="none", learning_rate=1e-12)
    ends = {}
    for strength in (0.0, 0.3, 0.6):
        outcome, _, _ = made.run(
            spec(recipe=recipe.replace(label_smoothing=strength), until=50, eval_every=50)
        )
        ends[strength] = outcome
        if strength == 0.3:
            Counting.traces.clear()
    assert Counting.traces == []
    assert len({outcome.evals[0]["loss"] for outcome in ends.values()}) == 1
    plain, some, more = (outcome.losses for outcome in ends.values())
    assert not np.allclose(plain, some)
    np.testing.assert_allclose(more - plain, 2 * (some - plain), rtol=1e-3, atol=1e-5)


def test_smoothing_of_another_loss_is_refused_by_name():
    numbers = Problem(
        "toy", "regression", Part(part(50, 1).x, np.zeros(50)), Part(part(50, 2).x, np.zeros(50))
    )
    made = trainer(problem=numbers, objective=Objective("loss", "min"))
    with pytest.raises(ValueError, match="`label_smoothing`.*mean_squared_error"):
        made.run(spec(recipe=PLAIN.replace(label_smoothing=0.1)))


def test_early_stopping_counts_on_through_the_segments_of_a_trial():
    class Worse(keras.callbacks.EarlyStopping):
        """Sees a value that never gets better."""

        def get_monitor_value(self, logs):
            return 1.0

    made = trainer(callbacks=[Worse(patience=3)])
    _, state, _ = made.run(spec(until=100, eval_every=50))
    other = made.run(spec(trial="b", until=100, eval_every=50))[0]
    outcome = made.run(spec(start=100, until=300, eval_every=50), state)[0]
    assert other.steps == 100 and outcome.steps == 100  # stopped at the fourth evaluation


def test_a_users_step_logger_writes_what_the_outcome_holds(tmp_path):
    made = trainer(callbacks=[StepLogger(tmp_path)])
    outcome = made.run(spec(until=70))[0]
    events = EventAccumulator(str(tmp_path / "a"), size_guidance={"scalars": 0})
    events.Reload()
    rows = events.Scalars("step/loss")
    assert [row.step for row in rows] == list(range(70))
    np.testing.assert_array_equal(np.float32([row.value for row in rows]), outcome.losses)
    assert same([made.run(spec(until=70))[0].losses], [outcome.losses])


class Fails(keras.callbacks.Callback):
    armed = True

    def on_train_batch_end(self, batch, logs=None):
        if Fails.armed:
            raise OSError("disk full")


def test_after_an_exception_in_a_callback_the_trainer_works_on(tmp_path, plain):
    made = trainer(callbacks=[StepLogger(tmp_path), Fails()])
    with pytest.raises(OSError, match="disk full"):
        made.run(spec())
    Fails.armed = False
    assert same([made.run(spec())[0].losses], [plain.run(spec())[0].losses])


def test_a_train_step_of_the_users_is_used():
    class Doubled(keras.Sequential):
        def train_step(self, data):
            x, y = data
            return super().train_step((x * 0, y))

    outcome, _, _ = trainer(lambda hp: Doubled(build(hp).layers)).run(spec(until=1))
    # Zeros in, equal probabilities out.
    assert outcome.losses[0] == pytest.approx(np.log(3), rel=1e-5)


def test_a_train_step_that_names_no_loss_is_refused():
    class Nameless(keras.Sequential):
        def train_step(self, data):
            return {"cost": super().train_step(data)["loss"]}

    with pytest.raises(ValueError, match="`train_step` returns no value called `loss`"):
        trainer(lambda hp: Nameless(build(hp).layers)).run(spec(until=10))


class AtFirstCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = layers.Dense(3)

    def call(self, x):
        return self.out(x["a"] * x["b"])


def test_a_subclassed_model_that_nobody_compiled_and_a_dict_of_inputs():
    train, validation = (Part({"a": p.x, "b": p.x + 1}, p.y) for p in (part(120, 1), part(60, 2)))
    made = trainer(lambda hp: AtFirstCall(), problem=problem(train=train, validation=validation))
    outcome, state, best = made.run(
        spec(PLAIN.replace(decay="none"), until=100, eval_every=50, keep_best=True)
    )
    assert made.compiled(PLAIN).model.loss.from_logits
    assert outcome.losses[-20:].mean() < outcome.losses[0]
    assert outcome.example_scores.mean() == pytest.approx(
        max(each["accuracy"] for each in outcome.evals)
    )


# A stream


def test_a_stream_goes_on_with_its_weights_and_says_that_it_began_again():
    data = part(120, 1)
    stream = tf.data.Dataset.from_tensor_slices((data.x, data.y))
    made = trainer(problem=problem(train=None, stream=stream))
    first, state, _ = made.run(spec())
    second, last, _ = made.run(spec(start=100, until=150), state)
    assert first.notes == () and len(second.notes) == 1 and "started again" in second.notes[0]
    assert (second.steps, last.step) == (50, 150)
    end = first.losses[-10:].mean()
    assert abs(second.losses[:10].mean() - end) < (first.losses[0] - end) / 2
    assert same([made.run(spec())[0].losses], [first.losses])


# Precision, time, memory


def test_mixed_precision_trains_with_loss_scaling_and_goes_on(plain):
    def half(hyperparameters):
        keras.config.set_dtype_policy("mixed_float16")
        try:
            return keras.Sequential(
                [
                    keras.Input([4]),
                    layers.Dense(8, "tanh"),
                    layers.Dense(3, "softmax", dtype="float32"),
                ]
            )
        finally:
            keras.config.set_dtype_policy("float32")

    made = trainer(half)
    recipe = PLAIN.replace(decay="none")
    whole, end, _ = made.run(spec(recipe, until=100))
    assert isinstance(made.compiled(recipe).model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert whole.losses[-20:].mean() < whole.losses[:20].mean()
    np.testing.assert_allclose(whole.losses, plain.run(spec(recipe))[0].losses, atol=0.02)
    first, middle, _ = made.run(spec(recipe, until=50))
    second, last, _ = made.run(spec(recipe, start=50, until=100), middle)
    assert same([second.after(first).losses, *last.optimizer], [whole.losses, *end.optimizer])
    finished = made.finished_model(recipe, end)
    assert isinstance(finished.optimizer, keras.optimizers.LossScaleOptimizer)


def test_time_and_memory_are_measured(plain):
    outcome, _, _ = plain.run(spec(until=200))
    assert 10e6 < outcome.peak_memory < 1e12
    assert 0 < outcome.seconds_per_step < outcome.seconds / 200


def test_memory_is_that_of_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else []
    )
    monkeypatch.setattr(
        tf.config.experimental, "get_memory_info", lambda name: {"peak": 123, "current": 5}
    )
    assert segment_callback.peak_memory() == 123


# What is handed over


@pytest.mark.parametrize("compiled, decay", [(False, "linear"), (True, "none")])
def test_a_finished_model_is_saved_with_keras_own_optimizer(compiled, decay, tmp_path):
    def made(hyperparameters):
        model = regularized(hyperparameters)
        if compiled:
            model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    data = part(120, 1)
    # Imbalanced, so macro-F1 is watched in training.
    data = Part(data.x, np.where(np.arange(120) < 100, 0, data.y))
    recipe = PLAIN.replace(decay=decay)
    used = trainer(made, problem=problem(train=data))
    _, state, _ = used.run(spec(recipe, until=10))
    model = used.finished_model(recipe, state)
    model.save(tmp_path / "model.keras")
    assert b"kerastune" not in zipfile.ZipFile(tmp_path / "model.keras").read("config.json")
    with warnings.catch_warnings():
        # Such as of optimizer variables that were not saved.
        warnings.simplefilter("error", UserWarning)
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is keras.optimizers.SGD
    assert (loaded.optimizer.momentum, loaded.optimizer.nesterov) == (0.9, True)
    rate = loaded.optimizer._learning_rate
    assert float(rate(100) if decay == "linear" else rate) == pytest.approx(
        0.025 if decay == "linear" else 0.05
    )
    np.testing.assert_array_equal(
        output_kind.predict(loaded, data.x), output_kind.predict(model, data.x)
    )


def test_a_finished_model_leaves_the_trainers_own_alone(plain):
    _, state, _ = plain.run(spec(until=50))
    kept = copy.deepcopy(state)
    model = plain.finished_model(PLAIN, state)
    model.set_weights([weights * 0 for weights in model.get_weights()])
    assert same([*state.model, *plain.run(spec(until=50))[1].model], [*kept.model, *kept.model])


def test_a_training_that_follows_the_clock_ends_its_decay_when_the_time_ends(plain):
    chunks = []
    made = trainer(on_steps=chunks.append)
    # Every chunk takes a tenth of a second by this clock, whatever the machine: 20 in all.
    made.seconds_left = lambda: 2.0 - 0.1 * len(chunks)
    recipe = PLAIN.replace(total_steps=4000, decay_interval=1)
    asked = spec(recipe, until=4000, eval_every=500, keep_best=True, follows_clock=True)
    with mock.patch.object(segment_callback.time, "monotonic", lambda: 0.1 * len(chunks)):
        outcome, state, best = made.run(asked)
    done = outcome.spec.recipe.total_steps
    assert outcome.steps == done == outcome.spec.until == state.step == best.step
    assert 16 * CHUNK <= done <= 21 * CHUNK and not outcome.out_of_time
    assert outcome.evals[-1]["step"] == done
    # The last steps hardly move: the learning rate has come to its end.
    assert outcome.update_norms[-1].max() < 0.1 * outcome.update_norms[0].max()


def memory(hyperparameters):
    gru = layers.GRU(3, stateful=True, reset_after=False)
    model = keras.Sequential([keras.Input(batch_shape=(8, 2, 2)), gru, layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_states_begin_at_zero_with_every_epoch_and_evaluation_and_training_goes_on_with_its_own():
    x, y = part(59, 1).x.reshape(59, 2, 2), part(59, 1).y  # 7 whole batches of an epoch
    data = problem(train=Part(x, y), validation=Part(x[:16], y[:16]), batch_size=8, shuffled=False)
    tuned = trainer(memory, problem=data, objective=Objective("loss", "min"))
    recipe = PLAIN.replace(batch_size=8, momentum=0.0)
    outcome, last, _ = tuned.run(spec(recipe, eval_every=CHUNK))
    model, losses, judged = memory({}), [], []
    for variable, value in zip(model.variables, tuned.initial_state(recipe), strict=True):
        variable.assign(value)
    model.optimizer.learning_rate = 0.05
    for step in range(100):
        if step % 7 == 0:
            model.layers[0].reset_state()
        rows = np.arange(8) + 8 * (step % 7)
        losses.append(float(model.train_on_batch(x[rows], y[rows])))
        model.reset_metrics()
        if (step + 1) % CHUNK == 0:
            states = [state.numpy() for state in model.layers[0].states]
            model.layers[0].reset_state()
            judged.append(model.evaluate(x[:16], y[:16], 8, verbose=0))
            for state, value in zip(model.layers[0].states, states, strict=True):
                state.assign(value)
    np.testing.assert_allclose(outcome.curves["loss"], losses, rtol=2e-4)
    np.testing.assert_allclose([each["loss"] for each in outcome.evals], judged, rtol=2e-4)
    again, _, _ = tuned.run(spec(recipe, eval_every=CHUNK))
    np.testing.assert_array_equal(again.curves["loss"], outcome.curves["loss"])


def test_a_training_that_goes_on_keeps_the_states_of_stateful_layers():
    x, y = part(59, 1).x.reshape(59, 2, 2), part(59, 1).y  # step 50 is amid an epoch of 7
    data = problem(train=Part(x, y), validation=Part(x[:16], y[:16]), batch_size=8, shuffled=False)
    tuned = trainer(memory, problem=data, objective=Objective("loss", "min"))
    recipe = PLAIN.replace(batch_size=8)
    whole, end, _ = tuned.run(spec(recipe, until=100))
    _, half, _ = tuned.run(spec(recipe, until=50))
    tuned.run(spec(recipe.replace(learning_rate=0.5), until=50))  # leaves other states behind
    rest, last, _ = tuned.run(spec(recipe, start=50, until=100), State.from_bytes(half.to_bytes()))
    np.testing.assert_array_equal(rest.curves["loss"], whole.curves["loss"][50:])
    assert same(last.model, end.model) and same(last.optimizer, end.optimizer)
    assert any(state.any() for state in last.optimizer if state.shape == (8, 3))
