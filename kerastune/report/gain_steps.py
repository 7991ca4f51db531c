"""What each step from the final model to the exported one gained, with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.decision import Decision
from kerastune.playbook.ensemble_values import EnsembleValues
from kerastune.playbook.stages.ensemble import Ensemble
from kerastune.playbook.stages.tta import Tta, TtaValues

MODELS = {
    "final": "the final model",
    "refit": "the final model, trained again on training and validation data",
    "calibrated": "the calibrated final model",
    "ensemble": "the ensemble",
    "tta": "the model with test-time augmentation",
}
TOGETHER = {"ensemble": ("ensemble",), "tta": ("ensemble", "views")}  # what an exported model has
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "roc_auc": "ROC AUC",
    "nll": "NLL",
    "ece": "calibration error",
    "brier": "Brier score",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
}  # of merit, as people call them, in the order of a table


@dataclasses.dataclass(frozen=True)
class Rung:
    """A step on the way from the final model to the one that is exported.

    Args:
        name: of the step.
        is_kept: whether it is part of the exported model.
        gain: over the step before, in what models are compared by; `None` where it can't change
            that, as a temperature.
        loss_gain: the same as a fall of the log-likelihood loss, or of the squared error.
        figures: of merit with it, on validation; empty where it is left out.
    """

    name: str
    is_kept: bool = True
    gain: Comparison | None = None
    loss_gain: Comparison | None = None
    figures: dict[str, float] = dataclasses.field(default_factory=dict)


def rungs(decisions: Sequence[Decision], result: dict[str, Any]) -> list[Rung]:
    """The steps that were tried, in their order, the final model first.

    All gains are cross-fitted: members, weights and temperature are those that were found without
    the example.

    Args:
        decisions: of the stages.
        result: the figures of `result.json`; without them there are no steps.

    Example:
        >>> exported = {"model": "final", "temperature": 1.0}
        >>> exported["gain"] = {"mean": 0.0, "low": 0.0, "high": 0.0}
        >>> result = {"final": {"validation": {"accuracy": 0.9}}, "exported": exported}
        >>> [(rung.name, rung.is_kept) for rung in rungs([], result)]
        [('final model', True), ('+ temperature', False)]
    """
    exported = result.get("exported", {})
    if not exported or "final" not in result:
        return []
    made = {decision.stage: decision for decision in decisions}
    ensemble = made[Ensemble.name].values if Ensemble.name in made else EnsembleValues()
    views = made[Tta.name].values if Tta.name in made else TtaValues()
    found = [Rung("final model", figures=result["final"]["validation"])]
    if ensemble.gain is not None and len(made[Ensemble.name].evidence) > 1:
        found.append(_of_decision("+ ensemble", ensemble))
    if ensemble.kept and views.kept and "temperature" in exported:
        name, figures = "+ temperature", ensemble.validation.after
        found.append(
            _of_temperature(name, ensemble.temperature, ensemble.temperature_gain, figures)
        )
    if views.gain is not None:
        found.append(_of_decision("+ TTA", views))
    if "temperature" in exported:
        name = "+ temperature of TTA" if views.kept else "+ temperature"
        kept = result.get(exported["model"], {}).get("validation", {})
        gain = Comparison(*(exported["gain"][each] for each in ("mean", "low", "high")))
        found.append(_of_temperature(name, exported["temperature"], gain, kept))
    return found


def _of_decision(name: str, values: EnsembleValues | TtaValues) -> Rung:
    figures = values.validation.before if values.kept else {}
    return Rung(name, values.kept, values.gain, values.loss_gain, figures)


def _of_temperature(
    name: str, temperature: float, gain: Comparison, figures: dict[str, float]
) -> Rung:
    is_kept = temperature != 1
    return Rung(
        f"{name} {temperature:.3g}" if is_kept else name,
        is_kept,
        None,
        gain,
        figures if is_kept else {},
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Names of figures of merit, each once, as a table has them: those that are known first.

    Example:
        >>> in_order(["auc", "nll", "accuracy"])
        ['accuracy', 'nll', 'auc']
    """
    given = dict.fromkeys(names)
    return list(dict.fromkeys([*(name for name in FIGURES if name in given), *given]))


