"""Which weights stay: the best, and whatever a later stage or the user may still need."""

import dataclasses

import numpy as np
import pytest
from fake_trainer import FakeTrainer, advance, canonical, playbook

from kerastune.playbook import retention
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.ensemble_values import EnsembleValues
from kerastune.playbook.stages.ensemble import candidates
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec


def trained(trial, share, stage="decay", **changes):
    spec = TrialSpec(trial, stage, Recipe(learning_rate=0.5), 0, 50, keep_best=True)
    outcome = Outcome(
        spec, {"loss": np.ones(50)}, example_scores=(np.arange(100) < 100 * share).astype(float)
    )
    return trial, dataclasses.replace(outcome, **changes)


def decision(values):
    after = Recipe(learning_rate=0.25)
    return Decision("decay", Recipe(), after, "So it is", "because", values=values)


def test_the_best_stay_and_of_equals_the_earlier():
    outcomes = dict(
        [
            trained("a", 0.5),
            trained("b", 0.7),
            trained("c", 0.6),
            trained("d", 0.6),
            trained("e", 0.4),
        ]
    )
    assert retention.surplus(outcomes, [], keep=5) == []
    assert retention.surplus(outcomes, [], keep=2) == ["a", "d", "e"]
    assert retention.surplus(outcomes, [], keep=0) == ["a", "c", "d", "e"]  # the best of its stage


def test_what_is_needed_stays_however_bad_it_is():
    outcomes = dict(
        [trained("best", 0.9), trained("baseline", 0.1, "baseline"), trained("named", 0.2)]
    )
    outcomes |= dict(
        [
            trained("member", 0.3),
            trained("before", 0.3),
            trained("other", 0.8),
            trained("gone", 0.95),
        ]
    )
    outcomes["gone"] = dataclasses.replace(outcomes["gone"], weights_kept=False)
    outcomes |= dict([trained("no scores", 0.1, example_scores=None)])
    after = dataclasses.replace(
        outcomes["other"].spec, trial="pruned", after="before", stage="prune"
    )
    outcomes["pruned"] = dataclasses.replace(outcomes["best"], spec=after)
    chosen = dataclasses.replace(
        outcomes["other"].spec, recipe=Recipe(learning_rate=0.25, total_steps=7)
    )
    chosen = dataclasses.replace(chosen, trial="of the recipe")
    outcomes |= dict([trained("of the recipe", 0.1, spec=chosen)])
    made = [decision(ChosenTrial("named")), decision(EnsembleValues(weights={"member": 0.5}))]
    assert retention.surplus(outcomes, made, keep=0) == ["other"]


@pytest.mark.parametrize("keep", [-1, 1.5, True, "3"])
def test_a_number_that_is_none_is_refused(keep):
    with pytest.raises(ValueError, match="`keep` must be a whole number >= 0"):
        retention.checked(keep)


def searched(directory, keep):
    directory.mkdir()
    with Study(directory / "study.sqlite", directory / "lock") as study:
        study.settings({"keep": keep})
        for number in range(6):
            spec = TrialSpec(
                f"old-{number}", "decay", Recipe(seed=number, decay="none"), 0, 50, keep_best=True
            )
            scores = (np.arange(400) < 40 * number).astype(np.float32)
            noise = np.random.default_rng(number).normal(size=100_000).astype(np.float32)
            outcome = Outcome(
                spec,
                {"loss": np.ones(50, np.float32)},
                example_scores=scores,
            )
            study.add_segment(outcome, None, State(50, [noise], []))
        search = playbook(study)
        advance(search, FakeTrainer(tau=30))
        kept = [
            name
            for name, outcome in search.outcomes.items()
            if outcome.weights_kept and "old" in name
        ]
        assert kept == [name for name in candidates(search.outcomes) if "old" in name]
        assert search.decisions[-1].values.trial in candidates(search.outcomes)
    return kept, (directory / "study.sqlite").stat().st_size


def test_a_search_forgets_what_it_does_not_keep_and_the_file_shrinks(tmp_path):
    (all_kept, large), (few_kept, small) = (
        searched(tmp_path / "all", 20),
        searched(tmp_path / "few", 2),
    )
    assert len(all_kept) == 6 and few_kept == ["old-5"]
    assert large - small > 4 * 400_000
    with Study(tmp_path / "few" / "study.sqlite", tmp_path / "few" / "lock") as study:
        found = study.outcomes()
        gone = [name for name, each in found.items() if not each.weights_kept and "old" in name]
        assert gone == [f"old-{n}" for n in range(5)]
        assert (
            study.checkpoint("old-0", "best") is None and found["old-0"].example_scores is not None
        )
        assert canonical(study)


def test_weights_go_in_the_transaction_of_the_decision(tmp_path, monkeypatch):
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        study.add_segment(trained("a", 0.5)[1], *[State(50, [np.ones(2)], [])] * 2)
        study.add_decision("decay", {})
        with pytest.raises(ValueError, match="UNIQUE"):
            study.add_decision("decay", {}, forget=["a"], ended=["a"])
        assert (
            study.checkpoint("a", "best") is not None and study.checkpoint("a", "last") is not None
        )
        study.add_decision("train", {}, forget=["a"], ended=["a"])
        assert study.checkpoint("a", "best") is None and study.checkpoint("a", "last") is None


def test_a_search_that_is_killed_after_a_decision_leaves_no_state_that_nobody_goes_on_from(
    tmp_path, monkeypatch
):
    whole = Study.add_decision

    def killed(study, stage, *others):
        whole(study, stage, *others)
        if stage == "lr":
            raise KeyboardInterrupt

    monkeypatch.setattr(Study, "add_decision", killed)
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        with pytest.raises(KeyboardInterrupt):
            advance(playbook(study), FakeTrainer(tau=30))
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        assert len(study.outcomes()) > 5
        assert all(study.checkpoint(trial, "last") is None for trial in study.outcomes())
