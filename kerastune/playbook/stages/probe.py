"""The probe: a learning rate from the first updates of a few fresh starts (S1.7)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from kerastune.analysis import learning_rate_probe
from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.rules import unmoved
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import OPTIMIZERS, Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

TRIAL = "probe"
TRY_OUT = 50  # batches at the suggested rate
TIMED = 100  # batches that tell what a step takes: two calls, the first of which traces
SAFER = 3.0  # what a rate that diverges there is divided by


@dataclasses.dataclass(frozen=True)
class ProbeValues(Values):
    """What stage `probe` found.

    Args:
        learning_rate: that is suggested; `None` without any.
        update_ratio: median size of an update at the learning rate that was tried out, as a
            fraction of that of the weights; `None` where none was.
        diverged: whether the learning rate that was tried out diverged.
    """

    learning_rate: float | None = None
    update_ratio: float | None = None
    diverged: bool = False


class Probe(Stage):
    """Suggests a rate from a few single batches and tries it out for 50; it centers the grid, never
    replaces it. One that the user gave, or that the network's authors name, is where the
    stages after it begin; of the latter a few batches tell what a step takes, since no stage before
    the final training may train with them.

    Args:
        is_last: whether no stage comes after it: then the learning rate is what was asked for.
    """

    name = "probe"
    question = "About which learning rate?"
    share = 0.2
    values = ProbeValues
    suggests = True
    figure = "ratios"

    def __init__(self, is_last: bool = False):
        self.is_last = is_last

    @classmethod
    def create(cls, setup: Setup) -> Probe:
        return cls(not setup.after(cls))

    def propose(self, context: Context) -> list[TrialSpec]:
        if self._is_known(context):
            return self._timing(context)
        starts = fresh_starts(context.recipe, self.name, TRIAL)
        missing = [spec for spec in starts if spec.trial not in context.outcomes]
        done = [context.outcomes[spec.trial] for spec in starts if spec.trial in context.outcomes]
        if TRIAL in context.outcomes or not context.facts.allowance:
            return []
        left = context.left(self.name)
        if missing and (not done or len(missing) + TRY_OUT <= left):
            return missing
        rate = suggestion(done)
        affordable = rate is not None and TRY_OUT <= left
        return (
            [_spec(TRIAL, self.name, context.recipe.replace(learning_rate=rate), TRY_OUT)]
            if affordable
            else []
        )

    def decide(self, context: Context) -> Decision:
        if self._is_known(context):
            rate, why = context.recipe.learning_rate, "It was given"
            if "learning_rate" not in context.facts.given:
                why = "This network has learnt well with it on most tables"
            headline = f"Learning rate {rate:.2g} to begin with"
            return self.decision(context, headline, f"{why}.", values=ProbeValues(rate))
        starts = [
            spec.trial
            for spec in fresh_starts(context.recipe, self.name, TRIAL)
            if spec.trial in context.outcomes
        ]
        rate = suggestion([context.outcomes[trial] for trial in starts])
        stays = f"Learning rate stays at {context.recipe.learning_rate:.3g}"
        if not starts:
            headline = f"{stays}: not probed"
            return self.decision(context, headline, "The budget is too short for a search.")
        if rate is None:
            headline, found = _none_found([context.outcomes[trial] for trial in starts])
            return self.decision(context, f"{stays}: {headline}", found, evidence=starts)
        why = f"{_why(context.recipe.optimizer)} at {rate:.2g} ({_batches(len(starts))})"
        if TRIAL not in context.outcomes:
            parts = [why, "the budget is too short to try it out"]
            return self._suggested(context, parts, starts, ProbeValues(rate))
        tried = context.outcomes[TRIAL]
        ratio = float(
            np.median(learning_rate_probe.whole_model_ratio(tried.update_norms, tried.weight_norms))
        )
        values = ProbeValues(rate, ratio, diverged=tried.diverged_at is not None)
        if values.diverged:
            values = dataclasses.replace(values, learning_rate=rate / SAFER)
            then = (
                f"tried out, it diverged at step {tried.diverged_at}, so a third of it is suggested"
            )
        else:
            moved = f"an update changed the weights by {ratio:.2g} of their size"
            then = f"over {tried.steps} batches at it {moved}"
        return self._suggested(context, [why, then], [TRIAL], values)

    def _is_known(self, context: Context) -> bool:
        """Whether the user gave the learning rate, or the network's authors name it."""
        facts, recipe = context.facts, context.recipe
        is_theirs = facts.starting_recipe.get("learning_rate") == recipe.learning_rate
        is_theirs = is_theirs and facts.knows_optimizer(recipe)
        return not self.is_last and (is_theirs or "learning_rate" in facts.given)

    def _timing(self, context: Context) -> list[TrialSpec]:
        """What tells how long a step takes, of a budget in seconds."""
        facts, recipe = context.facts, context.recipe
        is_needed = facts.timed and facts.known_steps(recipe) and TRIAL not in context.outcomes
        # How many steps the allowance holds is a guess before anything was timed.
        return [_spec(TRIAL, self.name, recipe, TIMED)] if is_needed and facts.allowance else []

    def _suggested(
        self, context: Context, parts: list[str], evidence: list[str], values: ProbeValues
    ) -> Decision:
        return self.decision(
            context,
            f"Learning rate {values.learning_rate:.2g} suggested",
            wording.sentences(parts),
            after=context.recipe.replace(learning_rate=values.learning_rate),
            evidence=evidence,
            values=values,
        )


