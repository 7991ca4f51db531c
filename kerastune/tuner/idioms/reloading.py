"""What is read of a search from its directory alone, without the data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.playbook.driver import Playbook
from kerastune.problem import Part, Problem
from kerastune.study import extensions
from kerastune.study.database import Study
from kerastune.study.reader import Record
from kerastune.training.trainer import Trainer
from kerastune.tuner import oracle
from kerastune.tuner.builder import Builder
from kerastune.tuner.final_models import FinalModels
from kerastune.tuner.idioms.optimizer_hyperparameters import OptimizerHyperparameters
from kerastune.tuner.settings import Settings

FACT = "for a reload"
STAND_INS = 8  # examples in the place of the data


@dataclasses.dataclass(frozen=True)
class Reloaded:
    """A search as its directory has it.

    Args:
        playbook: with decisions and outcomes; nothing can be trained with it.
        models: of the trials that kept their weights.
        result: what `result.json` holds; empty before the search came to its end.
        of_optimizer: hyperparameters that feed only the optimizer.
        is_attached: whether the models are trained on prepared data, so that they can't be made
            again without them.
    """

    playbook: Playbook
    models: FinalModels
    result: dict[str, Any]
    of_optimizer: OptimizerHyperparameters
    is_attached: bool


def record(study: Study, problem: Problem, of_optimizer: OptimizerHyperparameters) -> None:
    """Records what `read` needs besides the outcomes, once.

    Args:
        study: of the search.
        problem: its data, of which shapes and types are recorded.
        of_optimizer: hyperparameters that feed only the optimizer.
    """
    if study.fact(FACT) is not None:
        return
    part = problem.validation
    known = {
        "name": problem.name,
        "kind": problem.kind,
        "class_names": [str(name) for name in problem.class_names],
        "x": _described(part.x),
        "y": _described(part.y),
        "is_attached": problem.attach is not None,
        "of_optimizer": dataclasses.asdict(of_optimizer),
    }
    study.put_fact(FACT, known)


def read(record: Record, build: Builder, settings: Settings) -> Reloaded:
    """Reads a search.

    Args:
        record: its study.
        build: makes the models.
        settings: of the tuner.

    Raises:
        StudyError: where the study is damaged.
        ValueError: where nothing was trained yet.
    """
    known = record.fact(FACT)
    if known is None:
        raise ValueError(
            f"{record.path} holds no search that can be read without its data: call `search`, "
            "which goes on with it."
        )
    objective = Objective.parse(f"val_{record.setting('objective')}")
    facts = Facts(0, 0, objective, allowance=0)
    playbook = Playbook(record, [], settings.recipe, facts, settings.budget)
    result = extensions.result(record)
    playbook.kept = result.get("extension")
    trainer = Trainer(stand_in(known), build, objective)
    states = {name: record.checkpoint(name, "best") for name in playbook.outcomes}
    states = {name: state for name, state in states.items() if state is not None}
    models = FinalModels(trainer, playbook, states, oracle.chosen_trial(playbook.in_force))
    of_optimizer = OptimizerHyperparameters(**known["of_optimizer"])
    return Reloaded(playbook, models, result, of_optimizer, known["is_attached"])


def stand_in(known: dict[str, Any]) -> Problem:
    """A problem with inputs and targets of the same shapes and types as those of a search.

    Args:
        known: as `record` recorded it.

    Example:
        >>> shape = {"shape": [3], "dtype": "float32"}
        >>> known = {"name": "toy", "kind": "regression", "class_names": [], "x": shape, "y": shape}
        >>> stand_in(known).validation.x.shape
        (8, 3)
    """
    part = Part(_examples(known["x"]), _examples(known["y"]))
    names = tuple(known["class_names"])
    return Problem(known["name"], known["kind"], part, part, class_names=names)


def _described(arrays: Any) -> Any:
    """Shape of an example and type of every array, in the same structure."""
    return nested.mapped(
        lambda array: {"shape": list(array.shape[1:]), "dtype": str(array.dtype)}, arrays
    )


def _examples(described: Any) -> Any:
    if isinstance(described, dict) and set(described) == {"shape", "dtype"}:
        return _array((STAND_INS, *described["shape"]), np.dtype(described["dtype"]))
    if isinstance(described, dict):
        return {name: _examples(each) for name, each in described.items()}
    return None if described is None else tuple(_examples(each) for each in described)


def _array(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "US O":
        return np.full(shape, "", dtype=object if dtype.kind == "O" else dtype)
    if dtype.kind == "f":
        return np.random.default_rng(0).normal(size=shape).astype(dtype)
    return np.zeros(shape, dtype)
