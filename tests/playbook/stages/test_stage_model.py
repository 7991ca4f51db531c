"""Stage `model`: which networks are tried, how far, and what makes one replace the user's own."""

import dataclasses
import json

import numpy as np
import pytest
from fake_trainer import ACCURACY, CHUNK, FakeTrainer, advance, canonical, facts

from kerastune.budget import Budget
from kerastune.playbook.context import Context
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import full_training, model_search
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.model import Model
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.report.figures import decision_figures
from kerastune.study.database import Study
from kerastune.trial import Outcome

WIDTHS = (8, 16, 32, 64, 128, 256)
RECIPE = Recipe(learning_rate=0.03, total_steps=1500, hyperparameters={"units": 16})


@dataclasses.dataclass
class NetworkTrainer(FakeTrainer):
    """A network of 64 units ends lowest; those of `breaks` can't be built, those of `explodes`
    diverge.
    """

    good: int = 64
    slope: float = 0.2  # of the loss where a network ends, for each doubling away from `good`
    breaks: tuple = ()
    explodes: tuple = ()

    def run(self, spec, state=None):
        units = spec.recipe.hyperparameters["units"]
        if units in self.breaks:
            self.segments.append(spec)
            return Outcome.failed(spec, ValueError(f"no {units} units")), None, None
        return super().run(spec, state)

    def losses(self, recipe, steps):
        units = recipe.hyperparameters["units"]
        floor = 0.05 + self.slope * abs(np.log2(units / self.good))
        best = 1e-3 if units in self.explodes else self.best_rate
        return FakeTrainer.losses(
            dataclasses.replace(self, floor=floor, best_rate=best), recipe, steps
        )


def in_order(tried, guided):
    """The widths one after another."""
    known = [values["units"] for values, _ in tried]
    return next(({"units": units} for units in WIDTHS if units not in known), None)


def stage(sample=in_order, names=("units",)):
    return Model(CHUNK, names, sample)


def decided(trainer, sample=in_order, allowance=100_000, recipe=RECIPE, **known):
    """Runs the stage alone; gives its decision and all outcomes."""
    outcomes, states, it = {}, {}, stage(sample)
    known = facts(allowance=allowance, timed=False, **known)
    while specs := it.propose(Context(recipe, known, outcomes)):
        spec = specs[0]
        outcome, states[spec.trial], best = trainer.run(spec, states.get(spec.trial))
        joined = outcome.after(outcomes.get(spec.trial))
        if best is None and spec.trial in outcomes and joined.example_scores is None:
            joined = dataclasses.replace(joined, example_scores=outcomes[spec.trial].example_scores)
        outcomes[spec.trial] = joined
    return it.decide(Context(recipe, known, outcomes)), outcomes


def test_the_best_network_wins_and_its_rate_is_checked_at_half_and_twice():
    decision, outcomes = decided(NetworkTrainer())
    assert decision.after.hyperparameters == {"units": 64}
    assert decision.values.rate_checked and decision.after.learning_rate == 0.03
    winner = decision.values.winner
    rates = {outcomes[f"{winner}-x{factor}"].spec.recipe.learning_rate for factor in ("0.5", "2")}
    assert rates == {0.015, 0.06}
    assert decision.after.decay == RECIPE.decay
    assert "points of accuracy expected on validation (measured +" in decision.reason


def test_a_better_rate_of_the_winner_is_taken():
    decision, _ = decided(NetworkTrainer(best_rate=0.06))
    assert decision.after.learning_rate == 0.06


def test_a_network_need_not_be_significantly_better():
    decision, outcomes = decided(NetworkTrainer(slope=0.006))
    compared = full_training.compare(outcomes[decision.values.winner], outcomes["model-0"])
    assert compared.sign == 0 and compared.gain > 0
    assert decision.after.hyperparameters != RECIPE.hyperparameters
    assert "points of accuracy expected on validation (measured +" in decision.reason


def test_a_network_that_is_tied_changes_nothing():
    decision, outcomes = decided(NetworkTrainer(slope=0.0))
    assert decision.after == RECIPE and "(measured +0, 95 % CI" in decision.reason
    assert not [name for name in outcomes if "-x" in name]


