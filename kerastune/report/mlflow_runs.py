"""Logs a finished search to MLflow: a run of the final model and, nested in it, one of the winner
of every stage.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report import search_sections
from kerastune.report.summaries import alternatives, verdict
from kerastune.report.tensorboard_runs import numbered
from kerastune.runtime import mlflow_settings
from kerastune.trial import Outcome

MOST_POINTS = 500  # of one curve
MOST_METRICS, MOST_PARAMS = 1000, 100  # that MLflow takes at once

logger = logging.getLogger("kerastune")


@dataclasses.dataclass(frozen=True)
class Tracked:
    """What one run holds.

    Args:
        name: of the run.
        trial: whose weights its model has; empty without one.
        params: values of the recipe as texts, by name.
        metrics: by name.
        curves: steps and values of each, by name.
        tags: texts by name.
    """

    name: str
    trial: str
    params: dict[str, str]
    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    tags: dict[str, str]


def of_search(
    name: str,
    decisions: Sequence[Decision],
    outcomes: Mapping[str, Outcome],
    result: Mapping[str, Any],
    objective: Objective,
) -> list[Tracked]:
    """The runs of a finished search, that of the final model first.

    Args:
        name: of the search.
        decisions: that the models are made of, at least one.
        outcomes: of all trials by name.
        result: what `result.json` holds.
        objective: that chose the weights of a training.
    """
    trial = result.get("trial") or ""
    final = Tracked(
        name,
        trial,
        _params(decisions[-1].after),
        _metrics_of(result),
        _curves(outcomes[trial]) if trial in outcomes else {},
        {"verdict": verdict.of(dict(result)).words},
    )
    winners = (_winner(each, outcomes, objective) for each in decisions)
    return [final, *(each for each in winners if each is not None)]


def _winner(
    decision: Decision, outcomes: Mapping[str, Outcome], objective: Objective
) -> Tracked | None:
    """The training that a stage chose; `None` where it chose none."""
    seen = {name: outcomes[name] for name in decision.evidence if name in outcomes}
    named = [name for name in decision.trials if name in outcomes]
    trial = next(iter(named), None) or alternatives.chosen_trial(decision, seen)
    if trial not in outcomes:
        return None
    outcome = outcomes[trial]
    kept = outcome.kept_evaluation(objective) or {}
    metrics = {f"validation/{key}": value for key, value in kept.items() if key != "step"}
    metrics |= {"steps": outcome.steps, "seconds": outcome.seconds}
    tags = {"headline": decision.headline, "numbers": decision.numbers, "trial": trial}
    recipe = _params(outcome.spec.recipe)
    run_name = numbered(decision.stage).replace(decision.stage, decision.key)
    return Tracked(run_name, trial, recipe, _sound(metrics), _curves(outcome), tags)


def _params(recipe: Recipe) -> dict[str, str]:
    plain = recipe.to_dict()
    own = {f"hp/{name}": value for name, value in plain.pop("hyperparameters").items()}
    return {_named(name): str(value) for name, value in {**plain, **own}.items()}


def _metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    found = {
        f"{model}/{part}_{name}": value
        for model, parts in search_sections.models(dict(result)).items()
        for part, values in parts.items()
        for name, value in values.items()
    }
    found |= {f"gain/{name}": value for name, value in result.get("gain", {}).items()}
    return _sound({**found, "seconds": result.get("seconds")})


def _sound(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers, under names that MLflow takes."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {_named(name): float(value) for name, value in numbers.items() if np.isfinite(value)}


def _named(name: str) -> str:
    return re.sub(r"[^\w.\- /:]", "_", name)


def _curves(outcome: Outcome) -> dict[str, list[tuple[int, float]]]:
    """Training loss, thinned, and all evaluations, as far as they are finite."""
    losses = outcome.losses
    steps = np.unique(np.linspace(0, len(losses) - 1, min(len(losses), MOST_POINTS)).astype(int))
    found = {"training/loss": [(int(step), float(losses[step])) for step in steps]}
    for each in outcome.evals:
        for name, value in each.items():
            if name != "step":
                points = found.setdefault(_named(f"validation/{name}"), [])
                points.append((int(each["step"]), float(value)))
    return {
        name: [point for point in points if np.isfinite(point[1])] for name, points in found.items()
    }


def log(
    runs: Sequence[Tracked],
    files: Sequence[Path],
    model_of: Callable[[str], keras.Model | None],
) -> str:
    """Logs the runs to where MLflow's own settings say; gives the id of the first.

    It is nested in the user's run where one is active. What goes wrong is told in one line, and
    nothing is given.

    Args:
        runs: as `of_search` gives them.
        files: that the first run holds, those that are there.
        model_of: gives the model of a trial with its kept weights; `None` where they are gone.
    """
    try:
        with mlflow_settings.patient(), mlflow_settings.quiet():
            return _log(runs, files, model_of)
    # A server that is down, a full disk, missing rights: MLflow's errors are of many kinds.
    except Exception as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        logger.warning(
            "Not logged to MLflow (%.200s). Everything is in the output directory; the same "
            "command logs it again.",
            first_line,
        )
        return ""


def _log(
    runs: Sequence[Tracked],
    files: Sequence[Path],
    model_of: Callable[[str], keras.Model | None],
) -> str:
    import mlflow

    final, *winners = runs
    with mlflow.start_run(run_name=final.name, nested=mlflow.active_run() is not None) as run:
        _fill(run.info.run_id, final)
        for path in files:
            if path.is_file():
                mlflow.log_artifact(str(path))
        _log_model(model_of(final.trial), final)
        for winner in winners:
            with mlflow.start_run(run_name=winner.name, nested=True) as inner:
                _fill(inner.info.run_id, winner)
                _log_model(model_of(winner.trial), winner)
        return run.info.run_id


def _fill(run_id: str, tracked: Tracked) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient()
    params = [Param(name, value) for name, value in tracked.params.items()]
    points = [(name, value, 0) for name, value in tracked.metrics.items()]
    points += [
        (name, value, step) for name, curve in tracked.curves.items() for step, value in curve
    ]
    now = int(1000 * time.time())
    metrics = [Metric(name, value, now, step) for name, value, step in points]
    tags = [RunTag(name, value) for name, value in tracked.tags.items()]
    client.log_batch(run_id, tags=tags)
    for start in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])


def _log_model(model: keras.Model | None, tracked: Tracked) -> None:
    if model is None:
        return
    import mlflow.keras

    needed = [f"{name}=={importlib.metadata.version(name)}" for name in ("keras", "tensorflow")]
    try:
        mlflow.keras.log_model(model, name="model", pip_requirements=needed)
    except (NotImplementedError, TypeError, ValueError) as error:  # of what Keras can't save
        why = next(iter(str(error).splitlines()), type(error).__name__)
        logger.info("The model of %s is not logged to MLflow (%s).", tracked.name, why)
