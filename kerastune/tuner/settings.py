"""What `PlaybookTuner` is given, checked once and then fixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import keras
import keras_tuner

from kerastune.analysis import loss_selection
from kerastune.budget import Budget
from kerastune.executors import dispatch
from kerastune.models import hypermodels
from kerastune.objective import Objective
from kerastune.playbook import extending, retention
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.playbook.stages.stage_setup import Setup, Wanted
from kerastune.playbook.stages.start import Start, leaves_some
from kerastune.playbook.stages.tta import Tta
from kerastune.playbook.warm_start import Trained
from kerastune.problem import OTHER, Problem
from kerastune.recipe import Recipe
from kerastune.runtime import mlflow_settings
from kerastune.study.extensions import Extension
from kerastune.study.run_directory import RunDir
from kerastune.training.trainer import CHUNK
from kerastune.tuner import argument_checks, samplers
from kerastune.tuner.stage_models import StageModels

# Stages that combine probabilities of classes, or rows of numbers.
OF_ONE_TARGET = (Ensemble.name, Tta.name, Distill.name)


@dataclasses.dataclass(frozen=True)
class StageSettings:
    """Which stages run, and what single ones are given besides the recipe.

    Args:
        names: of the stages, in the order of the playbook.
        sparsities: fractions of zeros, in `[0, 1)`, that stage `prune` tries.
        teacher: a trained classifier, for stage `distill`.

    Raises:
        ValueError: for names that `registry.check` refuses, or stage `distill` without a teacher.
    """

    names: tuple[str, ...]
    sparsities: tuple[float, ...]
    teacher: keras.Model | None = None

    def __post_init__(self) -> None:
        registry.check(self.names)
        if Distill.name in self.names and self.teacher is None:
            raise ValueError("`teacher` must be a trained classifier for stage distill, got none.")


@dataclasses.dataclass(frozen=True)
class EnsembleSettings:
    """How an ensemble is made; checked by its stage.

    Args:
        members: at most.
        folds: of the training part, that so many members leave out one each; 0 for none.
    """

    members: int
    folds: int


@dataclasses.dataclass(frozen=True)
class ExecutionSettings:
    """Where trials are trained.

    Args:
        executor: `"inline"`, `"processes"` or `"ray"`.
        jobs: trials at once; 0 for as many as memory and cores allow.
        ray_address: of a Ray cluster; empty for one on this machine.

    Raises:
        ValueError: for what `dispatch.check` refuses.
    """

    executor: str
    jobs: int
    ray_address: str

    def __post_init__(self) -> None:
        dispatch.check(self.executor, self.jobs)


@dataclasses.dataclass(frozen=True)
class StorageSettings:
    """What is kept, and where.

    Args:
        run_dir: the output directory.
        overwrite: whether what kerastune left there is deleted first.
        keep: how many of the best weights stay in the study, `>= 0`, besides those needed.
        mlflow: whether the finished search is logged to MLflow, too.

    Raises:
        ValueError: for a number to keep that is out of range.
        ImportError: when MLflow is asked for and not installed.
    """

    run_dir: RunDir
    overwrite: bool
    keep: int
    mlflow: bool = False

    def __post_init__(self) -> None:
        retention.checked(self.keep)
        if self.mlflow:
            mlflow_settings.check()


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a search may go, apart from its budget.

    Args:
        networks: that stage `model` trains, at most; `None` for as many as the budget holds.
        epochs: of any training, at most; `None` for any number.
        fixes_batch_size: whether all trainings have the recipe's batch size.
    """

    networks: int | None = None
    epochs: int | None = None
    fixes_batch_size: bool = False

    def recorded(self) -> dict[str, Any]:
        """Those that were given, by the names that users know.

        Example:
            >>> Limits(networks=4).recorded()
            {'max_trials': 4}
        """
        given = {"max_trials": self.networks, "max_epochs": self.epochs}
        given["fixes_batch_size"] = self.fixes_batch_size
        return {name: value for name, value in given.items() if value}


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings of a `PlaybookTuner`.

    Args:
        budget: of a search.
        seed: of weights, batches and splits, `>= 0`.
        objective: that chooses; `None` for the default of data and model.
        refit: whether the chosen recipe is trained once more on all examples.
        recipe: that the first stage starts from, as far as the model is not known yet.
        given: names of its values that the user gave, and that stage `start` keeps.
        trained: what another search has trained, that this one goes on from.
        stages: which they are.
        ensemble: how it is made.
        execution: where trials are trained.
        storage: what is kept, and where.
        limits: how far it may go, apart from its budget.
        extension: that is trained now, as far as it is known; `None` for the search itself.

    Raises:
        ValueError: for a setting that is out of range.
    """

    budget: Budget
    seed: int
    objective: Objective | None
    refit: bool
    recipe: Recipe
    trained: Trained | None
    stages: StageSettings
    ensemble: EnsembleSettings
    execution: ExecutionSettings
    storage: StorageSettings
    limits: Limits = Limits()
    extension: Extension | None = None
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        argument_checks.checked_seed(self.seed)
        if self.budget.extends and self.storage.overwrite:
            raise ValueError(extending.deleted(self.budget))

    @property
    def budget_now(self) -> Budget:
        """The budget that is spent now: that of the extension, or of the search itself."""
        return self.budget if self.extension is None else Budget.parse(self.extension.budget)

    def runs(self, stage: type[Stage]) -> bool:
        """Whether a stage is among those of the search."""
        return stage.name in self.stages.names

    @property
    def given_batch_size(self) -> int | None:
        """That of the first training; `None` where it is to be suggested."""
        is_suggested = self.runs(Start) and "batch_size" not in self.given
        return None if is_suggested else self.recipe.batch_size

    def of_batch_size(self, batch_size: int) -> Settings:
        """The settings of a search all of whose trainings have this batch size."""
        return dataclasses.replace(
            self,
            limits=dataclasses.replace(self.limits, fixes_batch_size=True),
            recipe=self.recipe.replace(batch_size=batch_size),
            given=self.given | {"batch_size"},
        )


def default_stages(
    hypermodel: object, given: Collection[str], baseline: bool, ensemble: bool, tta: bool
) -> list[str]:
    """Names of the stages of a search that names none.

    Args:
        hypermodel: a `build(hp)` function or a `keras_tuner.HyperModel`.
        given: names of the values of a recipe that tuning starts from.
        baseline: whether the baseline is trained.
        ensemble: whether an ensemble is looked for.
        tta: whether views of an example are looked for.
    """
    pretrained = isinstance(hypermodel, hypermodels.Pretrained)
    wanted = Wanted(
        suggestions=leaves_some(given),
        baseline=baseline,
        own_model=not (hypermodels.is_built_in(hypermodel) or pretrained),
        pretrained=pretrained,
        ensemble=ensemble,
        tta=tta,
    )
    return registry.default_names(wanted)


def suited(settings: Settings, problem: Problem) -> tuple[Settings, Problem]:
    """Settings of the stages that have a meaning for targets and model, and notes that say so.

    Args:
        settings: of a search.
        problem: the prepared data.

    Raises:
        ValueError: for a batch size that the model does not take.
    """
    if problem.batch_size is not None:
        settings, problem = _of_own_batch_size(settings, problem)
    left_out, note = [], ""
    if problem.kind == OTHER:
        left_out, note = _without_one_target(settings, problem)
    elif problem.is_stateful and Tta.name in settings.stages.names:
        left_out, note = [Tta.name], "Left out: tta, since a stateful model sees every batch once."
    if not left_out:
        return settings, problem
    names = tuple(name for name in settings.stages.names if name not in left_out)
    stages = dataclasses.replace(settings.stages, names=names)
    return (
        dataclasses.replace(settings, stages=stages),
        dataclasses.replace(problem, notes=(*problem.notes, note)),
    )


def _without_one_target(settings: Settings, problem: Problem) -> tuple[list[str], str]:
    """Stages that have no meaning for targets of kind `other`, and a note that says why."""
    left_out = [name for name in settings.stages.names if name in OF_ONE_TARGET]
    held = loss_selection.most_held(len(problem.validation), problem.output_numbers)
    why = ""
    if problem.output_numbers and held >= 2:
        left_out = [name for name in left_out if name != Ensemble.name]
    elif problem.output_numbers and Ensemble.name in left_out:
        why = f" The ensemble would hold more than {loss_selection.HELD / 1e9:.2g} GB of outputs."
    elif Ensemble.name in left_out:
        why = " An ensemble needs targets, float outputs of batches of any size, and Keras's own "
        why += "train_step, test_step and compute_loss without add_loss."
    told = ", ".join([*left_out, "calibration"])
    return (
        left_out,
        f"Left out: {told}, which need one class or one row of numbers per example.{why}",
    )


def _of_own_batch_size(settings: Settings, problem: Problem) -> tuple[Settings, Problem]:
    """Settings of the only batch size that the model takes, and a note on what that means."""
    size, given = problem.batch_size, settings.recipe.batch_size
    if settings.limits.fixes_batch_size and given != size:
        raise ValueError(
            f"`batch_size` ({given}) is not that of the model's inputs, {size}: leave it out, or "
            "leave the batch size out of keras.Input."
        )
    note = f"The model's inputs have a batch size of {size}: all trainings have it, and stage batch"
    note += f" tries no other; leave it out of keras.Input to have it tuned.{_left_over(problem)}"
    problem = dataclasses.replace(problem, notes=(*problem.notes, note))
    return settings.of_batch_size(size), problem


def _left_over(problem: Problem) -> str:
    """A sentence on examples that fill no batch when Keras evaluates."""
    size, count = problem.batch_size, len(problem.validation)
    over = count % size
    if not over:
        return ""
    if count < size:
        return f" Validation metrics are those of {size} examples, some of the {count} twice."
    return f" Validation metrics leave out the last {over} of {count} examples."


def make_stages(
    settings: Settings, space: keras_tuner.HyperParameters, models: StageModels | None = None
) -> list[Stage]:
    """The stages of a search.

    Args:
        settings: of the search.
        space: the model's hyperparameters.
        models: answers stages that choose among trained models; needed when they decide.

    Raises:
        ValueError: for settings that a stage refuses.
    """
    setup = Setup(
        CHUNK,
        settings.recipe.decay,
        searched=samplers.searched(space),
        sample=samplers.Sampler(space, settings.seed, settings.limits.networks),
        models=models,
        members=settings.ensemble.members,
        folds=settings.ensemble.folds,
        sparsities=settings.stages.sparsities,
        refit=settings.refit and settings.budget.seconds is not None,
    )
    return registry.make(settings.stages.names, setup)
