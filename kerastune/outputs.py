"""What a search leaves behind: figures of merit, recipe, decisions and the saved model."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import keras

from kerastune import evaluate, optimizers, rundirs, scores
from kerastune import recipe as recipes
from kerastune.playbook import Playbook
from kerastune.recipe import Recipe
from kerastune.rundirs import RunDir
from kerastune.stages import reference
from kerastune.task import Part, Task, joined
from kerastune.training import Trainer, sample
from kerastune.trial import Outcome, State, TrialSpec

REFIT = "refit"


def refit(trainer: Trainer, recipe: Recipe) -> tuple[Outcome, State, State | None]:
    """Trains the recipe once more on training and validation data together, for as many epochs.

    Its steps come on top of the budget.

    Returns:
        As `Trainer.run`; the last state is `None` when the training diverged.
    """
    task = trainer.task
    both = joined(task.train, task.validation)
    longer = recipe.replace(total_steps=round(recipe.total_steps * len(both) / len(task.train)))
    again = Trainer(dataclasses.replace(task, train=both), trainer.build, trainer.objective, trainer.callbacks)
    outcome, last, _ = again.run(TrialSpec(REFIT, REFIT, longer, 0, longer.total_steps))
    return outcome, last, last if outcome.diverged_at is None else None


def result(trainer: Trainer, playbook: Playbook, states: dict[str, State], chosen: str | None, seconds: float) -> dict:
    """Figures of the reference and of what was tuned; this is where the test part is touched, once.

    Returns:
        `{"reference": {"validation": {...}, "test": {...}}, "tuned": {...}, "stages": {name: {"steps", "seconds"}}}`
        and more.
        With a reference and a test part, `"gain"` holds the mean paired difference of their test scores and the ends
        of its 95 % interval.
    """
    found: dict[str, Any] = {}
    test_scores = {}
    for name, trial, state in (
        ("reference", reference.TRIAL, states.get(reference.TRIAL)),
        ("tuned", chosen, states.get(chosen)),
        (REFIT, REFIT, states.get(REFIT)),
    ):
        if state is not None:
            recipe = playbook.outcomes[trial].spec.recipe
            found[name], test_scores[name] = _figures(trainer, recipe, state)
    if {"reference", "tuned"} <= set(test_scores) and trainer.task.test is not None:
        mean, low, high = scores.difference(test_scores["tuned"], test_scores["reference"])
        found["gain"] = {"mean": mean, "low": low, "high": high}
    return {
        **found,
        "scored by": playbook.scored_by,
        "trial": chosen,
        "stages": {stage.name: _cost(playbook, stage.name) for stage in playbook.stages},
        "budget": str(playbook.budget),
        "seconds": seconds,
    }


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

    claim = f"# Found by kerastune; train it again with: kerastune train --flagfile={run_dir.flags.name}"
    if "data" not in given:
        claim += " --data=... --model=... (both were given in Python)"
    flags = [recipes.flag(name, value) for name, value in given.items() if value is not None] + recipe.to_flags()
    rundirs.write_text(run_dir.flags, "\n".join([claim, *flags]) + "\n")


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


def save_model(run_dir: RunDir, trainer: Trainer, recipe: Recipe, state: State) -> None:
    """Saves the raw model of a recipe with these weights as one `.keras` file."""
    temporary = run_dir.model.with_name(f".new-{run_dir.model.name}")
    raw_model(trainer, recipe, state).save(temporary)
    os.replace(temporary, run_dir.model)


def _figures(trainer: Trainer, recipe: Recipe, state: State):
    """Figures on validation and test, and the score of every test example (`None` without a test part)."""
    task = trainer.task
    model = trainer.finished_model(recipe, state)
    logits = evaluate.gives_logits(model, sample(task.validation.x))

    def of(part: Part):
        outputs = evaluate.predict(model, part.x)
        each = evaluate.example_scores(model, task, part, outputs, trainer.objective)
        return evaluate.figures(task, part, outputs, logits), each

    found = {"validation": of(task.validation)[0]}
    if task.test is None:
        return found, None
    found["test"], test_scores = of(task.test)
    return found, test_scores


def _cost(playbook: Playbook, stage: str) -> dict[str, float]:
    of_stage = [outcome for outcome in playbook.outcomes.values() if outcome.spec.stage == stage]
    return {"steps": sum(o.steps for o in of_stage), "seconds": round(sum(o.seconds for o in of_stage), 2)}