def test_the_users_own_network_competes_and_is_trained_first():
    trainer = NetworkTrainer(good=16)
    decision, _ = decided(trainer)
    assert trainer.segments[0].recipe.hyperparameters == {"units": 16}
    assert decision.after == RECIPE and decision.values.winner == "model-0"


def test_all_are_trained_shortly_and_only_the_promising_go_on():
    trainer = NetworkTrainer()
    decision, outcomes = decided(trainer)
    first = min(outcome.steps for outcome in outcomes.values())
    networks = {n: o for n, o in outcomes.items() if "-x" not in n}
    assert len(networks) == len(WIDTHS) and first == 200
    further = {o.spec.recipe.hyperparameters["units"] for o in networks.values() if o.steps > first}
    assert 64 in further and len(further) <= 4 and 8 not in further
    assert max(o.steps for o in networks.values()) == RECIPE.total_steps / 1.5
    # Nobody is proposed any more once somebody went on.
    starts = [spec.start for spec in trainer.segments if "-x" not in spec.trial]
    assert starts == sorted(starts, key=bool)


def test_fewer_networks_are_tried_on_a_smaller_allowance_and_it_holds():
    counts = []
    for allowance in (399, 400, 1000, 2500, 5000, 20_000):
        trainer = NetworkTrainer()
        decision, _ = decided(trainer, allowance=allowance)
        assert decision.values.steps_spent <= allowance
        counts.append(len(decision.values.scores))
    assert counts == sorted(counts) and counts[0] == 0 and counts[1] == 2 and counts[-1] == 6


def test_too_small_an_allowance_trains_nothing_and_says_so():
    decision, outcomes = decided(NetworkTrainer(), allowance=300)
    assert not outcomes and decision.after == RECIPE and "300 steps" in decision.reason


def test_a_model_without_hyperparameters_is_left_alone():
    it = stage(names=())
    assert it.propose(Context(RECIPE, facts(), {})) == [] and it.share == 0
    assert "declares no hyperparameters" in it.decide(Context(RECIPE, facts(), {})).reason


def test_networks_that_fail_or_diverge_are_passed_over_and_told():
    decision, outcomes = decided(NetworkTrainer(breaks=(8, 128), explodes=(256,)))
    assert decision.after.hyperparameters == {"units": 64}
    assert "1 of which diverged" in decision.reason and "2 of which failed" in decision.reason
    assert [decision.values.scores[name] for name in decision.values.failed] == [None, None]
    assert "no 8 units" in outcomes[decision.values.failed[0]].error


def test_when_every_other_network_fails_the_search_ends_with_the_first():
    decision, outcomes = decided(NetworkTrainer(breaks=tuple(set(WIDTHS) - {16})))
    assert decision.after == RECIPE and all(o.steps <= 200 for o in outcomes.values())


def test_a_lost_incumbent_is_replaced_by_the_best_of_the_others():
    assert decided(NetworkTrainer(explodes=(16,)))[0].after.hyperparameters == {"units": 64}


def test_a_space_where_everything_fails_ends():
    decision, outcomes = decided(
        NetworkTrainer(breaks=WIDTHS, good=16), lambda tried, guided: {"units": 8}
    )
    assert len(outcomes) == model_search.MOST_TRIALS and decision.after == RECIPE


def test_proposals_see_every_score_and_are_guided_after_three_for_each_hyperparameter():
    seen = []

    def sample(tried, guided):
        seen.append((tried, guided))
        return in_order(tried, guided)

    decision, outcomes = decided(NetworkTrainer(breaks=(8,)), sample)
    asked = {len(tried): guided for tried, guided in seen}
    assert asked == {1: False, 2: False, 3: False, 4: True, 5: True, 6: True}
    tried = seen[-1][0]
    assert tried[0][0] == {"units": 16} and tried[1] == ({"units": 8}, None)
    at_first = [each["accuracy"] for each in outcomes["model-0"].evals if each["step"] == 200]
    assert [tried[0][1]] == at_first


