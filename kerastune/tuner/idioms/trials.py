"""KerasTuner's trial, told as people read it, with the history of its evaluations."""

from __future__ import annotations

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from kerastune.objective import Objective
from kerastune.trial import Outcome
from kerastune.tuner.idioms import objectives

OURS = "kerastune/"  # before the names of what is not the model's own
SHOWN = ("optimizer", "learning_rate", "momentum", "batch_size", "decay", "total_steps")


class PlaybookTrial(Trial):
    """One training run of a search.

    Example:
        >>> trial = PlaybookTrial(keras_tuner.HyperParameters(), "lr-1")
        >>> trial.hyperparameters.values |= {"units": 8, "kerastune/batch_size": 64}
        >>> trial.display_hyperparameters()
        units: 8
        batch size: 64
    """

    def display_hyperparameters(self) -> None:
        """Prints the model's hyperparameters and the recipe's main values."""
        values = self.hyperparameters.values
        told = {name: value for name, value in values.items() if not name.startswith(OURS)}
        for name in SHOWN:
            if f"{OURS}{name}" in values and (name != "momentum" or _is_sgd(values)):
                told[name.replace("_", " ")] = values[f"{OURS}{name}"]
        shown = keras_tuner.HyperParameters()
        shown.values = told
        Trial(shown, self.trial_id).display_hyperparameters()


def put_history(trial: Trial, outcome: Outcome, objective: Objective) -> None:
    """Gives a trial every validation value by step, `val_` before its name, and what it had then in
    training: the mean over the steps since the evaluation before.

    Args:
        trial: whose history is replaced.
        outcome: of all its segments.
        objective: whose direction is known.

    Example:
        >>> from kerastune.recipe import Recipe
        >>> from kerastune.trial import TrialSpec
        >>> spec = TrialSpec("lr-1", "lr", Recipe(), 0, 100)
        >>> trial = PlaybookTrial(keras_tuner.HyperParameters(), "lr-1")
        >>> losses = {"loss": np.array([0.75, 0.25])}
        >>> outcome = Outcome(spec, losses, evals=({"step": 2, "loss": 0.4},))
        >>> put_history(trial, outcome, Objective("loss", "min"))
        >>> trial.metrics.get_history("val_loss"), trial.metrics.get_history("loss")
        ([MetricObservation(value=[0.4], step=2)], [MetricObservation(value=[0.5], step=2)])
    """
    trial.metrics.metrics.clear()
    curves, before = outcome.curves.load() if outcome.evals else {}, 0
    for evaluation in outcome.evals:
        step = evaluation["step"]
        for name, value in evaluation.items():
            if name == "step":
                continue
            known = objective.direction if name == objective.name else None
            known = known or objectives.direction(f"val_{name}") or "min"
            _put(trial, f"val_{name}", value, step, known)
            if name in curves and before < step <= len(curves[name]):
                _put(trial, name, float(np.mean(curves[name][before:step])), step, known)
        before = step


def _put(trial: Trial, name: str, value: float, step: int, direction: str) -> None:
    if not trial.metrics.exists(name):
        trial.metrics.register(name, direction)
    # The tracker's own `update` looks through the whole history twice.
    trial.metrics.metrics[name].update(value, step=step)


def _is_sgd(values: dict) -> bool:
    return values.get(f"{OURS}optimizer") == "sgd"
