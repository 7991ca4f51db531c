"""The changes of `playbook/priors.json` as recipes of a search."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from kerastune.playbook.context import Context, rounded_up
from kerastune.playbook.rules import batch_grid, expected_gain, regularizers
from kerastune.playbook.stages.probe import suggestion
from kerastune.recipe import OPTIMIZERS, Recipe

STRONG = 0.01  # weight decay of SGD, at the learning rates that were recorded
RECORDED_BATCH = 64  # that changes of the batch size are recorded against
WORDS = {"rate": "learning rate x", "ema": "moving average of weights, momentum "}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A change of a recipe that was recorded on other tasks.

    Args:
        name: of the change.
        words: what people call it.
        recipe: with the change.
        cost: of its training, in trainings of the recipe without.
    """

    name: str
    words: str
    recipe: Recipe
    cost: float = 1.0

    @property
    def trial(self) -> str:
        """Name of its training."""
        return "recipes-" + re.sub("[^a-z0-9.]+", "-", self.name.lower()).strip("-")


def candidates(base: Recipe, context: Context, chunk: int) -> list[Candidate]:
    """The changes that a recipe may have here.

    Args:
        base: as it was trained without any.
        context: facts tell what has no effect; outcomes tell the learning rate of the other
            optimizer.
        chunk: of whose steps trainings are multiples.
    """
    found = []
    for name, changes in expected_gain.changes(context.facts.recorded_as(base)).items():
        recipe = changed(base, changes, context, chunk)
        if recipe is not None and recipe != base:
            examples = recipe.total_steps * recipe.batch_size
            cost = examples / (base.total_steps * base.batch_size)
            words = in_words({k: v for k, v in changes.items() if v != base.optimizer})
            found.append(Candidate(name, words, recipe, cost))
    return found


def changed(
    base: Recipe, changes: Mapping[str, Any], context: Context, chunk: int
) -> Recipe | None:
    """A recipe with changes as they were recorded; `None` where they have no meaning here.

    Args:
        base: the recipe.
        changes: values of a recipe; `rate` is a factor of the learning rate, `decay_start` and
            `warmup_steps` are fractions of the steps. With a `length` other than 1 there is none:
            how long a training is, is asked later.
        context: as in `candidates`.
        chunk: as in `candidates`.
    """
    values = {**changes}
    facts, factor = context.facts, values.pop("rate", 1.0)
    if values.pop("length", 1.0) != 1.0 or any(name in facts.unusable for name in values):
        return None
    if values.get("optimizer", base.optimizer) != base.optimizer:
        rate = values.get("learning_rate") or _other_rate(base, values["optimizer"], context)
        if base.optimizer != "sgd" or rate is None:
            return None
        values["learning_rate"] = rate
    values["learning_rate"] = factor * values.get("learning_rate", base.learning_rate)
    if "batch_size" in values:
        if facts.fixed_batch_size or base.batch_size != RECORDED_BATCH:
            return None
        steps = base.total_steps * base.batch_size / values["batch_size"]
        return base.over(rounded_up(steps, chunk)).replace(**values)
    if "weight_decay" in values and "optimizer" not in values and base.optimizer != "sgd":
        values["weight_decay"] = _of_adam(values["weight_decay"], base)
    for name in ("decay_start", "warmup_steps"):
        if name in values:
            values[name] = round(values[name] * base.total_steps)
    return base.replace(**values)


def _of_adam(weight_decay: float, base: Recipe) -> float:
    """The weight decay of Adam that shrinks an idle weight about as that of SGD was recorded to."""
    strengths = list(regularizers.weight_decays(base.replace(optimizer="adam")))
    return strengths[1] if weight_decay >= STRONG else strengths[0]


def _other_rate(base: Recipe, optimizer: str, context: Context) -> float | None:
    """The learning rate that the probe of stage `batch` found for the other optimizer."""
    if optimizer != batch_grid.other_optimizer(base).optimizer:
        return None
    starts = [
        outcome
        for name, outcome in context.outcomes.items()
        if name.startswith("batch-probe") and outcome.spec.recipe.optimizer == optimizer
    ]
    found = suggestion(starts) if starts else None
    return batch_grid.rounded(found) if found else None


def in_words(changes: Mapping[str, Any]) -> str:
    """Changes for people.

    Example:
        >>> in_words({"rate": 1 / 3, "label_smoothing": 0.1, "regularizers": "on"})
        'learning rate x0.333, label smoothing 0.1'
        >>> in_words({"optimizer": "adam", "flip": True, "decay": "none"})
        'Adam, a horizontal flip, no decay'
    """
    parts = [_in_words(name, value) for name, value in changes.items() if name != "regularizers"]
    return ", ".join(parts)


def _in_words(name: str, value: Any) -> str:
    if name == "optimizer":
        return OPTIMIZERS[value]
    if name == "flip":
        return "a horizontal flip"
    if name == "decay":
        return "no decay" if value == "none" else f"{value} decay"
    if name == "decay_start":
        return f"decay from {100 * value:g} % of the steps"
    if name == "warmup_steps":
        return f"warm-up over {100 * value:g} % of the steps"
    if not value:
        return "no " + name.replace("_", " ")
    words = WORDS.get(name, name.replace("_", " ") + " ")
    return f"{words}{value:.3g}"
