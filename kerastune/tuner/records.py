"""What a finished search leaves: files of recipe, flags, decisions, figures and models, and what a
tracker of experiments is told.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kerastune.models import fingerprint, hypermodels
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.model import Model
from kerastune.playbook.stages.probe import Probe
from kerastune.playbook.stages.prune import Prune
from kerastune.playbook.stages.start import SUGGESTIBLE, Start
from kerastune.recipe import Recipe
from kerastune.report import mlflow_runs
from kerastune.runtime import fields
from kerastune.runtime.plain_values import to_plain
from kerastune.study import extensions, run_directory
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir
from kerastune.tuner.final_figures import EXPORTED
from kerastune.tuner.final_models import CALIBRATED, FinalModels
from kerastune.tuner.problem_facts import FirstLook
from kerastune.tuner.settings import Settings

WEIGHTS = ".weights.h5"
MLFLOW_RUN = "MLflow run"  # name of the fact in the study, that it was logged

logger = logging.getLogger("kerastune")


def write(
    run_dir: RunDir, playbook: Playbook, figures: dict[str, Any], given: dict[str, Any]
) -> None:
    """Writes recipe, flagfile, decisions and figures.

    Args:
        run_dir: where.
        playbook: when every stage has decided.
        figures: as `results.result` gives them.
        given: the flags for data and model that were given.
    """
    write_json(run_dir.recipe, playbook.recipe.to_dict())
    lines = [json.dumps(decision.to_dict(), sort_keys=True) for decision in playbook.decisions]
    run_directory.write_text(run_dir.decisions, "\n".join(lines) + "\n")
    write_json(run_dir.result, figures)
    own_files = {Prune.name: run_dir.prune, Distill.name: run_dir.distill}
    for decision in playbook.in_force:
        if (path := own_files.get(decision.stage)) is not None:
            words = {"headline": decision.headline, "numbers": decision.numbers}
            write_json(path, words | to_plain(decision.values))
    again = f"kerastune train --flagfile={run_dir.flags.name}"
    claim = f"# Found by kerastune; train it again with: {again}"
    write_flags(run_dir.flags, claim, given, playbook.recipe)


def write_flags(
    path: Path,
    claim: str,
    given: dict[str, Any],
    recipe: Recipe,
    further: dict[str, Any] | None = None,
) -> None:
    """Writes a flagfile.

    Args:
        path: where.
        claim: its first line, which ends in the command that it is for.
        given: the flags for data and model that were given; empty where both came from Python.
        recipe: the recipe.
        further: other flags of that command.
    """
    if "data" not in given:
        claim += " --data=... --model=... (both were given in Python)"
    named = {**given, **(further or {})}
    flags = [fields.flag(name, value) for name, value in named.items() if value not in (None, "")]
    run_directory.write_text(path, "\n".join([claim, *flags, *recipe.to_flags()]) + "\n")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes plain values as a JSON file that people can read."""
    run_directory.write_text(path, json.dumps(values, sort_keys=True, indent=2) + "\n")


def save_models(run_dir: RunDir, models: FinalModels, figures: dict[str, Any]) -> None:
    """Saves the single model and, where they are kept, the ensemble, views and calibrated model.

    Args:
        run_dir: where.
        models: when every stage has decided; without a chosen trial nothing is saved.
        figures: as `results.result` gives them.
    """
    if models.chosen is None:
        return
    save(models.single_model(), run_dir.model)
    further: list[tuple[Path, bool, Callable[[], keras.Model]]] = [
        (run_dir.ensemble, models.ensemble is not None, models.ensemble_model),
        (run_dir.tta, models.views is not None, models.tta_model),
        (
            run_dir.calibrated,
            CALIBRATED in figures,
            lambda: models.calibrated_model(figures[EXPORTED]["temperature"]),
        ),
    ]
    for path, is_kept, make in further:
        if is_kept:
            save(make(), path)
        else:
            # What the search handed out before it was extended.
            for each in (path, path.with_suffix(WEIGHTS)):
                each.unlink(missing_ok=True)


