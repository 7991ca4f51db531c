"""Scores of single validation examples, by which trainings are compared."""

from __future__ import annotations

import keras
import numpy as np

from kerastune.analysis import ensemble_selection
from kerastune.inference import tta
from kerastune.inference.views import Flip
from kerastune.models import output_kind, scoring
from kerastune.models.output_kind import OutputKind
from kerastune.objective import Objective
from kerastune.problem import OTHER, Problem, labels


def by_example(
    model: keras.Model, problem: Problem, objective: Objective, known: OutputKind, flip: bool
) -> dict[str, np.ndarray]:
    """Scores of the validation examples, as an `Outcome` holds them.

    Args:
        model: compiled for the problem.
        problem: whose validation part is scored.
        objective: the validation value that chooses.
        known: what the model's outputs mean.
        flip: whether the mean over each image and its mirror image is scored, too.

    Returns:
        `example_scores` `[n]`, larger is better; with `flip` also `mirrored_scores` `[n]`.
    """
    part = problem.validation
    outputs = None if problem.kind == OTHER else output_kind.predict(model, part.x)
    scores = scoring.example_scores(model, problem, part, outputs, objective, known)
    found = {"example_scores": scores}
    if flip:
        both = tta.predictions(model, part.x, {"mirrored": Flip()}, problem.kind)
        targets = (
            labels(part.y)
            if problem.kind == "classification"
            else part.y.reshape(len(part), -1) / problem.target_std
        )
        measure = scoring.scored_by(model, problem, objective)
        mean = np.mean(list(both.values()), axis=0) / problem.target_std
        found["mirrored_scores"] = ensemble_selection.example_scores(mean, targets, measure)
    return found
