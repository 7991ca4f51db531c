"""What the default stages depend on, and what stages are made with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kerastune.playbook.ensemble_values import LeftOut, Validation
from kerastune.playbook.rules.full_training import DECAY_STRETCH
from kerastune.playbook.rules.model_search import Sample
from kerastune.playbook.stages.ensemble import MEMBERS
from kerastune.playbook.stages.prune import SPARSITIES
from kerastune.playbook.stages.tta import Looked

if TYPE_CHECKING:
    from kerastune.playbook.stages.base import Stage


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a search is asked for, as far as the default stages depend on it.

    Args:
        suggestions: whether an optimizer, its learning rate or a batch size to start with is to be
            suggested.
        baseline: whether the baseline is trained to compare with.
        own_model: whether the model is a `build(hp)` of the user's, whose hyperparameters are
            searched; the size of a built-in network is searched only where stage `model` is named.
        pretrained: whether the model came with its weights.
        ensemble: whether an ensemble is looked for.
        tta: whether views of an example are looked for whose mean is better.
    """

    suggestions: bool = True
    baseline: bool = True
    own_model: bool = False
    pretrained: bool = False
    ensemble: bool = True
    tta: bool = True


class TrainedModels(Protocol):
    """Answers stages that choose among trained models; asked when they decide."""

    def validation(self) -> Validation:
        """What the ensemble is chosen on."""

    def left_out(self) -> LeftOut:
        """What a bag is judged on."""

    def look(self) -> Looked:
        """What models say of views of the validation examples, as `tta.Looked` has it."""

    def weights(self, trial: str) -> Sequence[np.ndarray]:
        """The kept weights of a trial."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What stages are made with.

    Args:
        chunk: steps in one call of the train function.
        decay: how the learning rate falls in the training, as in a recipe.
        searched: names of the model's hyperparameters, for stage `model`.
        sample: proposes hyperparameters to that stage; needed when there are any.
        models: of the trials; needed for stages that follow the training.
        members: of an ensemble, at most.
        folds: of the training part, that so many trainings for the ensemble leave out one each.
        sparsities: that stage `prune` tries.
        refit: whether the budget holds a training on all examples at the end.
        stages: those of the search, in their order; `registry.make` fills them in.
    """

    chunk: int
    decay: str = "linear"
    searched: Sequence[str] = ()
    sample: Sample | None = None
    models: TrainedModels | None = None
    members: int = MEMBERS
    folds: int = 0
    sparsities: Sequence[float] = SPARSITIES
    refit: bool = False
    stages: tuple[type[Stage], ...] = ()

    def has(self, name: str) -> bool:
        """Whether a stage of this name is among them."""
        return any(stage.name == name for stage in self.stages)

    def before(self, stage: type[Stage]) -> tuple[type[Stage], ...]:
        """The stages that come before one of them."""
        return self.stages[: self.stages.index(stage)]

    def after(self, stage: type[Stage]) -> tuple[type[Stage], ...]:
        """The stages that come after one of them."""
        return self.stages[self.stages.index(stage) + 1 :]

    def stretch(self, stage: type[Stage]) -> int:
        """Times the recipe's steps that a training with decay takes in a stage.

        Steps are found at a constant learning rate and stretched once; those of a recipe that was
        given fit its own decay.
        """
        are_found = self.decay == "linear" and any(each.leads for each in self.stages)
        are_stretched = any(each.stretches for each in self.before(stage))
        return DECAY_STRETCH if are_found and not are_stretched else 1
