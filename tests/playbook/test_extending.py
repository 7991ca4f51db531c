"""More budget for a search that has ended: what is open again, what stays, what may be spent."""

import pytest
from fake_trainer import CHUNK, FakeClock, FakeTrainer, advance, canonical, facts, playbook

from kerastune.budget import Budget
from kerastune.playbook import extending
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import full_training
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.baseline import Baseline
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.start import Start
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study import extensions
from kerastune.study.database import Study


class Slower(Stage):
    """Needs a training of 2,000 steps to decide for another momentum."""

    name = "decay"
    question = "Is another momentum better?"
    share = 0.5
    tunes = True

    def propose(self, context):
        done = context.outcomes.get("slower")
        recipe = context.recipe.over(2000)
        if context.facts.allowance < 2000 or (done and full_training.has_ended(done)):
            return []
        return [full_training.segment("slower", self.name, recipe, done, CHUNK)]

    def decide(self, context):
        is_tried = "slower" in context.outcomes
        after = context.recipe.replace(momentum=0.5) if is_tried else context.recipe
        return self.decision(context, "Tried" if is_tried else "Not tried", "So.", after=after)


STAGES = [Start(), Baseline(CHUNK), LearningRate(CHUNK), Slower(), Train(CHUNK)]


def opened(directory, clock=None):
    given = {} if clock is None else {"clock": clock}
    return Study(directory / "study.sqlite", directory / "lock", **given)


def searched(study, budget="3000steps", trainer=None, extension=None):
    found = Playbook(
        study,
        STAGES,
        Recipe(),
        facts(allowance=0),
        Budget.parse(budget),
        extension=extension,
    )
    advance(found, trainer or FakeTrainer())
    return found


def extended(study, budget="+4000steps", trainer=None):
    begun = extending.begin(study, STAGES, Budget.parse(budget))
    return searched(study, budget, trainer, begun)


def test_earlier_decisions_stay_and_what_had_no_budget_is_decided_now(tmp_path):
    with opened(tmp_path) as study:
        first = searched(study)
        assert not any(each.spec.stage == "decay" for each in first.outcomes.values())
        before, recipe = study.decisions(), first.decisions[-1].before
        found = extended(study, "+20000steps")
        assert study.decisions()[: len(before)] == before
        names = [decision.name for decision in found.decisions[len(before) :]]
        assert names == ["decay (extension 1)", "train (extension 1)"]
        assert found.decisions[len(before)].before == recipe
        assert found.decisions[-1].before == found.decisions[-2].after
        assert [each.facts(STAGES[-1]).extension for each in (first, found)] == [0, 1]


def test_a_stage_that_still_has_nothing_to_train_is_passed_over(tmp_path):
    with opened(tmp_path) as study:
        searched(study)
        found = extended(study, "+1000steps")
        assert [decision.name for decision in found.decisions[5:]] == ["train (extension 1)"]


@pytest.mark.parametrize("added", [2500, 4000, 20000])
def test_no_more_steps_are_trained_than_were_added(tmp_path, added):
    with opened(tmp_path) as study:
        before = sum(each.steps for each in searched(study).outcomes.values())
        found = extended(study, f"+{added}steps")
        after = sum(each.steps for each in found.outcomes.values())
        assert before < after <= before + added


def test_seconds_count_from_where_the_search_was_extended(tmp_path):
    clock = FakeClock()
    with opened(tmp_path, clock) as study:
        trainer = FakeTrainer(clock=clock, seconds_per_step=0.01)
        searched(study, "30s", trainer)
        began = study.seconds()
        assert 20 < began <= 30
        clock.now += 0.5
        found = extended(study, "+60s", trainer)
        assert began + 30 < study.seconds() <= began + 60.5
        assert found.deadline() == pytest.approx(began + 0.5 + 60, abs=6)


