"""What a search leaves behind: figures of merit, recipe, decisions and the saved model."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune import combining, data, diagnostics, evaluate, examples, optimizers, rundirs, scores
from kerastune import recipe as recipes
from kerastune.playbook import Playbook
from kerastune.predictions import MOST_MISTAKES, Mistakes, Predictions
from kerastune.recipe import Recipe
from kerastune.rundirs import RunDir
from kerastune.stages import reference, whole
from kerastune.stages.distil import Distil
from kerastune.stages.prune import Prune
from kerastune.task import Part, Task, joined, labels
from kerastune.training import Trainer, sample
from kerastune.trial import Outcome, State, TrialSpec

REFIT = "refit"


def times_of_refit(task: Task) -> float:
    """Times a recipe's steps that as many epochs take on training and validation data together."""
    return 1 + len(task.validation) / len(task.train)


def spec_of_refit(recipe: Recipe, task: Task) -> TrialSpec:
    """A training of the recipe on training and validation data together, for as many epochs."""
    longer = whole.lengthened(recipe, round(recipe.total_steps * times_of_refit(task)))
    return TrialSpec(REFIT, REFIT, longer, 0, longer.total_steps)


def refit(trainer: Trainer, spec: TrialSpec) -> tuple[Outcome, State, State | None]:
    """Trains what `spec_of_refit` gave, to its end.

    Returns:
        As `Trainer.run`; the last state is `None` when the training diverged.
    """
    task = trainer.task
    again = trainer.on(dataclasses.replace(task, train=joined(task.train, task.validation)))
    again.deadline = lambda: False  # its time was set aside, and half of a decay would be worth nothing
    outcome, last, _ = again.run(spec)
    return outcome, last, last if outcome.diverged_at is None else None


def result(
    trainer: Trainer, playbook: Playbook, states: dict[str, State], chosen: str | None, seconds: float
) -> tuple[dict[str, Any], Predictions | None]:
    """Figures of the reference and of what was tuned; this is where the test part is touched, once.

    Returns:
        What the models gave, for the report (`None` without a model), after the figures:
        `{"reference": {"validation": {...}, "test": {...}}, "tuned": {...}, "stages": {name: {"steps", "seconds"}}}`
        and more, as `combining.figures` gives it.
        With a reference and a test part, `"gain"` holds the mean paired difference of their test scores and the ends
        of its 95 % interval.
    """
    found: dict[str, Any] = {}
    test_scores, outputs = {}, {}
    for name, trial, state in (
        ("reference", reference.TRIAL, states.get(reference.TRIAL)),
        ("tuned", chosen, states.get(chosen)),
        (REFIT, REFIT, states.get(REFIT)),
    ):
        # What a refit model says of the validation part, which it has learnt, tells nothing.
        parts = {part: each for part, each in _parts(trainer.task).items() if (name, part) != (REFIT, "validation")}
        if state is not None and parts:
            recipe = playbook.outcomes[trial].spec.recipe
            found[name], test_scores[name], outputs[name] = _figures(trainer, recipe, state, parts)
    if {"reference", "tuned"} <= set(test_scores) and trainer.task.test is not None:
        mean, low, high = scores.difference(test_scores["tuned"], test_scores["reference"])
        found["gain"] = {"mean": mean, "low": low, "high": high}
    if chosen is not None:
        combined, given = combining.figures(trainer, playbook, states, chosen, single(states, chosen))
        found |= combined
        outputs |= {name: {"test": in_users_units(trainer.task, each, False)} for name, each in given.items()}
    figures = {
        **found,
        "classes": list(trainer.task.class_names),
        "scored by": playbook.scored_by,
        "trial": chosen,
        "stages": {stage.name: _cost(playbook, stage.name) for stage in playbook.stages},
        "budget": str(playbook.budget),
        "seconds": seconds,
    }
    return figures, predictions(trainer.task, outputs) if outputs else None


def single(states: dict[str, State], chosen: str) -> str:
    """Name of the trial whose weights are handed over as the single model."""
    return REFIT if REFIT in states else chosen


def predictions(task: Task, outputs: dict[str, dict[str, np.ndarray]]) -> Predictions:
    """What models gave, with the worst mistakes of the last one that was not trained on the validation part.

    Args:
        task: whose parts these are.
        outputs: by model and part, probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units.
    """
    parts = _parts(task)
    true = {name: _true(task, part) for name, part in parts.items()}
    final = [name for name in outputs if name != REFIT][-1]
    kept = Predictions(tuple(map(str, task.class_names)), true, outputs, final)
    found = diagnostics.worst(outputs[final][kept.part], true[kept.part], kept.is_classification, MOST_MISTAKES)
    x = data.take(parts[kept.part], found).x
    pictures = examples.pictures(x)
    columns, rows = ((), np.zeros([0, 0], np.str_)) if pictures is not None else examples.rows(task, x)
    return dataclasses.replace(kept, mistakes=Mistakes(kept.part, found, pictures, columns, rows))


def _true(task: Task, part: Part) -> np.ndarray:
    if task.kind == "classification":
        return labels(part.y)
    return part.y.reshape(len(part), -1).astype(np.float64) * task.target_scale + task.target_mean


