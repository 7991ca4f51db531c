"""The plan of a budget: what stages may spend adds up, from seconds to hours, on any machine."""

import dataclasses
import itertools

import pytest

from kerastune.budget import Budget
from kerastune.playbook.budget_plan import LEAST_TRAINING, BudgetPlan, Progress
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Setup

CHUNK = 50
SEARCH = ("start", "probe", "baseline", "lr", "batch", "decay", "regularize", "train")
ALL = (*SEARCH, "ensemble", "tta")
STAGES = {"search": SEARCH, "all": ALL, "no baseline": ("start", "probe", "lr", "train")}
SECONDS = ("5s", "8s", "13s", "20s", "31s", "60s", "4m", "30m", "1h", "8h")
STEPS = ("1000steps", "2000steps", "6000steps", "20000steps", "100000steps", "1000000steps")
STEP_TIMES = (0.001, 0.01, 0.05, 0.2)
REFITS = (0.0, 1.1)
TABLE = list(itertools.product((*SECONDS, *STEPS), STEP_TIMES, REFITS, STAGES))


def planned(budget, refit=0.0, names=SEARCH):
    stages = registry.make(names, Setup(CHUNK, refit=bool(refit)))
    return BudgetPlan(Budget.parse(budget), stages, refit)


def whole_of(plan):
    return plan.budget.seconds if plan.in_seconds else plan.budget.steps


def begun(plan, step_time, total_steps=500, **others):
    """The progress of a search that has spent nothing."""
    now = Progress(total_steps=total_steps, seconds_per_step=step_time, **others)
    fixed = plan.fixed_refit(decided=len(plan.stages))
    return dataclasses.replace(now, refit=plan.refit_seconds(now) if fixed is None else fixed)


@pytest.mark.parametrize("budget, step_time, refit, names", TABLE)
def test_what_stages_may_spend_adds_up_to_no_more_than_the_budget(budget, step_time, refit, names):
    plan = planned(budget, refit, STAGES[names])
    now = begun(plan, step_time)
    whole = plan.trials_end(now)
    assert 0 < whole + now.refit <= whole_of(plan)
    plans = plan.stage_plans(now)
    assert [each.name for each in plans] == [stage.name for stage in plan.stages]
    left = whole
    for each in plans:
        # Who may take the rest does not have to: the probe takes a few steps of it.
        assert 0 <= each.at_most <= left and each.has_rest == (0 < each.at_most == left)
        # What is left out is left out since it would have less than it needs.
        assert each.lacks is None or (
            each.at_most == 0 and (plan.is_short or each.lacks < each.needs)
        )
        left -= 0 if each.has_rest else each.at_most
    assert sum(each.at_most for each in plans if not each.has_rest) <= whole * (1 + 1e-9)
    assert any(each.has_rest for each in plans)


@pytest.mark.parametrize("budget, step_time, refit, names", TABLE)
def test_stages_one_after_another_never_spend_more_than_the_budget(budget, step_time, refit, names):
    plan = planned(budget, refit, STAGES[names])
    now = begun(plan, step_time)
    for stage in plan.stages:
        share = plan.share_now(stage, now)
        assert 0 <= share <= plan.trials_end(now) - now.spent + 1e-6
        assert share == 0 or share >= plan.least(stage) or plan.is_short
        now = dataclasses.replace(now, spent=now.spent + share)
    assert now.spent <= plan.trials_end(now) * (1 + 1e-9)
    assert now.spent >= 0.99 * plan.trials_end(now)  # the last ones may spend all


@pytest.mark.parametrize("budget, step_time, refit, names", TABLE)
def test_half_of_the_budget_is_the_last_training_s_and_a_tenth_at_most_the_baseline_s(
    budget, step_time, refit, names
):
    plan = planned(budget, refit, STAGES[names])
    now = begun(plan, step_time)
    shares = {}
    for stage in plan.stages:
        if stage is plan.last_training:
            break
        # The probe takes a few steps of what it may.
        shares[stage.name] = 0.0 if stage.suggests else plan.share_now(stage, now)
        now = dataclasses.replace(now, spent=now.spent + shares[stage.name])
    whole = whole_of(plan) - now.refit
    assert now.spent <= 0.5 * whole and shares.get("baseline", 0) <= 0.1 * whole
    if not plan.in_seconds or plan.budget.seconds > 30:
        assert plan.share_now(plan.last_training, now) >= 0.5 * whole * (1 - 1e-9)
    # A search has its learning rates, or is none.
    leading = next(stage for stage in plan.stages if stage.leads)
    assert bool(shares[leading.name]) is not plan.is_short


@pytest.mark.parametrize("budget, step_time, refit, names", TABLE)
def test_training_stops_after_the_last_trial_is_planned_and_before_the_budget_ends(
    budget, step_time, refit, names
):
    plan = planned(budget, refit, STAGES[names])
    for first_call in (0.0, 1.0, 20.0):
        now = begun(plan, step_time, first_call=first_call)
        if not plan.in_seconds:
            assert plan.deadline(now) == float("inf")
            continue
        assert plan.trials_end(now) < plan.deadline(now) <= whole_of(plan) - now.refit + 1e-9
        # At least a little under half of it, whatever the first trial took.
        assert plan.trials_end(now) + now.refit >= 0.49 * whole_of(plan)