def how_compared(found: Sequence[Rung], decisions: Sequence[Decision]) -> str:
    """How the steps were compared, and why one is kept, in sentences.

    Args:
        found: the steps.
        decisions: of the stages.
    """
    first = "Each step is compared with the one before: paired differences on validation."
    last = "The last columns are metrics with the step."
    if any(getattr(each.values, "repeats", 0) for each in decisions):
        return (
            f"{first} Every example is judged by those members of the ensemble that left it out. "
            "The ensemble is kept for its expected gain, the other steps for significant gains. "
            f"{last}"
        )
    words = (
        f"{first} Members, weights and temperatures are cross-fitted (found on other examples). "
    )
    words += f"Only significant gains are kept. {last}"
    if {("+ ensemble", True), ("+ TTA", True)} <= {(rung.name, rung.is_kept) for rung in found}:
        words += " Test-time augmentation is compared on the ensemble that all validation examples "
        words += "chose."
    return words


def shown(found: Sequence[Rung]) -> list[tuple[str, str]]:
    """Which figures of merit a table of steps has, with what people call them."""
    names = {name for rung in found for name in rung.figures}
    return [(name, words) for name, words in FIGURES.items() if name in names]


def exported(result: dict[str, Any]) -> str:
    """Which model is exported, and its calibration, in a sentence; empty without a model.

    Example:
        >>> exported({"exported": {"model": "ensemble"}})
        'Model to use: the ensemble.'
    """
    exported = result.get("exported")
    if not exported:
        return ""
    told = f"Model to use: {MODELS[exported['model']]}"
    if "temperature" not in exported:
        return f"{told}."
    before, after = exported["before"]["ece"], exported["after"]["ece"]
    test = result.get(exported["model"], {}).get("test", {}).get("ece")
    on_test = "" if test is None else f"{test:.4f} on test, "
    if exported["temperature"] == 1:
        how = f"{after:.4f} on validation; no temperature lowers the NLL significantly"
    else:
        how = f"{after:.4f} on validation, cross-fitted ({before:.4f} before temperature "
        how += f"{exported['temperature']:.3g})"
    return f"{told}. Expected calibration error {on_test}{how}."


def further_gains(result: dict[str, Any]) -> list[str]:
    """What ensemble, views and pruning gained on the test part: a sentence each."""
    sentences = []
    for what, subject, other in (
        ("ensemble", "The ensemble", "the final model"),
        ("views", "The model with test-time augmentation", "the model without"),
        ("pruning", "The pruned model", "the unpruned model"),
        ("teaching", "The distilled model", "the same model without a teacher"),
    ):
        if (gain := result.get(f"gain_of_{what}")) is not None:
            is_more, by = _difference(gain, result["scored_by"])
            verdict = (
                f"is significantly {is_more} than {other}"
                if is_more
                else f"is not significantly different from {other}"
            )
            is_used = what in TOGETHER.get(result.get("exported", {}).get("model"), ())
            why = "; validation chose it" * (is_used and is_more != "better")
            sentences.append(f"{subject} {verdict} ({by}) on test{why}.")
    return sentences


def _difference(gain: dict[str, float], measure: str) -> tuple[str, str]:
    """`"better"`, `"worse"` or nothing, and the numbers."""
    is_beyond_noise = gain["low"] > 0 or gain["high"] < 0
    by = (
        f"{wording.gained(gain['mean'], measure)}, 95 % CI "
        f"{wording.interval(gain['low'], gain['high'], measure)}"
    )
    return ("better" if gain["mean"] > 0 else "worse") if is_beyond_noise else "", by
