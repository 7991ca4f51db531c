"""What a stage compared, against what it chose: one row for every setting that it tried."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerastune.analysis import curves
from kerastune.analysis.comparison import Comparison, Z
from kerastune.objective import Objective
from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

# Values that follow from others, and are named only where nothing else differs.
FOLLOWS = ("total_steps", "decay_start", "decay_interval", "initializers", "seed")
CHOSEN = "against what was chosen"


@dataclasses.dataclass(frozen=True)
class Alternative:
    """One setting that was tried.

    Args:
        words: what people call it.
        recipe: that it was trained with; `None` where there is no training of its own.
        is_chosen: whether it was kept.
        steps: that it was trained for.
        loss: smoothed training loss after as many steps as all had; `None` without.
        value: best validation value that chooses; `None` without.
        gain: over what the table compares with, on validation; `None` where nobody measured.
        note: what else happened: `"diverged at step 7"`.
    """

    words: str
    recipe: Recipe | None = None
    is_chosen: bool = False
    steps: int = 0
    loss: float | None = None
    value: float | None = None
    gain: Comparison | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Compared:
    """What a stage compared.

    Args:
        reference: what gains are over, in words.
        rows: a row for each setting, the chosen first.
        common: steps after which losses are compared; 0 where none are.
    """

    reference: str = CHOSEN
    rows: tuple[Alternative, ...] = ()
    common: int = 0

    @property
    def others(self) -> tuple[Alternative, ...]:
        """Those that were not chosen, the closest first."""
        left = [each for each in self.rows if not each.is_chosen]
        return tuple(sorted(left, key=_far_behind))


def of_decision(
    decision: Decision, outcomes: Mapping[str, Outcome], objective: Objective
) -> Compared:
    """What a decision compared.

    Args:
        decision: of the stage.
        outcomes: of all trials by name.
        objective: the validation value that chooses.
    """
    values = decision.values
    if getattr(values, "gains", ()):
        rows = [_tried(each, outcomes, objective) for each in values.gains]
        return _ordered("over the best before it", rows)
    if getattr(values, "added", None):
        kept = set(values.views) if values.kept else set()
        rows = [Alternative(name, None, name in kept, gain=g) for name, g in values.added.items()]
        return _ordered("averaged with the example, over the example alone", rows)
    points = getattr(values, "grid", ()) or getattr(values, "curve", ())
    if points:
        rows = [_point(each, values) for each in points]
        return _ordered("over the model without", [each for each in rows if each.gain])
    is_of_several = len(decision.evidence) > 1
    if hasattr(values, "loss_gain") and values.gain is not None and is_of_several:
        row = Alternative("the ensemble", None, values.kept, gain=values.gain)
        return Compared("over the single model", (row,))
    return _trainings(decision, outcomes, objective)


def differing(recipes: Sequence[Recipe]) -> list[str]:
    """Names of the values in which recipes differ, as `"dropout"` or `"hyperparameters"`.

    Those that follow from others only where there are no others.

    Example:
        >>> differing([Recipe(batch_size=32), Recipe(batch_size=64, total_steps=500)])
        ['batch_size']
        >>> differing([Recipe(), Recipe(total_steps=500)])
        ['total_steps']
    """
    plain = [recipe.to_dict() for recipe in recipes]
    first = plain[0] if plain else {}
    found = [name for name in first if any(each[name] != first[name] for each in plain)]
    return [name for name in found if name not in FOLLOWS] or found


def setting(recipe: Recipe, names: Sequence[str]) -> str:
    """Some values of a recipe in words.

    Example:
        >>> setting(Recipe(learning_rate=0.03, nesterov=False), ["learning_rate", "nesterov"])
        'learning rate 0.03, no nesterov'
    """
    return ", ".join(_value(name, getattr(recipe, name)) for name in names)


def _value(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if name == "optimizer":
        return value.upper() if value == "sgd" else value.capitalize()
    if name == "decay" and value != "none":
        return f"{value} decay"
    if name == "hyperparameters":
        return ", ".join(f"{key} {each}" for key, each in value.items())
    if isinstance(value, bool):
        return words if value else f"no {words}"
    if value is None or value == "none":
        return f"no {words}"
    return f"{words} {value:,.4g}" if isinstance(value, (int, float)) else f"{words} {value}"


def _trainings(
    decision: Decision, outcomes: Mapping[str, Outcome], objective: Objective
) -> Compared:
    trials = {name: outcomes[name] for name in decision.evidence if name in outcomes}
    sound = [each for each in trials.values() if each.diverged_at is None and each.steps]
    if len(trials) < 2 or not sound:
        return Compared()
    names = differing([each.spec.recipe for each in trials.values()])
    chosen = chosen_trial(decision, trials)
    common = min(each.steps for each in sound)
    found: dict[str, Alternative] = {}
    for name, words in _named(trials, names).items():
        row = _training(words, trials[name], trials.get(chosen), common, objective)
        row = dataclasses.replace(row, is_chosen=name == chosen)
        if words not in found or row.is_chosen:
            found[words] = row
    return _ordered(CHOSEN, list(found.values()), common)


def _named(trials: Mapping[str, Outcome], names: Sequence[str]) -> dict[str, str]:
    """What trials are called: what differs, and of those that are alike how long they trained."""
    found = {name: setting(each.spec.recipe, names) or name for name, each in trials.items()}
    lengths = collections.defaultdict(set)
    for name, words in found.items():
        lengths[words].add(trials[name].steps)
    return {
        name: f"{words}, {trials[name].steps:,} steps" if len(lengths[words]) > 1 else words
        for name, words in found.items()
    }


def chosen_trial(decision: Decision, trials: Mapping[str, Outcome]) -> str | None:
    """The trial that a stage chose, by its name or by its recipe; `None` where there is none."""
    named = decision.highlighted
    by_name = (name for name in trials if name in (named, f"{decision.stage}-{named}"))
    if (found := next(by_name, None)) is not None:
        return found
    names = differing([outcome.spec.recipe for outcome in trials.values()])
    wanted = [getattr(decision.after, name) for name in names]
    for name, outcome in trials.items():
        if names and [getattr(outcome.spec.recipe, each) for each in names] == wanted:
            return name
    return None


def _training(
    words: str, outcome: Outcome, chosen: Outcome | None, common: int, objective: Objective
) -> Alternative:
    recipe, note = outcome.spec.recipe, ""
    if outcome.error:
        note = "failed"
    elif outcome.diverged_at is not None:
        note = f"diverged at step {outcome.diverged_at:,}"
    loss = None if note else float(curves.smoothed(outcome.losses[:common])[-1])
    gain = None if chosen is None or chosen is outcome else _difference(outcome, chosen)
    return Alternative(
        words, recipe, False, outcome.steps, loss, _best(outcome, objective), gain, note
    )


def _difference(outcome: Outcome, chosen: Outcome) -> Comparison | None:
    scores, others = outcome.example_scores, chosen.example_scores
    if scores is None or others is None or len(scores) != len(others) or len(scores) < 2:
        return None
    gains = np.asarray(scores, np.float64) - others
    mean, half = float(gains.mean()), float(Z * gains.std(ddof=1) / np.sqrt(len(gains)))
    return Comparison(mean, mean - half, mean + half)


def _tried(each: Any, outcomes: Mapping[str, Outcome], objective: Objective) -> Alternative:
    outcome = outcomes.get(each.trial)
    if outcome is None:
        return Alternative(each.words, None, each.is_kept, gain=each.gain)
    value = _best(outcome, objective)
    recipe = outcome.spec.recipe
    return Alternative(each.words, recipe, each.is_kept, outcome.steps, value=value, gain=each.gain)


def _point(each: Any, values: Any) -> Alternative:
    if hasattr(each, "sparsity"):
        words = f"{100 * each.sparsity:g} % zeros"
        return Alternative(words, None, each.trial == values.trial, gain=each.gain)
    words = f"temperature {each.temperature:g}, mix {each.mix:g}"
    return Alternative(words, None, False, gain=each.gain)


def _best(outcome: Outcome, objective: Objective) -> float | None:
    values = [each[objective.name] for each in outcome.evals if objective.name in each]
    finite = [value for value in values if np.isfinite(value)]
    return max(finite, key=objective.gain) if finite else None


def _ordered(reference: str, rows: list[Alternative], common: int = 0) -> Compared:
    rows = sorted(rows, key=lambda each: (not each.is_chosen, _far_behind(each)))
    return Compared(reference, tuple(rows), common)


def _far_behind(each: Alternative) -> tuple[bool, float, float]:
    gain = 0.0 if each.gain is None else -each.gain.gain
    return bool(each.note), gain, np.inf if each.loss is None else each.loss