def line(outcome: Outcome, objective: scores.Objective) -> str:
    """One line about a trial so far, for the log."""
    spec, recipe = outcome.spec, outcome.spec.recipe
    words = f"{spec.trial}: {recipe.optimizer}, rate {recipe.learning_rate:g}, batches of {recipe.batch_size}"
    if outcome.error:
        return f"{words}: failed ({outcome.error})"
    if outcome.diverged_at is not None:
        return f"{words}: diverged at step {outcome.diverged_at}"
    best = scores.best_evaluation(outcome.evals, objective)
    value = f", best validation {objective.name} {best[objective.name]:.4g} at step {best['step']}" if best else ""
    return f"{words}: {outcome.steps} steps, loss {outcome.losses[-50:].mean():.4g}{value}"


def write_records(run_dir: RunDir, playbook: Playbook, figures: dict[str, Any], given: dict[str, Any]) -> None:
    """Writes recipe, flagfile, decisions and figures; `given` are the flags for data and model that were given."""
    recipe = playbook.recipe
    rundirs.write_text(run_dir.recipe, json.dumps(recipe.to_dict(), sort_keys=True, indent=2) + "\n")
    lines = [json.dumps(decision.to_dict(), sort_keys=True) for decision in playbook.decisions]
    rundirs.write_text(run_dir.decisions, "\n".join(lines) + "\n")
    rundirs.write_text(run_dir.result, json.dumps(figures, sort_keys=True, indent=2) + "\n")
    for decision in playbook.decisions:
        if (path := {Prune.name: run_dir.prune, Distil.name: run_dir.distil}.get(decision.stage)) is not None:
            told = {"reason": decision.reason, **decision.values}
            rundirs.write_text(path, json.dumps(told, sort_keys=True, indent=2) + "\n")
    claim = f"# Found by kerastune; train it again with: kerastune train --flagfile={run_dir.flags.name}"
    write_flags(run_dir.flags, claim, given, recipe)


def write_flags(path: Path, claim: str, given: dict[str, Any], recipe: Recipe, further: dict[str, Any] | None = None):
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
    flags = [recipes.flag(name, value) for name, value in named.items() if value is not None] + recipe.to_flags()
    rundirs.write_text(path, "\n".join([claim, *flags]) + "\n")


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
    if combining.kept_ensemble(playbook) is not None:
        save(combining.ensemble_model(trainer, playbook, states), run_dir.ensemble)
    if combining.kept_views(playbook) is not None:
        save(combining.tta_model(trainer, playbook, states, alone), run_dir.tta)
    if combining.CALIBRATED in figures:
        temperature = figures["handed over"]["temperature"]
        save(combining.calibrated_model(trainer, playbook, states, alone, temperature), run_dir.calibrated)


def raw_model(trainer: Trainer, recipe: Recipe, state: State) -> keras.Model:
    """The model of a recipe with these weights, raw inputs in and the user's units out; needs no kerastune."""
    model, task = trainer.finished_model(recipe, state), trainer.task
    if task.attach is None:
        return model
    loss, metrics = model.loss, [] if task.kind == "regression" else [_accuracy(model, trainer.task)]
    settings = optimizers.kept_settings(model)
    model = task.attach(model)
    model.compile(optimizers.stock(recipe, **settings), loss=loss, metrics=metrics)
    model.optimizer.build(model.trainable_variables)
    return model


def _accuracy(model: keras.Model, task: Task):
    if model.output_shape[-1] > 1:
        return "accuracy"
    logits = evaluate.gives_logits(model, sample(task.validation.x))
    return keras.metrics.BinaryAccuracy("accuracy", threshold=0.0 if logits else 0.5)


def save(model: keras.Model, path: Path) -> None:
    """Saves a model as one `.keras` file, which is there whole or not at all."""
    model.save(rundirs.unsaved(path))
    os.replace(rundirs.unsaved(path), path)


def _parts(task: Task) -> dict[str, Part]:
    """What was held out, by name."""
    return {"validation": task.validation} | ({"test": task.test} if task.test is not None else {})


def _figures(trainer: Trainer, recipe: Recipe, state: State, parts: dict[str, Part]):
    """Figures on every part, the score of every test example (`None` without a test part), and the outputs."""
    task = trainer.task
    model = trainer.finished_model(recipe, state)
    logits = evaluate.gives_logits(model, sample(task.validation.x))
    found, by_example, kept = {}, {}, {}
    for name, part in parts.items():
        outputs = evaluate.predict(model, part.x)
        kept[name] = in_users_units(task, outputs, logits)
        by_example[name] = evaluate.example_scores(model, task, part, outputs, trainer.objective)
        found[name] = evaluate.figures(task, part, outputs, logits)
    return found, by_example.get("test"), kept


def in_users_units(task: Task, outputs: np.ndarray, logits: bool) -> np.ndarray:
    """Probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units, of what a model gave."""
    if task.kind == "classification":
        return diagnostics.probabilities(outputs, logits).astype(np.float32)
    return outputs.reshape(len(outputs), -1).astype(np.float64) * task.target_scale + task.target_mean


def _cost(playbook: Playbook, stage: str) -> dict[str, float]:
    of_stage = [outcome for outcome in playbook.outcomes.values() if outcome.spec.stage == stage]
    return {"steps": sum(o.steps for o in of_stage), "seconds": round(sum(o.seconds for o in of_stage), 2)}
