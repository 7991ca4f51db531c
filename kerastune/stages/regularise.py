"""Stage 4: what keeps a network from learning its examples by heart (S4.1, P6), one thing after another.

Only where the curves show overfitting. Each is tried at a few strengths on top of what was kept before, in whole
trainings that are compared paired at their end; only a gain beyond noise is kept. The rate is checked at the end, since
what regularises moves the best one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune import schedules
from kerastune.recipe import Recipe
from kerastune.stages import whole
from kerastune.stages.base import Decision, Facts, Stage, evaluation_interval, rounded_up, spent
from kerastune.stages.decay import Decay
from kerastune.trial import Outcome, TrialSpec

SHRINKS = (0.3, 1.0, 3.0, 10.0)  # exponents by which a weight that no gradient holds would shrink over the training
STRENGTHS = (0.05, 0.15)  # of augmentation
RATES = (0.5, 2.0)  # times the rate, once something was kept
OVERFITTING = 0.05  # of the least validation loss
BASE = "regularise-base"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that is tried: its name in words, and its settings by trial name."""

    words: str
    settings: dict[str, Recipe]


@dataclasses.dataclass
class Walk:
    """How far the stage came: the best training so far, what was found, and the segments that are due."""

    best: Outcome | None = None
    parts: list[str] = dataclasses.field(default_factory=list)
    due: list[TrialSpec] = dataclasses.field(default_factory=list)
    seen: list[str] = dataclasses.field(default_factory=list)


