"""What a search leaves behind: figures of merit, recipe, decisions and the saved model."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune import recipe as recipes
from kerastune import trial as trials
from kerastune.analysis import comparison, error_analysis
from kerastune.data import loading
from kerastune.models import output_kind, scoring
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import full_training
from kerastune.playbook.stages import baseline
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.prune import Prune
from kerastune.problem import Part, Problem, joined, labels
from kerastune.recipe import Recipe
from kerastune.report import examples
from kerastune.report.predictions import MOST_MISTAKES, Mistakes, Predictions
from kerastune.study import run_directory
from kerastune.study.run_directory import RunDir
from kerastune.training import optimizers
from kerastune.training.trainer import Trainer, sample
from kerastune.trial import Outcome, State, TrialSpec
from kerastune.tuner import final_models

REFIT = "refit"


def times_of_refit(problem: Problem) -> float:
    """Times a recipe's steps that as many epochs take on training and validation data together."""
    return 1 + len(problem.validation) / len(problem.train)


def spec_of_refit(recipe: Recipe, problem: Problem) -> TrialSpec:
    """A training of the recipe on training and validation data together, for as many epochs."""
    longer = full_training.lengthened(recipe, round(recipe.total_steps * times_of_refit(problem)))
    return TrialSpec(REFIT, REFIT, longer, 0, longer.total_steps)


def refit(trainer: Trainer, spec: TrialSpec) -> tuple[Outcome, State, State | None]:
    """Trains what `spec_of_refit` gave, to its end.

    Returns:
        As `Trainer.run`; the last state is `None` when the training diverged.
    """
    problem = trainer.problem
    again = trainer.on(
        dataclasses.replace(problem, train=joined(problem.train, problem.validation))
    )
    again.deadline = lambda: (
        False
    )  # its time was set aside, and half of a decay would be worth nothing
    outcome, last, _ = again.run(spec)
    return outcome, last, last if outcome.diverged_at is None else None


def result(
    trainer: Trainer,
    playbook: Playbook,
    states: dict[str, State],
    chosen: str | None,
    seconds: float,
) -> tuple[dict[str, Any], Predictions | None]:
    """Figures of the baseline and of what was tuned; this is where the test part is touched, once.

    Returns:
        What the models gave, for the report (`None` without a model), after the figures:
        `{"baseline": {"validation": {...}, "test": {...}}, "tuned": {...}, "stages": {name:
        {"steps", "seconds"}}}`
        and more, as `combining.figures` gives it.
        With a baseline and a test part, `"gain"` holds the mean paired difference of their test
        scores and the ends
        of its 95 % interval.
    """
    found: dict[str, Any] = {}
    test_scores, outputs = {}, {}
    for name, trial, state in (
        ("baseline", baseline.TRIAL, states.get(baseline.TRIAL)),
        ("tuned", chosen, states.get(chosen)),
        (REFIT, REFIT, states.get(REFIT)),
    ):
        # What a refit model says of the validation part, which it has learnt, tells nothing.
        parts = {
            part: each
            for part, each in _parts(trainer.problem).items()
            if (name, part) != (REFIT, "validation")
        }
        if state is not None and parts:
            recipe = playbook.outcomes[trial].spec.recipe
            found[name], test_scores[name], outputs[name] = _figures(trainer, recipe, state, parts)
    if {"baseline", "tuned"} <= set(test_scores) and trainer.problem.test is not None:
        gain = comparison.difference(test_scores["tuned"], test_scores["baseline"])
        found["gain"] = comparison.named(gain)
    if chosen is not None:
        combined, given = final_models.figures(
            trainer, playbook, states, chosen, single(states, chosen)
        )
        found |= combined
        outputs |= {
            name: {"test": in_users_units(trainer.problem, each, False)}
            for name, each in given.items()
        }
    figures = {
        **found,
        "classes": list(trainer.problem.class_names),
        "scored by": playbook.scored_by,
        "trial": chosen,
        "stages": {stage.name: _cost(playbook, stage.name) for stage in playbook.stages},
        "budget": str(playbook.budget),
        "seconds": seconds,
    }
    return figures, predictions(trainer.problem, outputs) if outputs else None


