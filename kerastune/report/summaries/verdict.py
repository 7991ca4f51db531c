"""What a search came to, in one sentence, and the figures behind it in another."""

from __future__ import annotations

import dataclasses
from typing import Any

from kerastune.analysis import error_analysis
from kerastune.playbook import wording
from kerastune.recipe import Recipe
from kerastune.report import metric_names
from kerastune.report.predictions import Predictions
from kerastune.runtime.number_format import figure, number

BETTER, SAME, WORSE, UNTUNED, RUNNING = "better", "same", "worse", "untuned", "running"
TOGETHER = ("ensemble", "tta")  # what is made of several models or views
DEFAULTS = "Keras's defaults"  # the baseline, as people know it: Adam, 0.001, batches of 32


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a search came to.

    Args:
        words: one sentence.
        tone: one of `BETTER`, `SAME`, `WORSE`, `UNTUNED`, `RUNNING`.
    """

    words: str
    tone: str


def of(result: dict[str, Any]) -> Verdict:
    """The verdict of the figures of `result.json`; empty figures are those of a running search.

    Example:
        >>> gain = {"mean": 0.026, "low": 0.019, "high": 0.032}
        >>> figures = {"validation": {"accuracy": 0.9}, "test": {"accuracy": 0.9}}
        >>> of({"final": figures, "gain": gain, "scored_by": "accuracy", "trial": "train"}).words
        "+2.6 points of accuracy over Keras's defaults (95 % CI +1.9 to +3.2)."
    """
    if not result:
        return Verdict("The search is not finished.", RUNNING)
    if "final" not in result:
        return Verdict("No model: no training was completed.", UNTUNED)
    if words := result.get("not_tuned"):
        return Verdict(words, UNTUNED)
    if result.get("trial") == "baseline" and shown_model(result) == "final":
        return Verdict(f"No better than {DEFAULTS}, so those are returned.", SAME)
    if "gain" not in result:
        if "baseline" in result:
            words = "Trained; there is no test part, so only validation tells how good it is."
            return Verdict(words, SAME)
        return Verdict("Trained; there is no baseline to compare with.", SAME)
    gain, measure = result["gain"], result["scored_by"]
    mean = wording.gained(gain["mean"], measure)
    ends = f"95 % CI {wording.interval(gain['low'], gain['high'], measure)}"
    if gain["low"] > 0:
        return Verdict(f"{mean} over {DEFAULTS} ({ends}).", BETTER)
    if gain["high"] < 0:
        return Verdict(f"Worse than {DEFAULTS} on test: {mean} ({ends}).", WORSE)
    return Verdict(f"No significant gain over {DEFAULTS}: {mean} ({ends}).", SAME)


def figures(result: dict[str, Any], kept: Predictions | None) -> str:
    """The figure of the model to use with its interval, beside the baseline's; empty without one.

    Args:
        result: the figures of `result.json`.
        kept: what the models gave; without it there is no interval.

    Example:
        >>> figures({"final": {"test": {"accuracy": 0.9}}, "scored_by": "accuracy"}, None)
        'Test accuracy 0.9000.'
        >>> figures({"final": {"test": {"mae": 25844.87}}, "scored_by": "mae"}, None)
        'Test MAE 25,845.'
    """
    if "final" not in result:
        return ""
    part = "test" if "test" in result["final"] else "validation"
    name, model = shown_metric(result), shown_model(result)
    told = [f"{part.capitalize()} {metric_names.called(name)} {figure(result[model][part][name])}"]
    if (ends := interval(result, kept)) is not None:
        told.append(f" (95 % CI {number(ends[0])} to {number(ends[1])})")
    defaults = result.get("baseline", {}).get(part, {}).get(name)
    if result.get("trial") == "baseline" and model == "final":
        told.append(f" with {DEFAULTS}{', which are returned' * bool(result.get('not_tuned'))}")
    elif defaults is not None:
        told.append(f"; {DEFAULTS} {figure(defaults)}")
    return f"{''.join(told)}."


def shown_model(result: dict[str, Any]) -> str:
    """The model that a search is judged by: several together where those are handed out and are
    judged on a test part, else the final one.

    Example:
        >>> several = {"test": {"accuracy": 0.92}}
        >>> final = {"final": {"test": {"accuracy": 0.9}}}
        >>> shown_model({**final, "ensemble": several, "exported": {"model": "ensemble"}})
        'ensemble'
        >>> shown_model(final)
        'final'
    """
    name = result.get("exported", {}).get("model")
    together = result.get(name, {}) if name in TOGETHER else {}
    return name if shown_metric(result) in together.get("test", {}) else "final"


def shown_metric(result: dict[str, Any]) -> str:
    """The figure of merit that stands for a model: what it was chosen by, where it has that.

    The area under the ROC curve is the exact one, not Keras's from 200 thresholds.
    """
    names = list(next(iter(result["final"].values())))
    measure = result.get("scored_by", "").replace("-", "_").replace(" ", "_").lower()
    chosen = (result.get("objective"), measure)
    wanted = (*(chosen[::-1] if measure == "roc_auc" else chosen), names[0])
    return next(name for name in wanted if name in names)


def interval(result: dict[str, Any], kept: Predictions | None) -> tuple[float, float] | None:
    """The ends of the 95 % interval of `shown_model`; `None` where its outputs are not kept."""
    model = shown_model(result)
    if kept is None or kept.part not in kept.outputs.get(model, {}):
        return None
    named = {
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "roc_auc": "ROC AUC",
        "mae": "mean absolute error",
    }
    measure = named.get(shown_metric(result))
    if measure is None:
        return None
    outputs, true = kept.outputs[model][kept.part], kept.true[kept.part]
    _, low, high = error_analysis.with_interval(outputs, true, measure)
    return low, high


def recipe_in_words(recipe: Recipe) -> str:
    """The chosen recipe as a sentence.

    Example:
        >>> recipe_in_words(Recipe(learning_rate=0.03, momentum=0.0, total_steps=1500))
        'SGD, learning rate 0.03 with linear decay, batches of 64, 1,500 steps.'
    """
    told = [_optimizer(recipe), f"learning rate {recipe.learning_rate:.3g}{_decay(recipe)}"]
    told += [f"batches of {recipe.batch_size}", f"{recipe.total_steps:,} steps"]
    if recipe.warmup_steps:
        told.append(f"warmup of {recipe.warmup_steps:,} steps")
    if recipe.beta_2 is not None:
        told.append(f"beta_2 {recipe.beta_2:g}")
    if recipe.ema:
        told.append(f"moving average of weights {recipe.ema:g}")
    if recipe.dropout is not None:
        told.append(f"dropout {recipe.dropout:g}")
    if recipe.weight_decay:
        told.append(f"weight decay {recipe.weight_decay:.2g}")
    if recipe.label_smoothing:
        told.append(f"label smoothing {recipe.label_smoothing:g}")
    if recipe.augmentation:
        told.append(f"augmentation {recipe.augmentation:g}")
    told += ["horizontal flips"] * recipe.flip
    told += ["class weights"] * (recipe.class_weights != "none")
    told += [f"{recipe.frozen} frozen layers"] * bool(recipe.frozen)
    return ", ".join(told) + "."


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer != "sgd":
        return recipe.optimizer.capitalize()
    if not recipe.momentum:
        return "SGD"
    return f"SGD with {'Nesterov ' * recipe.nesterov}momentum {recipe.momentum:g}"


def _decay(recipe: Recipe) -> str:
    if recipe.decay == "none":
        return ""
    late = f" from step {recipe.decay_start:,}" if recipe.decay_start else ""
    return f" with {recipe.decay} decay{late}"
