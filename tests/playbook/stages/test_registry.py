"""The registry of stages: a new one is a class of its own and one line, and all else follows."""

import dataclasses
import json
import types
import typing

import pytest
from fake_trainer import CHUNK, FakeTrainer, advance, facts

from kerastune.budget import Budget
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.stage_setup import Setup, Wanted
from kerastune.recipe import Recipe
from kerastune.report import html, search_sections
from kerastune.report.figures import decision_figures
from kerastune.report.search_sections import Findings
from kerastune.study.database import Study
from kerastune.trial import TrialSpec


@dataclasses.dataclass(frozen=True)
class ToyValues(Values):
    """What the toy stage found."""

    tried: int = 0


class Toy(Stage):
    """Tries Nesterov momentum on and off for a chunk of steps."""

    name = "nesterov"
    question = "Does Nesterov momentum help?"
    share = 0.1
    values = ToyValues
    tunes = True

    def __init__(self, chunk):
        self._chunk = chunk

    @classmethod
    def applies(cls, wanted):
        return not wanted.pretrained

    @classmethod
    def create(cls, setup):
        return cls(setup.chunk)

    def propose(self, context: Context):
        trials = {
            f"nesterov-{nesterov}": context.recipe.replace(
                nesterov=nesterov, total_steps=self._chunk
            )
            for nesterov in (False, True)
        }
        return [
            TrialSpec(name, self.name, trained, 0, self._chunk)
            for name, trained in trials.items()
            if name not in context.outcomes
        ]

    def decide(self, context: Context):
        tried = [
            outcome for outcome in context.outcomes.values() if outcome.spec.stage == self.name
        ]
        best = min(tried, key=lambda outcome: float(outcome.losses.mean()))
        after = context.recipe.replace(nesterov=best.spec.recipe.nesterov)
        evidence = tuple(outcome.spec.trial for outcome in tried)
        headline, values = "Nesterov momentum by its loss", ToyValues(tried=2)
        return self.decision(
            context, headline, "The lower loss.", after=after, evidence=evidence, values=values
        )


@pytest.fixture
def with_toy(monkeypatch):
    """The playbook with one stage more, behind the learning rate."""
    place = registry.STAGES.index(LearningRate) + 1
    stages = (*registry.STAGES[:place], Toy, *registry.STAGES[place:])
    monkeypatch.setattr(registry, "STAGES", stages)


def test_a_stage_that_was_added_takes_part_in_the_search_and_in_its_report(tmp_path, with_toy):
    names = registry.default_names(Wanted(ensemble=False, tta=False))
    assert names[names.index("lr") + 1] == "nesterov"
    stages = registry.make(names, Setup(CHUNK))
    with Study(tmp_path / "study.sqlite", tmp_path / "lock") as study:
        budget = Budget.parse("20000steps")
        search = Playbook(study, stages, Recipe(), facts(allowance=0), budget)
        trainer = FakeTrainer()
        advance(search, trainer)
        assert [decision.stage for decision in search.decisions] == names
        made = search.decisions[names.index("nesterov")]
        assert made.evidence == ("nesterov-False", "nesterov-True")
        assert registry.decision(study.decisions()[names.index("nesterov")]) == made
        outcomes = dict(search.outcomes)
        assert sum(spec.stage == "nesterov" for spec in trainer.segments) == 2
    assert decision_figures.of_decision(made, outcomes).startswith(b"\x89PNG")
    found = Findings([made], outcomes, {}, {}, None)
    text = html.render("t", search_sections.sections(found))
    assert "nesterov: Does Nesterov momentum help?" in text and "The lower loss." in text
    assert "Nesterov momentum by its loss." in text


def test_its_condition_and_its_place_are_its_own(with_toy):
    assert "nesterov" not in registry.default_names(Wanted(pretrained=True))
    assert registry.find("nesterov") is Toy
    registry.check(["lr", "nesterov", "train"])
    with pytest.raises(ValueError, match="order start, probe, baseline, lr, nesterov"):
        registry.check(["nesterov", "lr"])
    # What it hands on was tuned, so the final training goes on to more steps where that may pay.
    (train,) = registry.make(["nesterov", "train"], Setup(CHUNK))[1:]
    (spec,) = train.propose(Context(Recipe(total_steps=600), facts(allowance=600), {}))
    assert spec.recipe.regularizers == "on"


@pytest.mark.parametrize("stage", registry.STAGES, ids=lambda stage: stage.name)
def test_every_stage_says_what_belongs_to_it(stage):
    assert stage.question.endswith("?") and stage.__doc__
    assert stage.figure in decision_figures.FIGURES
    assert 0 <= getattr(stage, "share", 0.0) <= 1
    assert stage.follows_training or not stage.stands_alone


def sample(kind):
    """A value of an annotation that is not its default."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        # A comparison within a comparison ends there.
        optional = {name for name, hint in hints.items() if kind in typing.get_args(hint)}
        return kind(**{n: None if n in optional else sample(hint) for n, hint in hints.items()})
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if types.NoneType in parts:
        return sample(parts[0])
    if origin is tuple:
        return (sample(parts[0]), sample(parts[0]))
    if origin is dict:
        return {"a": sample(parts[1]), "b": sample(parts[1])}
    return {str: "x", int: 7, float: 0.1, bool: True, typing.Any: "any"}[kind]


@pytest.mark.parametrize("stage", registry.STAGES, ids=lambda stage: stage.name)
def test_the_values_of_every_stage_survive_json(stage):
    assert stage.values.__doc__ and stage.values is not Values
    for values in (stage.values(), sample(stage.values)):
        made = Decision(stage.name, Recipe(), Recipe(), "So it is", "because", ("a",), values)
        assert registry.decision(json.loads(json.dumps(made.to_dict()))) == made


def test_no_stage_is_there_twice():
    assert len(set(registry.names())) == len(registry.STAGES) == 16
    assert registry.find("warmup") is None


@pytest.mark.parametrize(
    "wanted, changed",
    [
        (Wanted(), {"model", "finetune", "distill", "prune"}),
        (Wanted(own_model=True), {"finetune", "distill", "prune"}),
        (Wanted(pretrained=True, baseline=False), {"model", "baseline", "distill", "prune"}),
        (
            Wanted(suggestions=False, ensemble=False, tta=False),
            {"start", "model", "finetune", "ensemble", "tta", "distill", "prune"},
        ),
    ],
)
def test_the_default_stages_are_those_whose_condition_holds(wanted, changed):
    assert set(registry.names()) - set(registry.default_names(wanted)) == changed


def test_what_is_done_to_a_failed_trial_is_said_by_its_stage():
    assert [stage.name for stage in registry.STAGES if stage.may_fail] == ["model"]
    assert [stage.name for stage in registry.STAGES if stage.may_run_out_of_memory] == ["batch"]