def single(states: dict[str, State], chosen: str) -> str:
    """Name of the trial whose weights are handed over as the single model."""
    return REFIT if REFIT in states else chosen


def predictions(problem: Problem, outputs: dict[str, dict[str, np.ndarray]]) -> Predictions:
    """What models gave, with the worst mistakes of the last one that was not trained on the
    validation part.

    Args:
        problem: whose parts these are.
        outputs: by model and part, probabilities `[n, classes]`, or numbers `[n, outputs]` in the
            user's units.
    """
    parts = _parts(problem)
    true = {name: _true(problem, part) for name, part in parts.items()}
    final = [name for name in outputs if name != REFIT][-1]
    kept = Predictions(tuple(map(str, problem.class_names)), true, outputs, final)
    found = error_analysis.worst(
        outputs[final][kept.part], true[kept.part], kept.is_classification, MOST_MISTAKES
    )
    x = loading.take(parts[kept.part], found).x
    pictures = examples.pictures(x)
    columns, rows = (
        ((), np.zeros([0, 0], np.str_)) if pictures is not None else examples.rows(problem, x)
    )
    return dataclasses.replace(kept, mistakes=Mistakes(kept.part, found, pictures, columns, rows))


def _true(problem: Problem, part: Part) -> np.ndarray:
    if problem.kind == "classification":
        return labels(part.y)
    return (
        part.y.reshape(len(part), -1).astype(np.float64) * problem.target_scale
        + problem.target_mean
    )


def line(outcome: Outcome, objective: trials.Objective) -> str:
    """One line about a trial so far, for the log."""
    spec, recipe = outcome.spec, outcome.spec.recipe
    words = f"{spec.trial}: {recipe.optimizer}, rate {recipe.learning_rate:g}, batches of {recipe.batch_size}"
    if outcome.error:
        return f"{words}: failed ({outcome.error})"
    if outcome.diverged_at is not None:
        return f"{words}: diverged at step {outcome.diverged_at}"
    best = trials.best_evaluation(outcome.evals, objective)
    value = (
        f", best validation {objective.name} {best[objective.name]:.4g} at step {best['step']}"
        if best
        else ""
    )
    return f"{words}: {outcome.steps} steps, loss {outcome.losses[-50:].mean():.4g}{value}"


def write_records(
    run_dir: RunDir, playbook: Playbook, figures: dict[str, Any], given: dict[str, Any]
) -> None:
    """Writes recipe, flagfile, decisions and figures; `given` are the flags for data and model that
    were given.
    """
    recipe = playbook.recipe
    run_directory.write_text(
        run_dir.recipe, json.dumps(recipe.to_dict(), sort_keys=True, indent=2) + "\n"
    )
    lines = [json.dumps(decision.to_dict(), sort_keys=True) for decision in playbook.decisions]
    run_directory.write_text(run_dir.decisions, "\n".join(lines) + "\n")
    run_directory.write_text(run_dir.result, json.dumps(figures, sort_keys=True, indent=2) + "\n")
    for decision in playbook.decisions:
        if (
            path := {Prune.name: run_dir.prune, Distill.name: run_dir.distill}.get(decision.stage)
        ) is not None:
            told = {"reason": decision.reason, **decision.values}
            run_directory.write_text(path, json.dumps(told, sort_keys=True, indent=2) + "\n")
    claim = f"# Found by kerastune; train it again with: kerastune train --flagfile={run_dir.flags.name}"
    write_flags(run_dir.flags, claim, given, recipe)


def write_flags(
    path: Path,
    claim: str,
    given: dict[str, Any],
    recipe: Recipe,
    further: dict[str, Any] | None = None,
):
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
    flags = [
        recipes.flag(name, value) for name, value in named.items() if value is not None
    ] + recipe.to_flags()
    run_directory.write_text(path, "\n".join([claim, *flags]) + "\n")