def test_trainings_of_another_recipe_are_no_trainings_of_this_one(tmp_path):
    # The stage changes the recipe, so that the earlier final training is one of another.
    with opened(tmp_path) as study:
        first = searched(study)
        earlier = {name for name in first.outcomes if name.startswith("train-")}
        found = extended(study, "+20000steps")
        assert found.decisions[-1].before.momentum != first.decisions[-1].before.momentum
        assert earlier and not earlier & set(found.decisions[-1].evidence)


def test_an_extension_that_was_stopped_anywhere_ends_the_same(tmp_path):
    (tmp_path / "whole").mkdir()
    with opened(tmp_path / "whole") as study:
        searched(study)
        extended(study, "+20000steps")
        whole = canonical(study)
    with opened(tmp_path) as study:
        searched(study)
        extending.begin(study, STAGES, Budget.parse("+20000steps"))
    for _ in range(200):
        with opened(tmp_path) as study:
            (known,) = extensions.read(study)
            search = Playbook(
                study,
                STAGES,
                Recipe(),
                facts(allowance=0),
                Budget.parse("+20000steps"),
                extension=known,
            )
            if (spec := search.next()) is None:
                assert canonical(study) == whole
                return
            search.record(*FakeTrainer().run(spec, search.state(spec)))
    pytest.fail("the extension never ended")


def test_a_second_extension_sets_out_from_what_is_in_force(tmp_path):
    with opened(tmp_path) as study:
        first = searched(study)
        study.put_fact("result", {"extension": 0})
        second = extended(study, "+20000steps")
        assert second.decisions[-1].before != first.decisions[-1].before
        # The first extension gained nothing: the models of the search itself are handed out.
        study.put_fact("result/1", {"extension": 0})
        third = extended(study, "+1000steps")
        assert third.decisions[-1].name == "train (extension 2)"
        assert third.decisions[-1].before == first.decisions[-1].before


def test_what_is_in_force_is_what_was_kept(tmp_path):
    with opened(tmp_path) as study:
        first = searched(study)
        found = extended(study)
        assert found.recipe == found.decisions[-1].after and found.in_force == found.decisions
        found.kept = 0
        assert found.recipe == first.recipe
        assert [each.name for each in found.in_force] == [each.name for each in first.decisions]


def test_an_extension_that_gained_nothing_is_no_part_of_the_next(tmp_path):
    with opened(tmp_path) as study:
        searched(study)
        study.put_fact("result", {"extension": 0})
        extended(study)
        assert not extensions.has_result(study)
        study.put_fact("result/1", {"extension": 0})
        found = extended(study, "+20000steps")
        assert extensions.has_result(study) is False
        assert {each.extension for each in found.decisions} == {0, 1, 2}
        assert {each.extension for each in found.in_force} == {0, 2}
        study.put_fact("result/2", {"extension": 2})
        extended(study, "+20000steps")
        assert extensions.built_on(study, 3) == {0, 2, 3} and extensions.has_result(study) is False


def test_a_search_that_is_not_extended_asks_no_stage_again(tmp_path):
    with opened(tmp_path) as study:
        search = playbook(study)
        advance(search, FakeTrainer())
        assert search.in_force == search.decisions and search.decided == len(search.stages)


@pytest.mark.parametrize("stages", [["train"], ["lr", "batch"], ["lr", "train", "prune"]])
def test_what_is_no_tuning_of_one_model_is_not_extended(tmp_path, stages):
    with opened(tmp_path) as study:
        study.settings({"budget": "1000steps", "stages": stages})
        with pytest.raises(ValueError, match=f"has the stages {', '.join(stages)}: begin another"):
            extending.check(study, Budget.parse("+1000steps"))


def test_another_extension_than_the_one_that_goes_on_is_refused(tmp_path):
    with opened(tmp_path) as study:
        study.settings({"budget": "3000steps", "stages": ["lr", "train"]})
        searched(study)
        begun = extending.begin(study, STAGES, Budget.parse("+1000steps"))
        extending.check(study, Budget.parse("+1000steps"))
        with pytest.raises(ValueError, match=r"the extension by \+1000steps has not ended"):
            extending.check(study, Budget.parse("+2000steps"))
        extensions.end(study, begun)
        extending.check(study, Budget.parse("+2000steps"))