def fresh_starts(recipe: Recipe, stage: str, trial: str) -> list[TrialSpec]:
    """Trials of one step each from seeds of their own, as many as a suggestion for the recipe's
    optimizer averages.

    Args:
        recipe: its rate does not matter.
        stage: name of the stage that asks for them.
        trial: what the names of the trials begin with.

    Example:
        >>> [spec.trial for spec in fresh_starts(Recipe(optimizer="adam"), "probe", "probe")]
        ['probe-1']
    """
    first = recipe.replace(learning_rate=learning_rate_probe.BASELINE_RATE)
    seeds = range(recipe.seed, recipe.seed + learning_rate_probe.starts(recipe.optimizer))
    return [
        _spec(f"{trial}-{i}", stage, first.replace(seed=seed), 1) for i, seed in enumerate(seeds, 1)
    ]


def suggestion(starts: list[Outcome]) -> float | None:
    """The rate that the first updates of fresh starts suggest; `None` when none of them can be
    used.
    """
    measured = [outcome for outcome in starts if len(outcome.update_norms)]
    if not measured:
        return None
    recipe = measured[0].spec.recipe
    try:
        return learning_rate_probe.suggest_learning_rate(
            recipe.optimizer,
            rates=np.array([outcome.spec.recipe.learning_rate for outcome in measured]),
            losses=np.array([outcome.losses[0] for outcome in measured]),
            update_norms=np.stack([outcome.update_norms[0] for outcome in measured]),
            weight_norms=np.stack([outcome.weight_norms[0] for outcome in measured]),
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
    except ValueError:
        return None


def _none_found(starts: list[Outcome]) -> tuple[str, str]:
    """Why there is no suggestion: what a decision's headline ends with, and its sentences."""
    measured = [outcome for outcome in starts if len(outcome.update_norms)]
    losses = np.array([outcome.losses[0] for outcome in measured])
    norms = [outcome.update_norms[0] for outcome in measured]
    if measured and learning_rate_probe.moves_nothing(losses, np.stack(norms)):
        seen = f"the first updates of {len(measured)} fresh starts leave the weights as they are"
        parts = [seen if len(measured) > 1 else "the first update leaves the weights as they are"]
        return "nothing moved", wording.sentences([*parts, unmoved.WHERE_TO_LOOK])
    return "the probe found none", "No first loss and update is finite and above 0."


def _spec(trial: str, stage: str, recipe: Recipe, steps: int) -> TrialSpec:
    return TrialSpec(trial, stage, recipe.replace(decay="none", total_steps=steps), 0, steps)


def _why(optimizer: str) -> str:
    if optimizer != "sgd":
        size = f"{learning_rate_probe.TARGET_RATIO:.2g} of the size of the weights"
        return f"the first update is {size}, about right for {OPTIMIZERS[optimizer]},"
    removed = f"{learning_rate_probe.LOSS_SHARE:.2g} of the first loss"
    return f"one plain gradient step would remove {removed}, about right for SGD,"


def _batches(count: int) -> str:
    return f"{count} fresh starts of one batch each" if count > 1 else "one batch"
