"""How good the models are that a search makes besides its single model, and what each gains."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import calibration, comparison, ensemble_selection
from kerastune.analysis.comparison import Comparison
from kerastune.models import scoring
from kerastune.playbook.ensemble_values import ValidationFigures
from kerastune.playbook.stages.baseline import TRIAL as BASELINE
from kerastune.playbook.stages.distill import Distill
from kerastune.playbook.stages.prune import Prune
from kerastune.problem import OTHER, Part
from kerastune.tuner.final_models import CALIBRATED, FinalModels
from kerastune.tuner.refit import REFIT

FINAL = "final"  # the single model's name among the figures
EXPORTED = "exported"
# Stages that put another model in the place of the trained one: what that was called, and the gain.
REPLACING = ((Prune.name, "unpruned", "pruning"), (Distill.name, "alone", "teaching"))


@dataclasses.dataclass
class Found:
    """What was found about models, by their names.

    Args:
        figures: as `result.json` has them.
        outputs: predictions of the test part, as `FinalModels.predictions` has them; of no model
            without a test part.
    """

    figures: dict[str, Any] = dataclasses.field(default_factory=dict)
    outputs: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __or__(self, other: Found) -> Found:
        return Found(self.figures | other.figures, self.outputs | other.outputs)


def of_combined(models: FinalModels) -> Found:
    """Figures of everything that was made of the single model, or of several; needs a chosen trial.

    Returns:
        `"ensemble"`, `"tta"` and `"calibrated"`, each with figures on `"validation"` and `"test"`,
        and the models that were pruned or taught, as they were before. What is not kept is left
        out. `"gain"` is that of several models or views that are exported over the baseline, in the
        place of the final model's. A gain (`"gain_of_ensemble"` and so on) holds the mean paired
        difference on the test part and the ends of its 95 % interval. `"exported"` tells of the
        model that is exported: its name under `"model"`, its `"temperature"`, by how much that
        lowers the log-likelihood loss as `"gain"`, and figures of calibration `"before"` and
        `"after"` it, on validation, cross-fitted.
    """
    found = _of_ensemble(models) | _of_views(models) | _of_exported(models)
    for stage, before, gain in REPLACING:
        found |= _of_replaced(models, stage, before, gain)
    test = models.problem.test
    for name, outputs in found.outputs.items():
        figures = models.figures(test, outputs)
        found.figures[name] = {**found.figures[name], "test": figures}
    together = found.outputs.get(found.figures.get(EXPORTED, {}).get("model"))
    if together is not None and BASELINE in models.states:
        defaults = models.predictions(BASELINE, test.x)
        found.figures["gain"] = _gain(models, together, defaults)
    return found


def _of_ensemble(models: FinalModels) -> Found:
    if (chosen := models.ensemble) is None:
        return Found()
    found = Found({"ensemble": {"validation": chosen.validation.after}})
    if (test := models.problem.test) is not None:
        found.outputs["ensemble"] = models.ensemble_predictions(test.x)
        alone = models.predictions(chosen.trial, test.x)
        found.figures["gain_of_ensemble"] = _gain(models, found.outputs["ensemble"], alone)
    return found


def _of_views(models: FinalModels) -> Found:
    if (chosen := models.views) is None:
        return Found()
    found = Found({"tta": {"validation": chosen.validation.after}})
    if (test := models.problem.test) is not None:
        found.outputs["tta"], alone = models.tta_predictions(test.x)
        found.figures["gain_of_views"] = _gain(models, found.outputs["tta"], alone)
    return found


def _of_exported(models: FinalModels) -> Found:
    """Which model is exported; of a single one also whether it needs a temperature."""
    for name, chosen in (("tta", models.views), ("ensemble", models.ensemble)):
        if chosen is not None:
            told = _calibration(chosen.temperature, chosen.temperature_gain, chosen.validation)
            return Found({EXPORTED: {"model": name, **told}})
    problem, part = models.problem, models.problem.validation
    told = {"model": FINAL if models.single == models.chosen else REFIT}
    if problem.kind != "classification":
        return Found({EXPORTED: told})
    tried = ensemble_selection.calibrated(
        models.predictions(models.chosen, part.x), models.targets(part)
    )
    before, after = (models.figures(part, each) for each in (tried.before, tried.after))
    told |= _calibration(tried.value, tried.gain, ValidationFigures(before=before, after=after))
    if tried.value == 1:
        return Found({EXPORTED: told})
    found = Found({EXPORTED: told | {"model": CALIBRATED}, CALIBRATED: {"validation": after}})
    if problem.test is not None:
        alone = models.predictions(models.single, problem.test.x)
        found.outputs[CALIBRATED] = calibration.tempered(alone, tried.value)
    return found


def _calibration(
    temperature: float, gain: Comparison | None, validation: ValidationFigures
) -> dict[str, Any]:
    """A temperature and what it does; nothing for numbers and bags, which have none."""
    if gain is None or "ece" not in validation.after:
        return {}
    told = {"temperature": temperature, "gain": comparison.named(gain)}
    for when, figures in (("before", validation.before), ("after", validation.after)):
        told[when] = {name: figures[name] for name in ("nll", "ece", "brier")}
    return told


def _of_replaced(models: FinalModels, stage: str, before: str, gain: str) -> Found:
    """The model that a stage put another in the place of, and what that gains."""
    if (chosen := models.kept(stage)) is None:
        return Found()
    problem, trial = models.problem, getattr(chosen, before)

    def figures(part: Part) -> dict[str, float]:
        if problem.kind == OTHER:
            return scoring.measured(models.trial_model(trial), part)
        return models.figures(part, models.predictions(trial, part.x))

    found = Found({before: {"validation": figures(problem.validation)}})
    if (test := problem.test) is not None:
        found.figures[before]["test"] = figures(test)
        if problem.kind == OTHER:
            scores = [_scores(models, name, test) for name in (chosen.trial, trial)]
            told = comparison.named(comparison.difference(*scores))
        else:
            both = (models.predictions(name, test.x) for name in (chosen.trial, trial))
            told = _gain(models, *both)
        found.figures[f"gain_of_{gain}"] = told
    return found


def _scores(models: FinalModels, trial: str, part: Part) -> np.ndarray:
    """Scores of examples of a trial's model."""
    model, problem = models.trial_model(trial), models.problem
    return scoring.example_scores(model, problem, part, None, models.trainer.objective)


def _gain(models: FinalModels, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """By how much one is better than the other on the test part: mean and 95 % interval."""
    if models.problem.kind == OTHER:
        judge = models.judge(models.problem.test)
        return comparison.named(comparison.difference(-judge.losses(one), -judge.losses(other)))
    targets, measure = models.targets(models.problem.test), models.playbook.scored_by
    scores = [ensemble_selection.example_scores(each, targets, measure) for each in (one, other)]
    return comparison.named(comparison.difference(*scores))
