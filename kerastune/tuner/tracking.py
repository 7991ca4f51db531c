"""Hands a finished search to a tracker of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kerastune.report import mlflow_runs
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir
from kerastune.tuner.final_models import FinalModels

FACT = "MLflow run"  # name of the fact in the study, that it was logged


def log(study: Study, run_dir: RunDir, models: FinalModels, figures: dict[str, Any]) -> str:
    """Logs a search to MLflow, unless that was done; gives name and id of its run, or nothing.

    Args:
        study: of the search.
        run_dir: its output directory, with all files.
        models: its models.
        figures: what `result.json` holds.
    """
    if study.fact(FACT) is not None:
        return ""
    playbook, name = models.playbook, run_dir.path.name

    def model_of(trial: str) -> keras.Model | None:
        return models.trial_model(trial) if trial in models.states else None

    runs = mlflow_runs.of_search(name, playbook.decisions, playbook.outcomes, figures)
    run = mlflow_runs.log(runs, files(run_dir), model_of)
    if not run:
        return ""
    study.put_fact(FACT, run)
    return f"run {name} ({run})"


def files(run_dir: RunDir) -> list[Path]:
    """The files that a tracker keeps: what people read, and what predicts.

    The single model is not among them: a tracker has its own form of it.
    """
    told = (run_dir.report, run_dir.flags, run_dir.recipe, run_dir.result, run_dir.trials_csv)
    models = (run_dir.ensemble, run_dir.tta, run_dir.calibrated)
    return [*told, run_dir.predict_script, run_dir.model_card, run_dir.inputs, *models]
