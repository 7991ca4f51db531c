"""What the stages are told of data and model before they begin."""

from __future__ import annotations

import keras

from kerastune.models import recipe_checks, scoring
from kerastune.playbook.stages.base import Facts
from kerastune.problem import Problem
from kerastune.trial import Objective


def of(problem: Problem, objective: Objective, model: keras.Model) -> Facts:
    """The facts of a problem and a model that was compiled for it; how much may be spent is not
    among them.
    """
    return Facts(
        num_train=len(problem.train)
        if problem.train is not None
        else max(int(problem.stream.cardinality()), 0),
        num_validation=len(problem.validation),
        objective=objective,
        allowance=0,
        num_classes=problem.num_classes,
        imbalanced=problem.imbalanced,
        num_parameters=model.count_params(),
        scored_by=scoring.scored_by(model, problem, objective),
        unusable=recipe_checks.unusable(model, problem),
    )
