"""The decay stage on made-up outcomes: what it compares, what each rule needs to hold, and what it
never spends.
"""

import dataclasses
import random

import numpy as np
import pytest
from fake_trainer import ACCURACY, CHUNK, FakeTrainer, facts

from kerastune.objective import Objective
from kerastune.playbook.context import Context, spent
from kerastune.playbook.rules import decay_curves
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.decay import (
    CLASSIC,
    LATE,
    LINEAR,
    NONE,
    Decay,
    staircase_interval,
    start_before,
)
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.schedules import exponential_decay, rates
from kerastune.trial import Outcome, TrialSpec

STAGE = Decay(CHUNK, stretch=2)
RECIPE = Recipe(learning_rate=0.03, total_steps=3000)
TOTAL = 6000
LINEARLY = RECIPE.replace(total_steps=TOTAL)
RECIPES = {
    LINEAR: LINEARLY,
    NONE: LINEARLY.replace(decay="none"),
    LATE: LINEARLY.replace(decay_start=2700),
    CLASSIC: LINEARLY.replace(
        decay="exponential", decay_start=2700, decay_factor=0.5, decay_interval=472
    ),
}


def curve(peak, height, total=TOTAL, every=200):
    """Evaluations that rise to a peak and fall after it."""
    steps = np.arange(every, total + 1, every)
    values = height - 0.3 * np.abs(steps - peak) / total
    return tuple(
        {"step": int(step), "loss": 1 - value, "accuracy": value}
        for step, value in zip(steps, values)
    )


def scored(trial, share, peak=None, steps=TOTAL, count=400, recipe=None, **changes):
    """A training with a share of the validation examples right, the easiest ones, and its
    validation's peak.
    """
    recipe = recipe or RECIPES[trial]
    evals = curve(peak or {NONE: 3000}.get(trial, TOTAL), share)
    every = min(200, recipe.total_steps)
    right = (np.arange(count) < round(share * count)).astype(np.float32)
    values = {
        "example_scores": right,
        "evals": tuple(e for e in evals if e["step"] <= steps),
    } | changes
    spec = TrialSpec(trial, "decay", recipe, 0, recipe.total_steps, every, keep_best=True)
    return Outcome(spec, {"loss": np.ones(steps, np.float32)}, **values)


def by_name(*outcomes):
    return {outcome.spec.trial: outcome for outcome in outcomes}


def drive(trainer, recipe=RECIPE, known=None, stage=STAGE):
    known, outcomes, states = known or facts(), {}, {}
    while proposed := stage.propose(Context(recipe, known, outcomes)):
        assert spent(outcomes, "decay") <= known.allowance
        spec = proposed[0]
        outcome, states[spec.trial], _ = trainer.run(
            spec, states.get(spec.trial) if spec.start else None
        )
        outcomes[spec.trial] = outcome.after(outcomes.get(spec.trial))
    return outcomes, stage.decide(Context(recipe, known, outcomes))


def proposed(*outcomes, known=None):
    return {
        spec.trial: spec
        for spec in STAGE.propose(Context(RECIPE, known or facts(), by_name(*outcomes)))
    }


def decided(*outcomes, known=None, recipe=RECIPE):
    return STAGE.decide(Context(recipe, known or facts(), by_name(*outcomes)))


HELPED = scored(LINEAR, 0.9), scored(NONE, 0.8)


# The lazy way (S3.1, S3.2)