def test_with_a_budget_in_time_quick_trials_are_not_guided():
    search = model_search.ModelSearch(
        CHUNK, Context(RECIPE, facts(timed=True), {}), ("units",), in_order
    )
    trials = {}
    for index in range(5):
        recipe = RECIPE.replace(hyperparameters={"units": WIDTHS[index]})
        trials[f"model-{index}"] = NetworkTrainer().run(
            search._spec(f"model-{index}", recipe, 200)
        )[0]
    for seconds, guided in ((1.0, False), (6.0, True)):
        slow = {name: dataclasses.replace(trial, seconds=seconds) for name, trial in trials.items()}
        assert (
            dataclasses.replace(search, context=search.context.replace(outcomes=slow))._is_guided
            is guided
        )


def test_tracing_a_network_counts_with_a_budget_in_time():
    def tried(seconds):
        search = model_search.ModelSearch(
            CHUNK, Context(RECIPE, facts(allowance=10_000), {}), ("units",), in_order
        )
        outcome = NetworkTrainer().run(search._spec("model-0", RECIPE, 200))[0]
        outcomes = {"model-0": dataclasses.replace(outcome, seconds=seconds)}
        for index in range(1, 50):
            context = search.context.replace(outcomes=outcomes)
            specs = dataclasses.replace(
                search, context=context, sample=lambda *_: {"units": index}
            )._candidate()
            if not specs:
                return index
            outcome = NetworkTrainer(good=16).run(specs[0])[0]
            outcomes[specs[0].trial] = dataclasses.replace(outcome, seconds=seconds)
            used = sum(each.seconds for each in outcomes.values()) / 0.001
            left = 10_000 - used
            known = facts(allowance=200 * len(outcomes) + int(left))
            search = dataclasses.replace(search, context=search.context.replace(facts=known))
        return 50

    # 200 steps of 1 ms and 1.3 s of tracing: as if they were 1500.
    assert tried(0.2) > 20 and 3 <= tried(1.5) <= 5


def test_minimized_objectives_are_understood():
    known = {
        "objective": dataclasses.replace(ACCURACY, name="loss", direction="min"),
        "scored_by": "loss",
    }
    decision, _ = decided(NetworkTrainer(), **known)
    scores = [score for score in decision.values.scores.values()]
    assert decision.after.hyperparameters == {"units": 64} and min(scores) > 0


def test_the_decision_has_a_picture_and_survives_json():
    decision, outcomes = decided(NetworkTrainer(breaks=(8,)))
    assert decision_figures.of_decision(decision, outcomes).startswith(b"\x89PNG")
    assert json.loads(json.dumps(decision.to_dict())) == decision.to_dict() | {
        "evidence": list(decision.evidence)
    }


# over a study


def searched(directory, trainer, stop=None):
    with Study(directory / "study.sqlite", directory / "lock") as study:
        stages = [LearningRate(CHUNK), stage(), Train(CHUNK)]
        search = Playbook(study, stages, RECIPE, facts(allowance=0), Budget.parse("40000steps"))
        if stop is None:
            advance(search, trainer)
        elif (spec := search.next()) is not None:
            search.record(*trainer.run(spec, search.state(spec)))
        return canonical(study), search.stage is None


def test_a_search_that_is_stopped_after_every_segment_decides_the_same(tmp_path):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    trainer = NetworkTrainer(breaks=(8,), explodes=(256,))
    whole, _ = searched(tmp_path / "whole", trainer)
    assert any(spec.stage == "model" and spec.start for spec in trainer.segments)
    for _ in range(100):
        parts, done = searched(
            tmp_path / "parts", NetworkTrainer(breaks=(8,), explodes=(256,)), stop=1
        )
        if done:
            assert parts == whole
            return
    pytest.fail("the search never ended")


def test_the_training_takes_the_network_that_won(tmp_path):
    trainer = NetworkTrainer()
    searched(tmp_path, trainer)
    assert {s.recipe.hyperparameters["units"] for s in trainer.segments if s.stage == "train"} == {
        64
    }
