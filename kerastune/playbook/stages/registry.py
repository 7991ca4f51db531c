"""The only list of stages, in the order of the playbook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerastune.playbook.decision import Decision
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.baseline import Baseline
from kerastune.playbook.stages.batch import Batch
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.model import Model
from kerastune.playbook.stages.probe import Probe
from kerastune.playbook.stages.prune import Prune
from kerastune.playbook.stages.recipes import Recipes
from kerastune.playbook.stages.regularize import Regularize
from kerastune.playbook.stages.stage_setup import Setup, Wanted
from kerastune.playbook.stages.start import Start
from kerastune.playbook.stages.train import Train
from kerastune.playbook.stages.tta import Tta

STAGES: tuple[type[Stage], ...] = (
    Start,
    Probe,
    Baseline,
    LearningRate,
    Batch,
    Model,
    FineTune,
    Decay,
    Weights,
    Recipes,
    Regularize,
    Train,
    Ensemble,
    Tta,
    Distill,
    Prune,
)


def names() -> list[str]:
    """The names of all stages, in the order of the playbook.

    Example:
        >>> names()[:4]
        ['start', 'probe', 'baseline', 'lr']
    """
    return [stage.name for stage in STAGES]


def default_names(wanted: Wanted) -> list[str]:
    """The names of the stages that a search has unless it is told otherwise.

    Example:
        >>> default_names(Wanted(baseline=False))[:3]
        ['start', 'probe', 'lr']
        >>> sorted({*names()} - {*default_names(Wanted(own_model=True, pretrained=True))})
        ['distill', 'prune']
    """
    return [stage.name for stage in STAGES if stage.applies(wanted)]


def find(name: str) -> type[Stage] | None:
    """The stage of a name; `None` where there is none, as in the study of another version.

    Example:
        >>> find("lr").question, find("warmup")
        ('Which learning rate, and how many steps?', None)
    """
    return next((stage for stage in STAGES if stage.name == name), None)


def decision(plain: dict[str, Any]) -> Decision:
    """The decision of what its `to_dict` gave, with the values of its stage.

    Those of a stage that this version does not know stay plain.

    Example:
        >>> from kerastune.recipe import Recipe
        >>> made = Decision("warmup", Recipe(), Recipe(), "No warmup", "Of 3.", values={"steps": 9})
        >>> decision(made.to_dict()).values
        {'steps': 9}
    """
    stage = find(plain["stage"])
    return Decision.from_dict(plain, None if stage is None else stage.values)


def check(names_given: Sequence[str]) -> None:
    """Checks the names of the stages of a search.

    Raises:
        ValueError: for a name that is no stage's, one given twice, another order than the
            playbook's, or two stages that would each hand on another model.

    Example:
        >>> check(["lr", "train"])
    """
    known = names()
    for name in names_given:
        if name not in known:
            raise ValueError(f"`stages` must be among {', '.join(known)}, got {name!r}.")
    if list(names_given) != [name for name in known if name in names_given]:
        raise ValueError(
            f"`stages` must be in the order {', '.join(known)}, each once, "
            f"got {', '.join(names_given)}."
        )
    following = [stage for stage in map(find, names_given) if stage.follows_training]
    alone = next((stage for stage in following if stage.stands_alone), None)
    beside = next((stage for stage in following if stage is not alone), None)
    if alone and beside:
        raise ValueError(
            f"`stages` can't have both {alone.name} and {beside.name}: leave one of them out."
        )


def make(names_given: Sequence[str], setup: Setup) -> list[Stage]:
    """The stages of these names, made for one search.

    Args:
        names_given: as `check` takes them.
        setup: what they are made with.

    Raises:
        ValueError: as `check`.

    Example:
        >>> [stage.name for stage in make(["lr", "train"], Setup(chunk=50))]
        ['lr', 'train']
    """
    check(names_given)
    stages = tuple(find(name) for name in names_given)
    setup = dataclasses.replace(setup, stages=stages)
    return [stage.create(setup) for stage in stages]