def save_models(
    run_dir: RunDir,
    trainer: Trainer,
    playbook: Playbook,
    states: dict[str, State],
    chosen: str | None,
    figures: dict[str, Any],
) -> None:
    """Saves the single model, and what was made of it or of several, where that is handed over.

    Args:
        run_dir: where.
        trainer: of the search.
        playbook: of the search, when every stage has decided.
        states: kept weights by trial.
        chosen: the trial that the search came to; without one nothing is saved.
        figures: as `result` gives them.
    """
    if chosen is None:
        return
    alone = single(states, chosen)
    save(raw_model(trainer, playbook.outcomes[chosen].spec.recipe, states[alone]), run_dir.model)
    if final_models.kept_ensemble(playbook) is not None:
        save(final_models.ensemble_model(trainer, playbook, states), run_dir.ensemble)
    if final_models.kept_views(playbook) is not None:
        save(final_models.tta_model(trainer, playbook, states, alone), run_dir.tta)
    if final_models.CALIBRATED in figures:
        temperature = figures["handed over"]["temperature"]
        save(
            final_models.calibrated_model(trainer, playbook, states, alone, temperature),
            run_dir.calibrated,
        )


def raw_model(trainer: Trainer, recipe: Recipe, state: State) -> keras.Model:
    """The model of a recipe with these weights, raw inputs in and the user's units out; needs no
    kerastune.
    """
    model, problem = trainer.finished_model(recipe, state), trainer.problem
    if problem.attach is None:
        return model
    loss, metrics = (
        model.loss,
        [] if problem.kind == "regression" else [_accuracy(model, trainer.problem)],
    )
    settings = optimizers.kept_settings(model)
    model = problem.attach(model)
    model.compile(optimizers.stock(recipe, **settings), loss=loss, metrics=metrics)
    model.optimizer.build(model.trainable_variables)
    return model


def _accuracy(model: keras.Model, problem: Problem):
    if model.output_shape[-1] > 1:
        return "accuracy"
    logits = output_kind.gives_logits(model, sample(problem.validation.x))
    return keras.metrics.BinaryAccuracy("accuracy", threshold=0.0 if logits else 0.5)


def save(model: keras.Model, path: Path) -> None:
    """Saves a model as one `.keras` file, which is there whole or not at all."""
    model.save(run_directory.unsaved(path))
    os.replace(run_directory.unsaved(path), path)


def _parts(problem: Problem) -> dict[str, Part]:
    """What was held out, by name."""
    return {"validation": problem.validation} | (
        {"test": problem.test} if problem.test is not None else {}
    )


def _figures(trainer: Trainer, recipe: Recipe, state: State, parts: dict[str, Part]):
    """Figures on every part, the score of every test example (`None` without a test part), and the
    outputs.
    """
    problem = trainer.problem
    model = trainer.finished_model(recipe, state)
    logits = output_kind.gives_logits(model, sample(problem.validation.x))
    found, by_example, kept = {}, {}, {}
    for name, part in parts.items():
        outputs = output_kind.predict(model, part.x)
        kept[name] = in_users_units(problem, outputs, logits)
        by_example[name] = scoring.example_scores(model, problem, part, outputs, trainer.objective)
        found[name] = scoring.figures(problem, part, outputs, logits)
    return found, by_example.get("test"), kept


def in_users_units(problem: Problem, outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units, of what a model
    gave.
    """
    if problem.kind == "classification":
        return error_analysis.probabilities(outputs, logits).astype(np.float32)
    return (
        outputs.reshape(len(outputs), -1).astype(np.float64) * problem.target_scale
        + problem.target_mean
    )


def _cost(playbook: Playbook, stage: str) -> dict[str, float]:
    of_stage = [outcome for outcome in playbook.outcomes.values() if outcome.spec.stage == stage]
    return {
        "steps": sum(o.steps for o in of_stage),
        "seconds": round(sum(o.seconds for o in of_stage), 2),
    }