def save(model: keras.Model, path: Path) -> None:
    """Saves a model as one `.keras` file, which is there whole or not at all.

    Of a model that Keras can't save, only the weights are saved, as `.weights.h5` beside it.
    """
    try:
        model.save(run_directory.unsaved(path))
    except (NotImplementedError, TypeError, ValueError) as error:
        run_directory.unsaved(path).unlink(missing_ok=True)
        path = path.with_suffix(WEIGHTS)
        model.save_weights(run_directory.unsaved(path))
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        logger.warning("Saved %s alone: the model can't be saved (%s).", path.name, said)
    os.replace(run_directory.unsaved(path), path)


def log_to_mlflow(
    study: Study, run_dir: RunDir, models: FinalModels, figures: dict[str, Any]
) -> str:
    """Logs a search to MLflow, unless that was done; gives name and id of its run, or nothing.

    Args:
        study: of the search.
        run_dir: its output directory, with all files.
        models: its models.
        figures: what `result.json` holds.
    """
    playbook, name = models.playbook, run_dir.path.name
    fact = extensions.of_number(MLFLOW_RUN, figures.get("extension", 0))
    if study.fact(fact) is not None:
        return ""

    def model_of(trial: str) -> keras.Model | None:
        if trial == figures.get("trial"):
            return models.single_model()
        return models.trial_model(trial) if trial in models.states else None

    found = playbook.in_force, playbook.outcomes, figures, playbook.objective
    runs = mlflow_runs.of_search(name, *found)
    run = mlflow_runs.log(runs, tracked_files(run_dir), model_of)
    if not run:
        return ""
    study.put_fact(fact, run)
    return f"run {name} ({run})"


def tracked_files(run_dir: RunDir) -> list[Path]:
    """The files that a tracker keeps: what people read, and what predicts.

    The single model is not among them: a tracker has its own form of it.
    """
    told = (run_dir.report, run_dir.flags, run_dir.recipe, run_dir.result, run_dir.trials_csv)
    models = (run_dir.ensemble, run_dir.tta, run_dir.calibrated)
    return [*told, run_dir.predict_script, run_dir.model_card, run_dir.inputs, *models]


def must_stay(
    settings: Settings,
    seen: FirstLook,
    hypermodel: keras_tuner.HyperModel,
    space: keras_tuner.HyperParameters,
    contents: str,
) -> dict[str, Any]:
    """What must stay the same when a search goes on, by name, as plain values.

    Args:
        settings: of the search.
        seen: of data and model.
        hypermodel: of the tuner.
        space: its hyperparameters.
        contents: what tells one data set from another.
    """
    objective, stages = seen.facts.objective, settings.stages
    is_pretrained = isinstance(hypermodel, hypermodels.Pretrained)
    # What single stages are given besides the recipe, where they are among the stages.
    by_stage: dict[str, tuple[type, Callable[[], Any]]] = {
        "search space": (Model, lambda: space.get_config()["space"]),
        "sparsity": (Prune, lambda: sorted(stages.sparsities)),
        "teacher": (Distill, lambda: fingerprint.of_weights(stages.teacher)),
    }
    is_begun = settings.runs(Start) or settings.runs(Probe)
    kept = sorted(settings.given & {*SUGGESTIBLE, "decay", "total_steps"})
    return {
        "budget": str(settings.budget),
        "seed": settings.seed,
        "objective": f"{objective.name}:{objective.direction}",
        "stages": list(stages.names),
        "members": settings.ensemble.members,
        "keep": settings.storage.keep,
        **seen.recipe.to_dict(),
        **({"values of the recipe that were given": kept} if is_begun else {}),
        "refit": settings.refit,
        **(hypermodel.settings if is_pretrained else {}),
        **{name: value() for name, (stage, value) in by_stage.items() if settings.runs(stage)},
        **({"member_folds": settings.ensemble.folds} if settings.ensemble.folds else {}),
        **settings.limits.recorded(),
        "contents of the data": contents,
        "architecture, loss and metrics": seen.architecture,
    }
