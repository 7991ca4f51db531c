"""The driver: the same end however often it was killed, and a budget that holds."""

import json

import numpy as np
import pytest
from fake_trainer import CHUNK, FakeClock, FakeTrainer, advance, canonical, facts, playbook, tune

from kerastune.budget import Budget
from kerastune.objective import best_evaluation
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.stage_setup import Setup
from kerastune.recipe import Recipe
from kerastune.study.database import Study, StudyError
from kerastune.trial import State, TrialSpec


def opened(directory, **arguments):
    return Study(directory / "study.sqlite", directory / "lock", **arguments)


def test_stopping_after_every_segment_changes_nothing(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = tune(tmp_path / "whole")
    for _ in range(100):
        with opened(tmp_path) as study:
            study.settings({"budget": "20000steps"})
            search, trainer = playbook(study), FakeTrainer()
            spec = search.next()
            if spec is None:
                assert canonical(study) == whole
                return
            search.record(*trainer.run(spec, search.state(spec)))
    pytest.fail("the search never ended")


# the search itself


def test_a_search_runs_every_stage_in_its_order_and_is_the_same_twice(tmp_path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found.append(tune(tmp_path / name))
    assert found[0] == found[1]
    decisions = json.loads(found[0])["decisions"]
    assert [decision["stage"] for decision in decisions] == ["start", "baseline", "lr", "train"]
    for earlier, later in zip(decisions[:-1], decisions[1:], strict=True):
        assert earlier["after"] == later["before"]


def test_going_on_after_the_end_changes_nothing(tmp_path):
    first = tune(tmp_path)
    trainer = FakeTrainer()
    assert tune(tmp_path, trainer) == first and trainer.segments == []


def test_asking_twice_gives_the_same_segment_and_decides_nothing(tmp_path):
    with opened(tmp_path) as study:
        search = playbook(study)
        spec = search.next()
        decided = len(study.decisions())
        assert search.next() == spec and len(study.decisions()) == decided


def test_a_segment_goes_on_from_its_own_checkpoint(tmp_path):
    with opened(tmp_path) as study:
        search, trainer = playbook(study), FakeTrainer()
        advance(search, trainer)
    # The trainer refuses a state of another step, and the last weights depend on the ones before.
    assert any(spec.start for spec in trainer.segments)


def test_decisions_are_announced_when_they_are_made_and_only_then(tmp_path):
    for expected in (["start", "baseline", "lr", "train"], []):
        told = []
        with opened(tmp_path) as study:
            search = playbook(study, on_decision=told.append)
            advance(search, FakeTrainer())
            assert [decision.stage for decision in told] == expected
            assert search.stage is None and search.recipe == search.decisions[-1].after


def test_weights_are_kept_of_the_best_evaluation_of_all_segments_and_of_whole_trainings_only(
    tmp_path,
):
    with opened(tmp_path) as study:
        search = playbook(study)
        advance(search, FakeTrainer(noise=0.3))
        for name, outcome in search.outcomes.items():
            kept = study.checkpoint(name, "best")
            assert (kept is not None) == (outcome.spec.stage in ("baseline", "train"))
            assert study.checkpoint(name, "last") is None
            if kept is not None:
                best = best_evaluation(outcome.evals, search.objective)
                assert kept.step == best["step"]
                assert outcome.example_scores.mean() == pytest.approx(best["accuracy"], abs=0.003)


def test_a_later_segment_with_worse_evaluations_keeps_the_earlier_best(tmp_path):
    with opened(tmp_path) as study:
        search, trainer = playbook(study), FakeTrainer()
        first = search.next()
        outcome, last, best = trainer.run(first)
        good = tuple({**values, "accuracy": 1.0} for values in outcome.evals)
        search.record(type(outcome)(**{**vars(outcome), "evals": good}), last, best)
        second = search.next()
        assert second.trial == first.trial and second.start == first.until
        search.record(*trainer.run(second, search.state(second)))
        assert study.checkpoint(first.trial, "best").step == best.step
        again = study.outcomes()[first.trial]
        np.testing.assert_array_equal(again.example_scores, outcome.example_scores)
        np.testing.assert_array_equal(
            search.outcomes[first.trial].example_scores, outcome.example_scores
        )


def test_a_diverged_segment_leaves_no_checkpoint_to_go_on_from(tmp_path):
    with opened(tmp_path) as study:
        search = playbook(study)
        spec = search.next()
        search.record(*FakeTrainer(best_rate=1e-9).run(spec))
        assert search.outcomes[spec.trial].diverged_at is not None
        assert study.checkpoint(spec.trial, "last") is None


class Broken(Stage):
    name, share = "broken", 1.0

    def __init__(self, breaks):
        self.breaks = breaks

    def propose(self, context: Context):
        return []

    def decide(self, context: Context):
        if self.breaks:
            raise RuntimeError("a bug")
        return Decision(self.name, context.recipe, context.recipe, "Mended", "mended")


def test_a_stage_that_fails_leaves_a_study_that_goes_on(tmp_path):
    with opened(tmp_path) as study:
        search = playbook(study)
        search.stages.insert(1, Broken(True))
        with pytest.raises(RuntimeError, match="a bug"):
            search.next()
    with opened(tmp_path) as study:
        search = playbook(study)
        search.stages.insert(1, Broken(False))
        advance(search, FakeTrainer())
        assert [decision.stage for decision in search.decisions][1] == "broken"


def test_a_damaged_checkpoint_stops_the_search_instead_of_misleading_it(tmp_path):
    with opened(tmp_path) as study:
        search, trainer = playbook(study), FakeTrainer()
        while not (spec := search.next()).start:
            search.record(*trainer.run(spec))
        forged = State(spec.start, [np.ones(3, np.float32)], [np.ones(2, np.float32)]).to_bytes()
        study._database.execute("UPDATE checkpoints SET data = ? WHERE kind = 'last'", (forged,))
        with pytest.raises(StudyError, match="damaged"):
            search.state(spec)


# budgets


@pytest.mark.parametrize("tau", [20, 300, 5000])
@pytest.mark.parametrize("budget", [1000, 1300, 2000, 4000, 9000, 30_000])
def test_a_budget_in_steps_is_never_overrun_by_more_than_a_chunk(tmp_path, budget, tau):
    trainer = FakeTrainer(tau=tau)
    found = json.loads(tune(tmp_path, trainer, f"{budget}steps"))
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        used = sum(outcome.steps for outcome in study.outcomes().values())
    assert used <= budget
    assert len(found["decisions"]) == 4
    if tau == 5000:
        # There is always more to find, so little is left unused.
        assert used >= 0.4 * budget


def test_the_baseline_takes_a_tenth_at_most(tmp_path):
    trainer = FakeTrainer(tau=5000)
    tune(tmp_path, trainer, "8000steps")
    used = sum(spec.until - spec.start for spec in trainer.segments if spec.trial == "baseline")
    assert 400 <= used <= 800


def timed(directory, trainer, budget, stop=None):
    """A search with a fake clock, up to `stop` segments; gives seconds and decisions."""
    clock = trainer.clock
    with opened(directory, clock=clock) as study:
        seconds = float(budget[:-1])
        trainer.deadline = lambda: study.seconds() > 1.05 * seconds
        search = playbook(study, budget)
        while (stop is None or stop > 0) and (spec := search.next()) is not None:
            search.record(*trainer.run(spec, search.state(spec)))
            stop = stop and stop - 1
        return study.seconds(), study.decisions()


@pytest.mark.parametrize("tau", [30, 300, 5000])
@pytest.mark.parametrize("budget", [20, 60, 200])
def test_a_budget_in_seconds_holds_on_a_steady_machine(tmp_path, budget, tau):
    trainer = FakeTrainer(tau=tau, clock=FakeClock(), seconds_per_step=0.01)
    seconds, decisions = timed(tmp_path, trainer, f"{budget}s")
    assert seconds <= budget and len(decisions) == 4
    assert seconds >= (0.4 * budget if tau == 5000 else 0)


def test_a_budget_in_seconds_holds_on_a_machine_that_becomes_ten_times_slower(tmp_path):
    clock = FakeClock()
    trainer = FakeTrainer(tau=300, clock=clock, seconds_per_step=0.01)
    timed(tmp_path, trainer, "60s", stop=6)
    slow = FakeTrainer(tau=300, clock=clock, seconds_per_step=0.1)
    seconds, decisions = timed(tmp_path, slow, "60s")
    # What is begun stops at its next chunk of 5 s.
    assert len(decisions) == 4 and seconds <= 1.05 * 60 + 3 * 5


def test_decisions_under_a_budget_in_seconds_never_change(tmp_path):
    clock = FakeClock()
    made, planned = [], {}
    for speed in np.random.default_rng(1).uniform(0.002, 0.02, 60):
        trainer = FakeTrainer(tau=300, clock=clock, seconds_per_step=float(speed))
        clock.now += 10_000
        _, decisions = timed(tmp_path, trainer, "100s", stop=1)
        assert decisions[: len(made)] == made
        made = decisions
        with opened(tmp_path, clock=clock) as study:
            for stage in ("start", "baseline", "lr", "train"):
                allowance = study.fact(f"allowance/{stage}")
                assert planned.setdefault(stage, allowance) == allowance or planned[stage] is None
                planned[stage] = allowance if planned[stage] is None else planned[stage]
    assert len(made) == 4


def test_time_between_two_runs_is_not_spent(tmp_path):
    clock = FakeClock()
    first, _ = timed(tmp_path, FakeTrainer(clock=clock, seconds_per_step=0.01), "100s", stop=3)
    clock.now += 86_400
    trainer = FakeTrainer(clock=clock, seconds_per_step=0.01)
    seconds, decisions = timed(tmp_path, trainer, "100s")
    assert first < seconds <= 100 and len(decisions) == 4


def test_when_the_time_is_over_every_stage_still_decides_and_a_model_is_trained_for_a_moment(
    tmp_path,
):
    clock = FakeClock()
    with opened(tmp_path, clock=clock) as study:
        playbook(study, "20s")
        clock.now += 500
        study.put_fact("late", 1)
    trainer = FakeTrainer(clock=clock, seconds_per_step=0.01)
    _, decisions = timed(tmp_path, trainer, "20s")
    assert len(decisions) == 4 and decisions[-1]["values"]["trial"]
    assert [(spec.stage, spec.until) for spec in trainer.segments] == [("train", CHUNK)]


def test_the_moment_is_that_of_the_last_stage_with_a_model_of_its_own(tmp_path):
    clock = FakeClock()
    trainer = FakeTrainer(clock=clock, seconds_per_step=0.01)
    with opened(tmp_path, clock=clock) as study:
        clock.now += 500
        stages = registry.make(("start", "train", "ensemble", "tta"), Setup(CHUNK))
        search = Playbook(study, stages, Recipe(), facts(allowance=0), Budget.parse("20s"))
        spec = search.next()
        search.record(*trainer.run(spec))
        assert (spec.stage, spec.until) == ("train", CHUNK)
        assert [search.facts(stage).allowance for stage in stages] == [0, CHUNK, 0, 0]
        assert (
            stages[2].propose(Context(search.recipe, search.facts(stages[2]), search.outcomes))
            == []
        )
        assert "Plan for 20s: train, ensemble;" in search.plan()


def test_specs_are_handed_out_as_the_stage_proposed_them(tmp_path):
    with opened(tmp_path) as study:
        search = playbook(study)
        assert isinstance(search.next(), TrialSpec)
        stage = search.stage
        assert (
            search.next()
            == stage.propose(Context(search.recipe, search.facts(stage), search.outcomes))[0]
        )


class Named(Stage):
    """A stage that trains nothing and hands on what it is told."""

    share = 0.5

    def __init__(self, name, after=None, training_after=0.0):
        self.name, self.after, self.training_after = name, after, training_after

    def propose(self, context: Context):
        return []

    def decide(self, context: Context):
        return Decision(
            self.name,
            context.recipe,
            self.after or context.recipe,
            "Told so",
            "Told so.",
            values={"allowance": context.facts.allowance},
        )


@pytest.mark.parametrize("total, allowance", [(1000, 2500), (4500, 500), (9000, 0)])
def test_a_stage_before_the_training_shares_what_the_training_leaves(tmp_path, total, allowance):
    found = Recipe(total_steps=total)
    stages = [Named("lr", after=found), Named("batch", training_after=2.0), Named("train")]
    with opened(tmp_path) as study:
        search = Playbook(study, stages, Recipe(), facts(), Budget.parse("10000steps"))
        assert search.next() is None
        by_stage = {decision.stage: decision.values["allowance"] for decision in search.decisions}
    assert by_stage == {"lr": 2500, "batch": allowance, "train": 5000}


@pytest.mark.parametrize("tau", [5000, 20])
@pytest.mark.parametrize(
    "budget, is_short", [("6s", True), ("13s", True), ("20s", False), ("1000steps", False)]
)
def test_a_budget_too_short_for_a_search_is_one_training_s(tmp_path, budget, is_short, tau):
    clock = FakeClock()
    trainer = FakeTrainer(tau=tau, clock=clock, seconds_per_step=0.01, diverges_above=2.5)
    with opened(tmp_path, clock=trainer.clock) as study:
        stages = registry.make(("start", "probe", "baseline", "lr", "decay", "train"), Setup(CHUNK))
        search = Playbook(study, stages, Recipe(), facts(allowance=0), Budget.parse(budget))
        assert search.is_short is is_short
        assert ("too short for a search: one training" in search.plan()) is is_short
        if not is_short:
            return
        advance(search, trainer)
        assert {spec.stage for spec in trainer.segments} == {"probe", "train"}
        assert [decision.stage for decision in search.decisions] == [stage.name for stage in stages]
        train, probed = search.decisions[-1], search.decisions[1].after.learning_rate
        # The probe's learning rate diverges here, and a third or a ninth of it does not.
        assert train.values.trial
        assert probed / 10 < train.after.learning_rate < probed / 2
        if search.budget.steps is None:
            assert 0.65 * float(budget[:-1]) < study.seconds() < float(budget[:-1])
        else:
            assert 700 <= sum(outcome.steps for outcome in search.outcomes.values()) <= 1000


@pytest.mark.parametrize("tau", [30, 300, 5000])
@pytest.mark.parametrize("budget", [6, 20, 60, 200])
def test_the_time_of_a_training_on_all_examples_is_set_aside(tmp_path, budget, tau):
    trainer = FakeTrainer(tau=tau, clock=FakeClock(), seconds_per_step=0.01)
    with opened(tmp_path, clock=trainer.clock) as study:
        stages = registry.make(
            ("start", "probe", "baseline", "lr", "decay", "train"), Setup(CHUNK, refit=True)
        )
        search = Playbook(
            study, stages, Recipe(), facts(allowance=0), Budget.parse(f"{budget}s"), refit=1.1
        )
        trainer.deadline = lambda: study.seconds() > search.deadline()
        advance(search, trainer)
        again = 0.01 * 1.1 * search.recipe.total_steps
        assert search.decisions[-1].values.trial and study.seconds() + again <= 1.05 * budget
        assert study.seconds() + again >= 0.45 * budget or tau < 5000
