"""How good the models of a search are: the figures of `result.json`, and predictions to report."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerastune.analysis import calibration, comparison, error_analysis, rare_class
from kerastune.models import compiling, output_kind, scoring
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import baseline
from kerastune.problem import OTHER, Part, Problem, labels
from kerastune.report import examples
from kerastune.report.predictions import MOST_MISTAKES, Mistakes, Predictions
from kerastune.training.trainer import sample
from kerastune.tuner import final_figures
from kerastune.tuner.final_figures import EXPORTED, FINAL
from kerastune.tuner.final_models import CALIBRATED, FinalModels
from kerastune.tuner.refit import REFIT

BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class Single:
    """How good one trained model is.

    Args:
        figures: of merit by name, by part.
        test_scores: of every test example `[n]`; `None` without a test part.
        outputs: by part, as `in_users_units` has them.
    """

    figures: dict[str, dict[str, float]]
    test_scores: np.ndarray | None
    outputs: dict[str, np.ndarray]


def result(models: FinalModels, seconds: float) -> tuple[dict[str, Any], Predictions | None]:
    """Figures of all models of a search; this is where the test part is touched, once.

    Args:
        models: when every stage has decided.
        seconds: that the search took.

    Returns:
        What `result.json` holds, and what the models gave, for the report (`None` without a model).
        `"baseline"`, `"final"` (the single model) and, where there are, `"refit"` and what
        `final_figures.of_combined` names have figures by name under `"validation"` and `"test"`.
        `"gain"` holds the mean paired difference of the exported model's and the baseline's test
        scores, with the ends of its 95 % interval. `"seconds"` are all, `"stages"` the steps and
        seconds of each, and `"other_seconds"` what no stage has.
    """
    singles = _singles(models)
    figures: dict[str, Any] = {name: each.figures for name, each in singles.items()}
    outputs = {name: each.outputs for name, each in singles.items()}
    if {BASELINE, FINAL} <= set(singles) and models.problem.test is not None:
        scores = (singles[name].test_scores for name in (FINAL, BASELINE))
        figures["gain"] = comparison.named(comparison.difference(*scores))
    if models.chosen is not None:
        combined = final_figures.of_combined(models)
        figures |= combined.figures
        # A report shows no predictions of targets of kind "other".
        shown = {} if models.problem.kind == OTHER else combined.outputs
        for name, given in shown.items():
            unit = models.problem.target_std
            outputs[name] = {"test": in_users_units(models.problem, given * unit, False)}
    judged, given = _handed_out(models, figures, outputs)
    if rarer := _rare_class(models.problem, given):
        figures |= {"rare_class": rarer, "rare_class_model": judged}
    figures |= {
        "classes": list(models.problem.class_names),
        "scored_by": models.playbook.scored_by,
        "objective": models.playbook.objective.name,
        "trial": models.chosen,
        "budget": str(models.playbook.budget),
        **spent(models.playbook, seconds),
    }
    return figures, predictions(models.problem, outputs) if any(outputs.values()) else None


def _handed_out(
    models: FinalModels, figures: dict[str, Any], outputs: dict[str, dict[str, np.ndarray]]
) -> tuple[str, dict[str, np.ndarray]]:
    """Name and outputs by part of the exported classifier of two classes, which its threshold is
    of; of the single model in the place of a bag, whose members have seen the validation part.
    """
    told, single = figures.get(EXPORTED, {}), outputs.get(FINAL, {})
    name, validation = told.get("model"), models.problem.validation
    if models.problem.num_classes != 2 or name not in {*outputs, CALIBRATED}:
        return FINAL, single
    if name == CALIBRATED:
        temperature = told["temperature"]
        tempered = {part: calibration.tempered(each, temperature) for part, each in single.items()}
        return name, tempered
    if name in (FINAL, REFIT) or (models.ensemble is not None and models.ensemble.repeats):
        return FINAL, single
    if name == "tta":
        found, _ = models.tta_predictions(validation.x)
    else:
        found = models.ensemble_predictions(validation.x)
    return name, {"validation": found, **outputs[name]}


def _rare_class(problem: Problem, outputs: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How well a model finds the rarer of two classes, by part.

    The threshold of the validation part is also that of the test part.
    """
    found: dict[str, dict[str, float]] = {}
    for name, part in _parts(problem).items() if problem.num_classes == 2 else ():
        true = labels(part.y)
        if name in outputs and len(np.unique(true)) == 2:
            threshold = found.get("validation", {}).get("threshold")
            found[name] = rare_class.figures(true, outputs[name], threshold)
    return found


def _singles(models: FinalModels) -> dict[str, Single]:
    """The models of single trainings, where they kept weights and there is a part to judge by."""
    found = {}
    for name, trial in ((BASELINE, baseline.TRIAL), (FINAL, models.chosen), (REFIT, models.refit)):
        parts = _parts(models.problem)
        if name == REFIT:
            # What it says of the validation part, which it has learnt, tells nothing.
            del parts["validation"]
        if trial in models.states and parts:
            found[name] = _single(models, trial, parts)
    return found