def test_linear_decay_and_a_constant_rate_are_trained_over_the_same_stretched_steps():
    specs = proposed()
    assert {name: spec.recipe for name, spec in specs.items()} == {
        name: RECIPES[name] for name in (LINEAR, NONE)
    }
    for spec in specs.values():
        assert (
            (spec.start, spec.until) == (0, TOTAL // 4) and spec.keep_best and spec.stage == "decay"
        )
    unstretched = Decay(CHUNK, stretch=1).propose(Context(RECIPE, facts(), {}))
    assert {spec.recipe.total_steps for spec in unstretched} == {3000}


def test_a_decay_that_came_with_the_recipe_is_not_in_the_comparison():
    given = RECIPE.replace(decay="exponential", decay_start=500)
    assert [spec.recipe for spec in STAGE.propose(Context(given, facts(), {}))] == [
        RECIPES[LINEAR],
        RECIPES[NONE],
    ]


@pytest.mark.parametrize("steps", [8000, 1000])
def test_a_network_that_names_its_steps_decays_over_them_whatever_was_found(steps):
    known = facts(starting_recipe={"optimizer": RECIPE.optimizer}, starting_steps=steps)
    assert proposed(known=known) == {}
    spec = dataclasses.replace(HELPED[0].spec, trial="lr-1", stage="lr")
    decision = decided(dataclasses.replace(HELPED[0], spec=spec), known=known)
    after = decision.after
    assert (after.decay, after.total_steps, decision.values.total_steps) == ("linear", steps, steps)
    for other in (
        dataclasses.replace(known, starting_recipe={"optimizer": "lion"}),
        dataclasses.replace(known, given=frozenset({"decay"})),
        dataclasses.replace(known, given=frozenset({"total_steps"})),
        dataclasses.replace(known, given=frozenset({"learning_rate"})),
    ):
        assert proposed(known=other)


def test_the_steps_of_a_network_hold_where_none_were_found_and_within_the_epochs():
    known = facts(starting_recipe={"optimizer": RECIPE.optimizer}, starting_steps=1000)
    assert decided(known=known).after.total_steps == 1000
    limited = dataclasses.replace(known, num_train=1000, most_epochs=5)
    assert (
        decided(known=limited).after.total_steps
        == 5 * -(-1000 // RECIPE.batch_size) // CHUNK * CHUNK
    )
    unknown = decided(known=dataclasses.replace(known, num_train=0))
    assert unknown.numbers.endswith("1000 steps suit it.")


def test_trainings_go_on_to_their_end():
    half = scored(LINEAR, 0.5, steps=3000)
    half = dataclasses.replace(half, spec=dataclasses.replace(half.spec, until=3000))
    specs = proposed(half)
    assert (specs[LINEAR].start, specs[LINEAR].until) == (3000, 4500) and specs[NONE].start == 0
    assert set(proposed(HELPED[0])) == {NONE}


@pytest.mark.parametrize(
    "share, does, measured",
    [(0.8, "as well", "+0"), (0.7975, "better", "-0.25"), (0.7, "better", "-10")],
)
def test_without_an_expected_gain_decay_is_left_alone(share, does, measured):
    pair = scored(LINEAR, share), scored(NONE, 0.8)
    assert proposed(*pair) == {}
    decision = decided(*pair)
    assert decision.after == RECIPE.replace(decay="none")
    assert decision.values.flat is (does == "as well") and decision.values.trial == NONE
    for words in (
        f"(measured {measured}, 95 % CI ",
        f"No decay: a constant learning rate does {does}",
        "the 3000 steps",
    ):
        assert words in decision.reason


@pytest.mark.parametrize("share, count", [(0.9, 400), (0.8025, 400), (0.80025, 4000)])
def test_any_expected_gain_keeps_linear_decay_and_its_steps(share, count):
    # The constant rate had the pick of its evaluations, so no tie is asked for.
    decision = decided(scored(LINEAR, share, count=count), scored(NONE, 0.8, count=count))
    assert decision.after == RECIPES[LINEAR] and decision.values.flat is False
    assert decision.values.total_steps == TOTAL
    assert decision.values.gain.gain == pytest.approx(share - 0.8)
    for words in (
        f"expected on validation (measured {100 * (share - 0.8):+.3g}, 95 % CI ",
        "6000 steps each",
        "Linear decay for 6,000 steps. ",
    ):
        assert words in decision.reason


def test_one_training_of_each_decides():
    assert set(proposed(*HELPED)) == {LATE, CLASSIC}
    assert {spec.recipe.seed for spec in proposed(*HELPED).values()} == {RECIPE.seed}


def test_what_it_hands_on_is_trained_for_just_as_many_steps():
    for outcomes in (HELPED, (scored(LINEAR, 0.8), scored(NONE, 0.8)), ()):
        after = decided(*outcomes).after
        assert Train(CHUNK).propose(Context(after, facts(), {}))[0].recipe == after.replace(
            regularizers="on"
        )


# A later start (S3.3)


@pytest.mark.parametrize(
    "moved, late", [(6000, True), (4800, True), (4200, False), (3000, False), (2000, False)]
)
def test_a_later_start_is_tried_if_the_peak_moved_much_later(moved, late):
    pair = scored(LINEAR, 0.9, peak=moved), scored(NONE, 0.8, peak=3000)
    specs = proposed(*pair)
    assert set(specs) == ({LATE, CLASSIC} if late else {CLASSIC})
    if late:
        assert specs[LATE].recipe == RECIPES[LATE]


def test_a_later_start_replaces_linear_decay_only_with_an_expected_gain():
    better = decided(*HELPED, scored(LATE, 0.97), scored(CLASSIC, 0.9))
    assert better.after == RECIPES[LATE] and better.values.trial == LATE
    assert "A later start at step 2700 against linear decay from the first step: +" in better.reason
    assert "points of accuracy expected on validation (measured +7, 95 % CI" in better.reason
    assert (
        "from step 3000 to 6000" in better.reason
        and "for 6,000 steps" in better.reason
        and "beginning at step 2700" in better.reason
    )
    little = decided(*HELPED, scored(LATE, 0.9025), scored(CLASSIC, 0.9))
    assert little.after == RECIPES[LATE]
    tied = decided(*HELPED, scored(LATE, 0.9), scored(CLASSIC, 0.9))
    assert tied.after == RECIPES[LINEAR] and set(tied.evidence) == {LINEAR, NONE, LATE, CLASSIC}


# The classic way (S3.4)


def test_the_staircase_starts_a_little_before_the_peak_and_obeys_the_half_rule():
    for peak, total in [(3000, 6000), (400, 6000), (5900, 6000), (50, 100), (1000, 20_000)]:
        start = start_before(peak, CHUNK)
        assert start % CHUNK == 0 and 0 < start <= peak and start >= 0.9 * peak - CHUNK
        interval = staircase_interval(start, total)
        found = exponential_decay(np.arange(total), 1.0, start, 0.5, interval)
        assert found[start - 1] == 1 and (found[peak:] <= 0.5).all()
        assert 0.005 < found[-1] <= 0.02
    assert start_before(3000, CHUNK) == 2700


def test_the_staircase_that_is_tried_is_made_of_the_undecayed_peak():
    spec = proposed(*HELPED)[CLASSIC]
    assert spec.recipe == RECIPES[CLASSIC]
    table = rates(spec.recipe) / RECIPE.learning_rate
    assert table[2699] == 1 and table[3000] == 0.5 and table[-1] == pytest.approx(0.01, rel=0.3)


def test_there_is_no_staircase_where_validation_is_best_at_the_only_chunk():
    recipe = RECIPE.replace(total_steps=CHUNK, decay="none")
    evals = ({"step": CHUNK, "loss": 1.0, "accuracy": 0.5},)
    pair = [
        scored(LINEAR, 0.9, steps=CHUNK, recipe=recipe.replace(decay="linear"), evals=evals),
        scored(NONE, 0.8, steps=CHUNK, recipe=recipe, evals=evals),
    ]
    pair = by_name(*pair)
    stage = Decay(CHUNK, stretch=1)
    assert stage.propose(Context(recipe, facts(), pair)) == []
    assert stage.decide(Context(recipe, facts(), pair)).after.decay == "linear"


def test_the_staircase_must_beat_the_best_so_far():
    better = decided(*HELPED, scored(LATE, 0.9), scored(CLASSIC, 0.97))
    assert (
        better.after == RECIPES[CLASSIC]
        and "times 0.5 at step 2700 and every 472 steps" in better.reason
    )
    beaten = decided(*HELPED, scored(LATE, 0.97), scored(CLASSIC, 0.97))
    assert (
        beaten.after == RECIPES[LATE]
        and "staircase at step 2700 against a later start: +0 points" in beaten.reason
    )


def noisy(values, every=100, seed=1, scatter=0.004):
    values = np.asarray(values) + scatter * np.random.default_rng(seed).normal(size=len(values))
    return [{"step": every * i, "loss": 1 - v, "accuracy": v} for i, v in enumerate(values, 1)]


def rising(count=60, tau=5, height=0.9):
    return height - 0.4 * np.exp(-np.arange(count) / tau)


def test_the_peak_of_a_long_plateau_is_where_it_begins():
    found = [decay_curves.peak_step(noisy(rising(), seed=seed), ACCURACY) for seed in range(20)]
    assert 2000 <= np.median(found) <= 3500 and min(found) >= 1500
    top = np.r_[np.linspace(0.5, 0.9, 30), np.linspace(0.9, 0.6, 30)]
    assert all(
        abs(decay_curves.peak_step(noisy(top, seed=seed), ACCURACY) - 3050) <= 200
        for seed in range(20)
    )


def test_the_peak_of_an_objective_to_be_minimized_and_of_few_or_bad_evaluations():
    evals = [{"step": step, "loss": abs(step - 300) + 1.0} for step in range(100, 900, 100)]
    assert decay_curves.peak_step(evals, Objective("loss", "min")) == 300
    assert decay_curves.peak_step(evals[:1], Objective("loss", "min")) == 100
    lost = [{"step": step, "accuracy": np.nan} for step in (100, 200)]
    assert (
        decay_curves.peak_step(lost, ACCURACY) is None
        and decay_curves.peak_step([], ACCURACY) is None
    )
    assert decay_curves.peak_step([*lost, {"step": 300, "accuracy": 0.1}], ACCURACY) == 300


def test_validation_that_stands_still_with_decay_is_flatter_than_without():
    steep = np.r_[np.linspace(0.5, 0.9, 30), np.linspace(0.9, 0.7, 30)]
    frozen = np.r_[steep[:20], np.full(40, steep[20])]
    for seed in range(10):
        frozen_evals, steep_evals = (
            noisy(frozen, seed=seed, scatter=0.001),
            noisy(steep, seed=seed + 99),
        )
        assert decay_curves.is_flatter(frozen_evals, steep_evals, ACCURACY)
        assert not decay_curves.is_flatter(steep_evals, frozen_evals, ACCURACY)
        assert not decay_curves.is_flatter(steep_evals, noisy(steep, seed=seed), ACCURACY)
    assert not decay_curves.is_flatter(frozen_evals[:4], steep_evals[:4], ACCURACY)


def test_the_scatter_of_a_constant_rate_alone_is_no_peak():
    # Both stand still; only that without decay scatters.
    found = [
        decay_curves.is_flatter(
            noisy(rising(height=0.91), scatter=1e-4), noisy(rising(), seed=seed), ACCURACY
        )
        for seed in range(50)
    ]
    assert sum(found) <= 5


def test_only_the_first_drop_helps():
    drops = [2000, 3000, 4000, 5000]
    one = np.r_[np.full(20, 0.8), np.full(40, 0.9)]
    each = np.r_[np.full(20, 0.8), np.repeat([0.85, 0.88, 0.9, 0.91], 10)]
    none = np.full(60, 0.8)
    for seed in range(10):
        assert decay_curves.only_first_drop_helps(noisy(one, seed=seed), ACCURACY, drops)
        assert not decay_curves.only_first_drop_helps(noisy(each, seed=seed), ACCURACY, drops)
        assert not decay_curves.only_first_drop_helps(noisy(none, seed=seed), ACCURACY, drops)
    assert not decay_curves.only_first_drop_helps(noisy(one), ACCURACY, [2000])
    assert not decay_curves.only_first_drop_helps(noisy(one, every=5000), ACCURACY, [200, 300, 400])


def test_the_diagnosis_is_part_of_the_reason():
    steps = np.arange(200, TOTAL + 1, 200)
    jump = np.where(steps <= 2700, 0.75, 0.9) + 0.002 * (-1) ** np.arange(len(steps))
    evals = tuple({"step": int(s), "loss": 0.1, "accuracy": v} for s, v in zip(steps, jump))
    long = decided(*HELPED, scored(CLASSIC, 0.9, evals=evals))
    assert (
        "its interval too long, since only the first drop" in long.reason
        and "too long" in long.values.interval
    )
    flat = tuple({"step": int(s), "loss": 0.1, "accuracy": 0.7} for s in steps)
    short = decided(*HELPED, scored(CLASSIC, 0.7, evals=flat))
    assert "its interval too short, since validation is flatter" in short.reason
    assert not decided(*HELPED, scored(CLASSIC, 0.9)).values.interval


# What it costs


@pytest.mark.parametrize("allowance", [0, 49, 599, 1199, 1200, 1799, 1800, 2399, 2400, 10**6])
def test_the_allowance_is_never_overrun(allowance):
    recipe = RECIPE.replace(total_steps=300)
    outcomes, decision = drive(
        FakeTrainer(tau=60, num_validation=4000), recipe, facts(allowance=allowance)
    )
    assert spent(outcomes, "decay") <= allowance and bool(outcomes) == (allowance >= 1200)
    assert decision.values.steps_spent == spent(outcomes, "decay")
    if not outcomes:
        assert decision.after == recipe.replace(total_steps=600) and decision.values.trial is None
        assert (
            f"cost 1200, its budget holds {allowance}" in decision.reason
            and "not tested" in decision.reason
        )


def test_variants_are_tried_as_far_as_the_budget_goes():
    for left, names in (
        (TOTAL - 1, set()),
        (TOTAL, {LATE}),
        (2 * TOTAL - 1, {LATE}),
        (2 * TOTAL, {LATE, CLASSIC}),
    ):
        assert set(proposed(*HELPED, known=facts(allowance=2 * TOTAL + left))) == names
    decision = decided(*HELPED, known=facts(allowance=2 * TOTAL))
    assert (
        decision.after == RECIPES[LINEAR]
        and decision.reason.count("its 6000 steps exceed the budget") == 2
    )


def test_an_untested_decay_stays_whatever_it_was():
    assert decided().after == RECIPES[LINEAR]
    for decay in ("none", "exponential"):
        given = RECIPE.replace(decay=decay)
        assert decided(recipe=given).after == given


def test_a_pair_that_was_begun_is_finished_and_one_that_can_not_be_is_not_tested():
    known = facts(allowance=2 * TOTAL - 1)
    assert proposed(known=known) == {} and list(proposed(HELPED[0], known=known)) == [NONE]
    decision = decided(HELPED[0], known=known)
    assert (
        decision.after == RECIPES[LINEAR]
        and "in the middle of its two trainings" in decision.reason
    )


# What goes wrong


def test_linear_decay_that_fails_ends_the_stage():
    failures = {
        "decay-linear diverged at step 230": {"steps": 250, "diverged_at": 230},
        "was stopped at step 250 of 6000, before its end": {"steps": 250},
        "gave no finite validation value": {"example_scores": None},
    }
    for words, changes in failures.items():
        lost = scored(LINEAR, 0.9, **changes)
        assert proposed(lost) == {} and proposed(lost, HELPED[1]) == {}
        for outcomes in ((lost,), (lost, HELPED[1])):
            decision = decided(*outcomes)
            assert (
                words in decision.reason
                and decision.after == RECIPES[LINEAR]
                and decision.values.trial is None
            )


def test_a_constant_rate_that_diverges_leaves_linear_decay():
    lost = scored(NONE, 0.8, steps=250, diverged_at=230)
    assert proposed(HELPED[0], lost) == {} and set(proposed(lost)) == {LINEAR}
    decision = decided(HELPED[0], lost)
    assert (
        decision.after == RECIPES[LINEAR]
        and "A constant learning rate diverged at step 230" in decision.reason
    )


def test_a_constant_rate_that_was_stopped_counts_by_its_best():
    stopped = scored(NONE, 0.8, steps=4000)
    assert set(proposed(HELPED[0], stopped)) == {LATE, CLASSIC}
    decision = decided(HELPED[0], stopped)
    assert (
        decision.after == RECIPES[LINEAR]
        and "the constant learning rate was stopped at step 4000" in decision.reason
    )


@pytest.mark.parametrize("name", [LATE, CLASSIC])
@pytest.mark.parametrize(
    "changes", [{"diverged_at": 230}, {}, {"diverged_at": 230, "example_scores": None}]
)
def test_a_variant_that_fails_is_told_and_not_chosen(name, changes):
    others = [scored(other, 0.9) for other in (LATE, CLASSIC) if other != name]
    lost = scored(name, 0.99, steps=250, **changes)
    assert proposed(*HELPED, *others, lost) == {}
    decision = decided(*HELPED, *others, lost)
    assert decision.after == RECIPES[LINEAR] and "stays untested" in decision.reason
    assert ("diverged at step 230" if changes else "stopped at step 250") in decision.reason


# The whole stage


class Canyon(FakeTrainer):
    """Bounces from side to side of a canyon: a smaller rate ends lower."""

    def losses(self, recipe, steps):
        losses, lost = super().losses(recipe.replace(decay="none"), steps)
        table = np.resize(rates(recipe), steps) / recipe.learning_rate
        return losses + (0.6 * table).astype(np.float32), lost


def test_in_a_canyon_decay_is_found_and_on_a_plateau_left_alone():
    outcomes, canyon = drive(Canyon(tau=100), RECIPE.replace(total_steps=600))
    assert canyon.after.decay != "none" and canyon.after.total_steps == 1200 and len(outcomes) >= 3
    plateau = FakeTrainer(tau=100, noise=0.0, floor=0.0)
    outcomes, flat = drive(plateau, RECIPE.replace(total_steps=1200))
    assert flat.after == RECIPE.replace(total_steps=1200, decay="none") and set(outcomes) == {
        LINEAR,
        NONE,
    }


def test_the_same_records_give_the_same_proposals_and_decision_in_any_order():
    outcomes = [
        *HELPED,
        scored(LATE, 0.97),
        scored(CLASSIC, 0.9),
        scored(NONE, 0.1),
    ]
    outcomes[-1] = dataclasses.replace(
        outcomes[-1], spec=TrialSpec("train-9", "train", RECIPE, 0, 9)
    )
    expected = decided(*outcomes)
    for seed in range(5):
        random.Random(seed).shuffle(outcomes)
        assert decided(*outcomes) == expected and proposed(*outcomes) == {}
    assert registry.decision(expected.to_dict()) == expected


def paid(recipe=LINEARLY):
    """What stage `finetune` trained of the recipe, with what regularizes on."""
    training = scored(LINEAR, 0.9, recipe=recipe.replace(regularizers="on"))
    spec = dataclasses.replace(training.spec, trial="finetune-0-0.03", stage="finetune")
    return dataclasses.replace(training, spec=spec)


def test_a_training_that_finetune_paid_for_stands_for_linear_decay():
    known = by_name(paid())
    (spec,) = STAGE.propose(Context(RECIPE, facts(), known))
    assert (spec.trial, spec.recipe) == (NONE, RECIPES[NONE])
    known |= by_name(scored(NONE, 0.8))
    known |= by_name(*(scored(name, 0.8) for name in (LATE, CLASSIC)))
    assert STAGE.propose(Context(RECIPE, facts(), known)) == []
    decision = STAGE.decide(Context(RECIPE, facts(), known))
    assert (decision.values.trial, decision.after) == ("finetune-0-0.03", LINEARLY)
    assert "finetune-0-0.03" in decision.evidence and LINEAR not in decision.evidence
    assert "against linear decay from the first step" in decision.reason


@pytest.mark.parametrize(
    "other", [LINEARLY.replace(learning_rate=0.01), LINEARLY.replace(total_steps=3000)]
)
def test_another_recipe_of_finetune_stands_for_nothing(other):
    assert [
        spec.trial for spec in STAGE.propose(Context(RECIPE, facts(), by_name(paid(other))))
    ] == [
        LINEAR,
        NONE,
    ]


def test_where_regularizers_were_on_in_finetune_linear_decay_is_trained_without_them():
    regularized = facts(regularized=True)
    assert [
        spec.trial for spec in STAGE.propose(Context(RECIPE, regularized, by_name(paid())))
    ] == [
        LINEAR,
        NONE,
    ]
