"""What the stages are told of data and model before they begin."""

from __future__ import annotations

import keras

from kerastune import evaluate, regularisers
from kerastune.scores import Objective
from kerastune.stages.base import Facts
from kerastune.task import Task


def of(task: Task, objective: Objective, model: keras.Model) -> Facts:
    """The facts of a task and a model that was compiled for it; how much may be spent is not among them."""
    return Facts(
        num_train=len(task.train) if task.train is not None else max(int(task.stream.cardinality()), 0),
        num_validation=len(task.validation),
        objective=objective,
        allowance=0,
        num_classes=task.num_classes,
        imbalanced=task.imbalanced,
        num_parameters=model.count_params(),
        scored_by=evaluate.scored_by(model, task, objective),
        unusable=regularisers.unusable(model, task),
    )
