"""Stage 4: what keeps a network from learning its examples by heart (S4.1, P6), one thing after another.

Only where the curves show overfitting. Augmentation, dropout, a flip, weight decay and label smoothing are tried on top
of what was kept before, each at a few strengths, in whole trainings that are compared paired at their end; only a gain
beyond noise is kept. What is kept may need more steps, and moves the best rate: both are tried at the end.
"""

from __future__ import annotations

import dataclasses

from kerastune import scores
from kerastune.recipe import Recipe
from kerastune.stages import strengths, whole
from kerastune.stages.base import Decision, Facts, Stage, evaluation_interval, spent
from kerastune.stages.decay import Decay
from kerastune.stages.finetune import FineTune
from kerastune.stages.overfitting import is_cut_short, overfitting
from kerastune.stages.strengths import Thing
from kerastune.stages.weights import Weights
from kerastune.trial import Outcome, TrialSpec

BASE = "regularise-base"
FAILED = float("-inf")
HANDED_ON = ("weight_decay", "dropout", "label_smoothing", "augmentation", "flip", "total_steps")


@dataclasses.dataclass
class Walk:
    """How far the stage came: the best training so far, what was found, and the segments that are due."""

    best: Outcome | None = None
    parts: list[str] = dataclasses.field(default_factory=list)
    due: list[TrialSpec] = dataclasses.field(default_factory=list)
    seen: list[str] = dataclasses.field(default_factory=list)
    gains: list[dict] = dataclasses.field(default_factory=list)


class Regularise(Stage):
    """Tunes what regularises, where the network overfits.

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
            **{name: getattr(after, name) for name in HANDED_ON},
            "gains": walk.gains,
            "scored_by": facts.scored_by,
            "steps_spent": spent(outcomes, self.name),
        }
        reason = "; ".join(walk.parts) + "."
        return Decision(self.name, recipe, after, reason[0].upper() + reason[1:], tuple(walk.seen), values)

    def _walk(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Walk:
        walk = Walk()
        base = whole.planned(recipe, facts, self._stretch, self._chunk)
        known = whole.trained_before((FineTune.name, Decay.name, Weights.name), base, facts, outcomes)
        outcomes = outcomes | {BASE: known} if known else outcomes
        self._train(walk, BASE, base, facts, outcomes)
        if walk.due or not whole.is_comparable(outcomes.get(BASE)):
            walk.parts = ["nothing is regularised: no whole training could be had to look for overfitting"]
            return walk
        walk.best = outcomes[BASE]
        found, is_overfitting = overfitting(walk.best, facts)
        walk.parts.append(found)
        for make in strengths.ORDER if is_overfitting else ():
            self._try(walk, make(walk.best.spec.recipe), facts, outcomes)
            if walk.due:
                return walk
        if walk.best is not outcomes[BASE]:
            for make in (self._longer, self._rates):
                if not walk.due:
                    make(walk, facts, outcomes)
        return walk

    def _interval(self, total: int, recipe: Recipe, facts: Facts) -> int:
        return evaluation_interval(facts.num_validation, recipe.batch_size, self._chunk, most=total)

    def _fits(self, recipe: Recipe, name: str, facts: Facts, outcomes: dict[str, Outcome]) -> bool:
        """Whether a training can be had: one that was begun always can."""
        return name in outcomes or spent(outcomes, self.name) + recipe.total_steps <= facts.allowance

    def _train(self, walk: Walk, name: str, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> bool:
        """Adds what is due of a training, and gives whether it can be had."""
        if not self._fits(recipe, name, facts, outcomes):
            return False
        walk.seen += [outcomes[name].spec.trial] if name in outcomes else []
        if name not in outcomes or not whole.has_ended(outcomes[name]):
            every = self._interval(recipe.total_steps, recipe, facts)
            walk.due.append(whole.segment(name, self.name, recipe, outcomes.get(name), every))
        return True

    def _try(self, walk: Walk, thing: Thing, facts: Facts, outcomes: dict[str, Outcome]) -> None:
        """Trains the levels of one thing as far as they lead uphill, and keeps the best if it gains beyond noise."""
        if thing.value in facts.unusable:
            walk.parts.append(f"{thing.words} was left out, since {facts.unusable[thing.value]}")
            return
        gains: list[float | None] = [0.0 if recipe is None else None for recipe in thing.recipes]
        is_cut = False
        while (level := strengths.uphill(gains, thing.first)) is not None:
            name, recipe = thing.names[level], thing.recipes[level]
            is_closed = name not in outcomes and strengths.is_passed(thing, outcomes)
            is_cut = is_closed or not self._train(walk, name, recipe, facts, outcomes)
            if is_cut or walk.due:
                break
            gains[level] = _gain(outcomes[name], walk.best)
        if not walk.due:
            self._judge(walk, thing, gains, is_cut, facts, outcomes)

    def _judge(self, walk: Walk, thing: Thing, gains: list, is_cut: bool, facts: Facts, outcomes: dict) -> None:
        tried = [level for level, gain in enumerate(gains) if gain is not None and thing.recipes[level] is not None]
        sound = [outcomes[thing.names[level]] for level in tried if gains[level] != FAILED]
        if not sound:
            left = f"was left out, the budget of the stage being {facts.allowance} steps"
            walk.parts.append(f"{thing.words} {'could not be trained to an end' if tried else left}")
            return
        walk.gains += [_gain_of(thing, outcome, walk.best) for outcome in sound]
        best = max(sound, key=lambda outcome: _gain(outcome, walk.best))
        gain, sign = whole.compare(best, walk.best, facts)
        among = f", the best of {len(tried)}" if len(tried) > 1 else ""
        more = " (the budget held no more of them)" if is_cut else ""
        kept = "is kept" if sign > 0 else "is left out"
        walk.parts.append(f"{thing.shown(best.spec.recipe)}{among}{more}: {gain}, so it {kept}")
        if sign > 0:
            walk.best = best
            walk.gains = [{**each, "kept": each["kept"] or each["trial"] == best.spec.trial} for each in walk.gains]

    def _longer(self, walk: Walk, facts: Facts, outcomes: dict[str, Outcome]) -> None:
        """Tries more steps where those that there were are not enough for what regularises."""
        if not is_cut_short(walk.best):
            walk.parts.append("its steps are enough: training loss no longer falls, or validation loss rises again")
            return
        recipe = walk.best.spec.recipe
        every = walk.best.spec.eval_every
        thing = strengths.total_steps(recipe, every, lambda longer, name: self._fits(longer, name, facts, outcomes))
        walk.parts.append("with what is kept, training loss still falls at the end")
        self._try(walk, thing, facts, outcomes)

    def _rates(self, walk: Walk, facts: Facts, outcomes: dict[str, Outcome]) -> None:
        self._try(walk, strengths.learning_rate(walk.best.spec.recipe), facts, outcomes)


def _gain(outcome: Outcome, before: Outcome) -> float:
    """Mean gain on the validation examples; minus infinity for a training that failed."""
    return float((outcome.example_scores - before.example_scores).mean()) if whole.is_comparable(outcome) else FAILED


def _gain_of(thing: Thing, outcome: Outcome, before: Outcome) -> dict:
    """What the picture shows of one training: plain values by name."""
    mean, low, high = scores.difference(outcome.example_scores, before.example_scores)
    words = thing.shown(outcome.spec.recipe)
    return {"trial": outcome.spec.trial, "words": words, "mean": mean, "low": low, "high": high, "kept": False}