def _single(models: FinalModels, trial: str, parts: dict[str, Part]) -> Single:
    problem = models.problem
    model = models.trainer.finished_model(models.recipe(trial), models.states[trial], False)
    if problem.kind == OTHER:
        return _single_of_any_targets(models, model, parts)
    logits = output_kind.gives_logits(model, sample(problem.validation.x))
    objective = models.trainer.objective
    figures, scores, kept = {}, {}, {}
    for name, part in parts.items():
        outputs = output_kind.predict(model, part.x)
        kept[name] = in_users_units(problem, outputs, logits)
        scores[name] = scoring.example_scores(model, problem, part, outputs, objective)
        figures[name] = scoring.figures(problem, part, outputs, logits)
    if objective.name not in ("loss", *next(iter(figures.values()))):
        for name, values in _objective(models, model, parts).items():
            figures[name] |= values
    return Single(figures, scores.get("test"), kept)


def _objective(
    models: FinalModels, model: keras.Model, parts: dict[str, Part]
) -> dict[str, dict[str, float]]:
    """The metric that chose, by part, where the model measures it or kerastune knows it."""
    name = models.trainer.objective.name
    compiling.compile_for(model, models.problem, "sgd", objective=name)
    measured = {part: scoring.measured(model, each) for part, each in parts.items()}
    return {
        part: {name: values[name]} if name in values else {} for part, values in measured.items()
    }


def _single_of_any_targets(
    models: FinalModels, model: keras.Model, parts: dict[str, Part]
) -> Single:
    """What a model measures itself; a report shows no predictions of such targets."""
    figures = {name: scoring.measured(model, part) for name, part in parts.items()}
    scores = None
    if "test" in parts:
        objective = models.trainer.objective
        scores = scoring.example_scores(model, models.problem, parts["test"], None, objective)
    return Single(figures, scores, {})


def spent(playbook: Playbook, seconds: float) -> dict[str, Any]:
    """Where the seconds of a search went, as `result` has it.

    Trials that run side by side may have more seconds together than the search took.
    """
    costs = {stage.name: {"steps": 0, "seconds": 0.0} for stage in playbook.stages}
    for outcome in playbook.outcomes.values():
        cost = costs.setdefault(outcome.spec.stage, {"steps": 0, "seconds": 0.0})
        cost["steps"] += outcome.steps
        cost["seconds"] += outcome.seconds
    trained = sum(cost["seconds"] for cost in costs.values())
    for cost in costs.values():
        cost["seconds"] = round(cost["seconds"], 2)
    other = round(max(seconds - trained, 0.0), 2)
    return {"seconds": seconds, "stages": costs, "other_seconds": other}


def predictions(problem: Problem, outputs: dict[str, dict[str, np.ndarray]]) -> Predictions:
    """What models gave, with the worst mistakes of the last one that is not a refit.

    Args:
        problem: whose parts these are.
        outputs: by model and part, probabilities `[n, classes]`, or numbers `[n, outputs]` in the
            user's units.
    """
    parts = _parts(problem)
    true = {name: _true(problem, part) for name, part in parts.items()}
    last = [name for name in outputs if name != REFIT][-1]
    kept = Predictions(tuple(map(str, problem.class_names)), true, outputs, last)
    found = error_analysis.worst(
        outputs[last][kept.part], true[kept.part], kept.is_classification, MOST_MISTAKES
    )
    x = parts[kept.part].take(found).x
    pictures = examples.pictures(x)
    columns, rows = (), np.zeros([0, 0], np.str_)
    if pictures is None:
        columns, rows = examples.rows(problem, x)
    return dataclasses.replace(kept, mistakes=Mistakes(kept.part, found, pictures, columns, rows))


def in_users_units(problem: Problem, outputs: np.ndarray, logits: bool) -> np.ndarray:
    """What a model gave, as a user reads it.

    Args:
        problem: that it was trained on.
        outputs: of the model `[n, outputs]`.
        logits: whether a classifier's outputs are logits.

    Returns:
        Probabilities `[n, classes]`, or numbers `[n, outputs]` in the user's units.
    """
    if problem.kind == "classification":
        return error_analysis.probabilities(outputs, logits).astype(np.float32)
    return _unscaled(problem, outputs)


def _true(problem: Problem, part: Part) -> np.ndarray:
    return labels(part.y) if problem.kind == "classification" else _unscaled(problem, part.y)


def _unscaled(problem: Problem, numbers: np.ndarray) -> np.ndarray:
    by_example = numbers.reshape(len(numbers), -1).astype(np.float64)
    return by_example * problem.target_scale + problem.target_mean


def _parts(problem: Problem) -> dict[str, Part]:
    """What was held out, by name."""
    found = {"validation": problem.validation}
    return found if problem.test is None else {**found, "test": problem.test}
