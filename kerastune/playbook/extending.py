"""What a search does with more budget: which stages are open again, and where they set out from.

What was decided stays. A stage that had trained nothing is asked once more, and decides where it
has something to train now. The final training and what follows it are decided once more, with all
that was trained so far.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kerastune.budget import Budget
from kerastune.playbook.context import spent
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study import extensions
from kerastune.study.database import Study
from kerastune.study.extensions import Extension
from kerastune.study.reader import Record
from kerastune.trial import Outcome


def is_last(stage: Stage | type[Stage]) -> bool:
    """Whether a stage is decided once more: the final training, and what follows it."""
    return stage.name == Train.name or stage.follows_training


def check(record: Record, added: Budget) -> None:
    """Checks that a search can be extended by a budget.

    Raises:
        ValueError: for a search that was not begun, another unit, another extension that has not
            ended, or a search that can't be extended.
    """
    if (first := record.setting("budget")) is None:
        raise ValueError(nothing_to_extend(added, record.path.parent))
    names = record.setting("stages") or []
    found = [stage for stage in map(registry.find, names) if stage]
    tunes = any(stage.tunes for stage in found) and Train in found
    if not tunes or any(stage.stands_alone for stage in found):
        raise ValueError(
            f"`budget` ({added}) extends a search that tunes and then trains one model, this one "
            f"has the stages {', '.join(names)}: begin another one."
        )
    if (Budget.parse(first).steps is None) != (added.steps is None):
        example = "+10m" if added.steps is not None else "+2000steps"
        raise ValueError(
            f"`budget` ({added}) must be in the unit of the search's ({first}), as {example}."
        )
    known = extensions.read(record)
    if known and not extensions.has_ended(record, known[-1]) and known[-1].budget != str(added):
        raise ValueError(
            f"`budget` ({added}): the extension by {known[-1].budget} has not ended; go on with "
            "that first."
        )


def deleted(added: Budget) -> str:
    """That what is to be extended is to be deleted, too, in a line."""
    return (
        f"`budget` ({added}) extends a search, and `overwrite=True` deletes it: leave one of them "
        "out."
    )


def nothing_to_extend(added: Budget, where: str | Path) -> str:
    """That there is no search to extend, in a line."""
    return (
        f"`budget` ({added}) extends a search, and {where} holds none: leave the + out to begin "
        "one."
    )


def begin(study: Study, stages: Sequence[Stage], budget: Budget) -> Extension:
    """Records a new extension of a search, and gives it.

    Args:
        study: of the search.
        stages: of the search, in the order of the playbook.
        budget: that is added.
    """
    outcomes = study.outcomes()
    found = Extension(
        len(extensions.read(study)) + 1,
        str(budget),
        study.seconds(),
        sum(outcome.steps for outcome in outcomes.values()),
        len(study.decisions()),
        again(stages, outcomes),
        trained(outcomes),
    )
    extensions.begin(study, found)
    return found


def again(stages: Sequence[Stage], outcomes: Mapping[str, Outcome]) -> tuple[str, ...]:
    """Names of the stages that could train and did not.

    Args:
        stages: of the search.
        outcomes: of all trials so far.
    """
    open_ones = (stage for stage in stages if stage.share and not is_last(stage))
    return tuple(stage.name for stage in open_ones if not spent(outcomes, stage.name))


def trained(outcomes: Mapping[str, Outcome]) -> tuple[str, ...]:
    """Names of the final trainings."""
    return tuple(name for name, each in outcomes.items() if each.spec.stage == Train.name)


def stages_of(extension: Extension, stages: Sequence[Stage]) -> list[Stage]:
    """The stages of an extension, in the order of the playbook."""
    return [stage for stage in stages if stage.name in extension.again or is_last(stage)]


def in_force(decisions: Sequence[Decision], built_on: Collection[int]) -> list[Decision]:
    """The decisions that models are made of.

    Args:
        decisions: of the search and its extensions.
        built_on: numbers of the extensions that led to the models, as `extensions.built_on`.
    """
    return [each for each in decisions if each.extension in built_on]


def first_recipe(decisions: Sequence[Decision]) -> Recipe:
    """The recipe that an extension sets out from: what the final training was given.

    Args:
        decisions: those in force before it.
    """
    tuned = [decision for decision in decisions if decision.stage == Train.name]
    return tuned[-1].before if tuned else decisions[-1].after


def others_trained(
    recipe: Recipe, decisions: Sequence[Decision], extensions: Sequence[Extension]
) -> frozenset[str]:
    """Final trainings of another recipe than the present one.

    Args:
        recipe: that the final training is given now.
        decisions: of the search and its earlier extensions.
        extensions: all of them, the present one included.
    """
    found, before = set(), set()
    for extension in extensions:
        new, before = set(extension.trained) - before, set(extension.trained)
        given = [
            each.before
            for each in decisions
            if each.stage == Train.name and each.extension == extension.number - 1
        ]
        if given and given[-1] != recipe:
            found |= new
    return frozenset(found)