@pytest.mark.parametrize("refit", [0.5, 1.1])
@pytest.mark.parametrize("budget", SECONDS)
def test_a_training_on_all_examples_has_its_time_and_at_most_about_half(budget, refit):
    plan = planned(budget, refit)
    left = plan.budget.for_trials(0.0 if plan.is_short else 1.0)
    for steps, step_time in itertools.product((100, 1000, 100_000), STEP_TIMES):
        found = plan.refit_seconds(Progress(total_steps=steps, seconds_per_step=step_time))
        assert found == pytest.approx(min(refit * steps * step_time, left * refit / (1 + refit)))


def test_the_time_of_that_training_depends_on_the_recipe_once_a_search_has_begun():
    plan = planned("10m", 1.1)
    after_lr = 1 + [stage.name for stage in plan.stages].index("lr")
    assert plan.fixed_refit(decided=0) == plan.fixed_refit(decided=after_lr - 1) == 0.0
    assert plan.fixed_refit(decided=after_lr) is None
    assert planned("10m").fixed_refit(after_lr) == planned("9000steps", 1.1).fixed_refit(8) == 0.0
    short = planned("6s", 1.1)
    assert short.fixed_refit(0) == pytest.approx(short.budget.for_trials(0.0) * 1.1 / 2.1)


@pytest.mark.parametrize(
    "budget, refit, names, is_short",
    [
        ("5s", 0.0, "search", True),
        ("13s", 0.0, "search", True),
        ("20s", 0.0, "search", False),
        ("20s", 1.1, "search", True),
        ("8h", 1.1, "all", False),
        ("1000steps", 0.0, "search", False),
        ("2000steps", 0.0, "search", False),
        ("5s", 0.0, "no baseline", True),
    ],
)
def test_a_budget_that_does_not_hold_a_search_is_one_training_s(budget, refit, names, is_short):
    plan = planned(budget, refit, STAGES[names])
    assert plan.is_short is is_short
    shares = {stage.name: plan.share(stage, left=100.0, final=0.0) for stage in plan.stages}
    if is_short:
        known = {"probe": 20.0, "train": 100.0}
        assert shares == {name: known.get(name, 0) for name in STAGES[names]}


@pytest.mark.parametrize("names", [("lr",), ("start", "baseline", "lr"), ("start", "train")])
def test_without_a_training_after_the_search_no_budget_is_too_short(names):
    assert not planned("5s", names=names).is_short


def test_the_training_after_a_stage_is_left_out_of_what_the_stage_shares():
    plan = planned("60m")
    batch = next(stage for stage in plan.stages if stage.name == "batch")
    for total_steps, final in ((10_000, 1800.0), (100_000, 200_000 * 0.01)):
        now = Progress(spent=100.0, total_steps=total_steps, seconds_per_step=0.01)
        assert plan.reserve(batch, now) == pytest.approx(2 * total_steps * 0.01)
        left = plan.trials_end(now) - 100.0
        assert plan.share_now(batch, now) == pytest.approx(batch.share * (left - final))
    in_steps = planned("60000steps")
    assert in_steps.reserve(batch, now) == batch.training_after * 100_000


def test_steps_that_a_network_names_have_up_to_two_thirds_of_the_budget():
    plan = planned("100s")
    for known, final in ((1000, 50), (6000, 60), (25_800, 200 / 3)):
        now = begun(plan, 0.01, known_steps=known)
        assert plan.final_part(now) == pytest.approx(final)
        lr = next(stage for stage in plan.stages if stage.name == "lr")
        assert plan.share_now(lr, now) == pytest.approx(0.4 * (plan.trials_end(now) - final))
    # A budget that is not called short holds a comparison of learning rates.
    for budget, refit in itertools.product(("1000steps", "1100steps", "17s", "31s", "40s"), REFITS):
        plan = planned(budget, refit)
        now = begun(plan, 0.02, known_steps=800)
        lr = next(stage for stage in plan.stages if stage.name == "lr")
        assert plan.is_short or plan.share_now(lr, now) >= plan.least(lr)
    plan = planned("20000steps")
    assert plan.final_part(begun(plan, 0.01, known_steps=12_000)) == 12_000


@pytest.mark.parametrize("names, last", [(ALL, "train"), (SEARCH, "train"), (("start",), None)])
def test_the_last_stage_with_a_model_of_its_own_may_always_train(names, last):
    plan = planned("20s", names=names)
    for stage in plan.stages:
        expected = LEAST_TRAINING if stage.name == last else 0
        assert plan.least_steps(stage, has_model=False) == expected
        assert plan.least_steps(stage, has_model=True) == 0


@pytest.mark.parametrize(
    "budget, names, words",
    [
        ("20s", ("start", "train", "ensemble", "tta"), "train, ensemble; 2 s are kept"),
        (
            "2000steps",
            ("start", "baseline", "lr", "train"),
            "baseline at most 200 steps, lr at most 320",
        ),
        ("1000steps", ("start", "regularize"), "nothing to train; left out, unless earlier stages"),
        ("1000steps", ("start",), "Plan for 1000steps: nothing to train; what a stage leaves goes"),
        (
            "6s",
            SEARCH,
            "Plan for 6s, too short for a search: one training at the learning rate of the probe, ",
        ),
        (
            "20s",
            SEARCH,
            "left out, unless earlier stages leave enough: baseline (it needs 2 s and ",
        ),
        ("20s", SEARCH, "), batch (it needs 2 s and would have "),
    ],
)
def test_the_plan_is_a_sentence(budget, names, words):
    plan = planned(budget, names=names)
    assert words in plan.sentence(Progress(), plan.stages[0])
    assert plan.sentence(Progress(), None).endswith(".")