class Regularise(Stage):
    """Tunes weight decay and augmentation where the network overfits.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        stretch: times the recipe's steps that a training takes; 1 when they were stretched already.
    """

    name = "regularise"
    share = 0.5
    least_steps = 1000
    least_seconds = 3.0

    def __init__(self, chunk: int, stretch: int = 1):
        self._chunk = chunk
        self._stretch = stretch

    def propose(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> list[TrialSpec]:
        return self._walk(recipe, facts, outcomes).due

    def decide(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Decision:
        walk = self._walk(recipe, facts, outcomes)
        after = recipe if walk.best is None else walk.best.spec.recipe
        values = {
            "trial": walk.best.spec.trial if walk.best else None,
            "weight_decay": after.weight_decay,
            "augmentation": after.augmentation,
            "steps_spent": spent(outcomes, self.name),
        }
        reason = "; ".join(walk.parts) + "."
        return Decision(self.name, recipe, after, reason[0].upper() + reason[1:], tuple(walk.seen), values)

    def _walk(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Walk:
        walk = Walk()
        base = self._base(recipe, facts)
        known = [o for o in outcomes.values() if _trained_before(o, base, facts)]
        outcomes = outcomes | {BASE: known[0]} if known else outcomes
        self._train(walk, {BASE: base}, facts, outcomes)
        if walk.due or not whole.is_comparable(outcomes.get(BASE)):
            walk.parts = ["nothing is regularised: no whole training could be had to look for overfitting"]
            return walk
        walk.best = outcomes[BASE]
        found, is_overfitting = overfitting(walk.best, facts)
        walk.parts.append(found)
        for step in (_weight_decay, _augmentation, _rates) if is_overfitting else ():
            self._try(walk, step(walk.best, outcomes[BASE]), facts, outcomes)
            if walk.due:
                break
        return walk

    def _base(self, recipe: Recipe, facts: Facts) -> Recipe:
        wanted = rounded_up(self._stretch * recipe.total_steps, self._chunk)
        total = rounded_up(wanted, self._interval(wanted, recipe, facts))
        return whole.lengthened(recipe.replace(regularisers="on"), total)

    def _interval(self, total: int, recipe: Recipe, facts: Facts) -> int:
        return evaluation_interval(facts.num_validation, recipe.batch_size, self._chunk, most=total)

    def _train(self, walk: Walk, settings: dict[str, Recipe], facts: Facts, outcomes: dict[str, Outcome]) -> bool:
        """Adds what is due of some trainings; gives whether they are affordable: those that were begun always are."""
        walk.seen += [outcomes[name].spec.trial for name in settings if name in outcomes]
        open_ones = {n: s for n, s in settings.items() if n not in outcomes or not whole.has_ended(outcomes[n])}
        cost = sum(setting.total_steps for name, setting in open_ones.items() if name not in outcomes)
        if spent(outcomes, self.name) + cost > facts.allowance:
            return False
        for name, setting in open_ones.items():
            every = self._interval(setting.total_steps, setting, facts)
            walk.due.append(whole.segment(name, self.name, setting, outcomes.get(name), every))
        return True

    def _try(self, walk: Walk, step: Step | None, facts: Facts, outcomes: dict[str, Outcome]) -> None:
        """Trains the strengths of one thing, and keeps the best of them if it gains beyond noise."""
        if step is None:
            return
        if not self._train(walk, step.settings, facts, outcomes):
            walk.parts.append(f"{step.words} was left out, the budget of the stage being {facts.allowance} steps")
            return
        sound = [outcomes[name] for name in step.settings if whole.is_comparable(outcomes.get(name))]
        if walk.due or not sound:
            walk.parts.append(f"{step.words} could not be trained to an end")
            return
        best = max(sound, key=lambda outcome: float(outcome.example_scores.mean()))
        gain, sign = whole.compare(best, walk.best, facts)
        setting = best.spec.recipe
        values = {"weight decay": setting.weight_decay, "augmentation": setting.augmentation}
        value = values.get(step.words, setting.learning_rate)
        kept = "is kept" if sign > 0 else "is left out"
        walk.parts.append(f"{step.words} {value:.2g}, the best of {len(step.settings)}: {gain}, so it {kept}")
        walk.best = best if sign > 0 else walk.best


def overfitting(run: Outcome, facts: Facts) -> tuple[str, bool]:
    """What a whole training shows of overfitting, in words, and whether it does (`PLAYBOOK`: overfitting).

    Either validation loss ends more than 5 % above its least, or the metric is better on training than on validation
    examples by more than the 95 % interval of the latter.
    """
    losses = np.array([values["loss"] for values in run.evals])
    rise = float(losses[-1] / np.nanmin(losses) - 1)
    rises = f"validation loss ends {100 * rise:.2g} % above its least"
    gap, noise = _gap(run, facts)
    gaps = f"training is {100 * gap:.2g} points better than validation, noise being {100 * noise:.2g}"
    is_overfitting = rise > OVERFITTING or gap > noise
    return f"{rises} and {gaps}: {'it overfits' if is_overfitting else 'no overfitting, so nothing is added'}", bool(
        is_overfitting
    )


def _gap(run: Outcome, facts: Facts) -> tuple[float, float]:
    """By how much the end of the training is better than validation, in the metric or loss, and the noise of that."""
    name, sign = ("accuracy", 1) if "accuracy" in run.curves and "accuracy" in run.evals[-1] else ("loss", -1)
    training = float(np.mean(run.curves[name][-max(run.steps // 10, 1) :]))
    validation = run.evals[-1][name]
    spread = np.sqrt(validation * (1 - validation)) if name == "accuracy" else float(np.std(run.example_scores))
    return sign * (training - validation), float(1.96 * spread / np.sqrt(facts.num_validation))


def _trained_before(outcome: Outcome, base: Recipe, facts: Facts) -> bool:
    """Whether stage `decay` has trained this very recipe."""
    same_network = outcome.spec.recipe.regularisers == "on" or not facts.regularised
    same = outcome.spec.recipe.replace(regularisers="on") == base
    return outcome.spec.stage == Decay.name and same and same_network and whole.is_comparable(outcome)


def _weight_decay(best: Outcome, base: Outcome) -> Step:
    recipe = best.spec.recipe
    moved = float(np.sum(_rates_of_all_steps(recipe)))
    settings = {f"regularise-decay-{s:g}": recipe.replace(weight_decay=float(f"{s / moved:.2g}")) for s in SHRINKS}
    return Step("weight decay", settings)


def _augmentation(best: Outcome, base: Outcome) -> Step:
    recipe = best.spec.recipe
    return Step("augmentation", {f"regularise-augment-{s:g}": recipe.replace(augmentation=s) for s in STRENGTHS})


def _rates(best: Outcome, base: Outcome) -> Step | None:
    if best is base:
        return None
    recipe = best.spec.recipe
    settings = {f"regularise-rate-x{f:g}": recipe.replace(learning_rate=f * recipe.learning_rate) for f in RATES}
    return Step("a rate of", settings)


def _rates_of_all_steps(recipe: Recipe) -> np.ndarray:
    table = schedules.rates(recipe)
    return np.full(recipe.total_steps, table[0]) if len(table) == 1 else table
