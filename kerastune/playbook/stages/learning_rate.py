"""Stage 1: learning rate and number of steps (S1.1 to S1.4).

Coarse rates a decade apart, centerd by the probe and extended while the best is on the edge; finer
ones around the best; all for a short horizon. Then only the promising go on, from where they stood,
twice as far each time, until the leader has been watched up to 1.5x the step at which it converged.
Where the network names its steps, until one is left.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np

from kerastune.analysis import curves
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, rounded_up
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.rules import rate_grid, unmoved
from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.rules.successive_halving import Progress, cost, goes_no_further, halve
from kerastune.playbook.stages.base import Stage
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

SURVIVORS = (3, 2, 1)  # most trials that go on after the first horizons, and after later ones


@dataclasses.dataclass(frozen=True)
class LearningRateValues(Values):
    """What stage `lr` found.

    Args:
        rates: learning rates that were tried.
        diverged: those of them that diverged.
        learning_rate: that was chosen; `None` without any.
        suggested: that the stage set out from; `None` where none was chosen.
        converged_step: step at which the training converged, or was left.
        total_steps: of a training.
        converged: whether it converged.
        steps_spent: steps that the stage trained.
        moves: whether any learning rate changes the loss; else the search ends here.
    """

    rates: tuple[float, ...] = ()
    diverged: tuple[float, ...] = ()
    learning_rate: float | None = None
    suggested: float | None = None
    converged_step: int | None = None
    total_steps: int = 0
    converged: bool = False
    steps_spent: int = 0
    moves: bool = True

    @property
    def ends_search(self) -> bool:
        return not self.moves


class LearningRate(Stage):
    """Chooses the rate whose curve falls fastest and deepest, and reads the number of steps off it.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
    """

    name = "lr"
    question = "Which learning rate, and how many steps?"
    share = 0.4
    values = LearningRateValues
    leads = True
    compares_seconds = True  # stage `batch` does with what this one trained
    least_steps = 150
    least_seconds = 2.0
    figure = "learning rates"
    tunes = True

    def __init__(self, chunk: int):
        self._chunk = chunk

    @classmethod
    def create(cls, setup: Setup) -> LearningRate:
        return cls(setup.chunk)

    def propose(self, context: Context) -> list[TrialSpec]:
        if context.facts.knows_recipe(context.recipe):
            return []
        tried = _by_rate(context.outcomes)
        horizon = self.first_horizon(context)
        if unmoved.is_everything(tried, rate_grid.HIGHEST):
            return []
        for rates in (rate_grid.coarse, rate_grid.finer):
            wanted = [rate for rate in rates(context, tried, horizon) if rate not in tried]
            if wanted:
                specs = [self._spec(context, rate, None, horizon) for rate in wanted]
                # Of the finer ones, the first tell something without the others.
                held = max(context.left(self.name) // horizon, 0)
                specs = specs[:held] if rates is rate_grid.finer else specs
                return self._affordable(specs, context)
        return self._affordable(self._progress(context, tried, horizon).behind, context)

    def decide(self, context: Context) -> Decision:
        tried = _by_rate(context.outcomes)
        evidence = [tried[rate].spec.trial for rate in sorted(tried)]
        if unmoved.is_everything(tried, rate_grid.HIGHEST):
            spent = context.spent(self.name)
            values = LearningRateValues(tuple(sorted(tried)), steps_spent=spent, moves=False)
            headline = "No learning rate moves the loss: the search ends"
            numbers = unmoved.told(tried)
            return self.decision(context, headline, numbers, evidence=evidence, values=values)
        is_known = context.facts.knows_recipe(context.recipe)
        rate = None if is_known else self._best(context, tried)
        values = LearningRateValues(rates=tuple(sorted(tried)))
        if rate is None or len(tried) == 1:
            stays = f"Learning rate stays at {context.recipe.learning_rate:.3g}"
            why = f"every learning rate diverged ({_list(tried)})"
            if is_known:
                why = wording.KNOWN
            elif rate is not None:
                why = f"its budget held {rate:g} alone, so there is nothing to compare"
            elif not tried:
                why = f"the {context.facts.allowance} steps of its budget are too few to compare"
            numbers = wording.sentences([why])
            return self.decision(context, stays, numbers, evidence=evidence, values=values)
        found = convergence(tried[rate], context.facts)
        values = dataclasses.replace(
            values,
            diverged=tuple(r for r in sorted(tried) if tried[r].diverged_at is not None),
            learning_rate=rate,
            suggested=context.recipe.learning_rate,
            converged_step=found.step,
            total_steps=found.total_steps,
            converged=found.is_certain,
            steps_spent=context.spent(self.name),
        )
        known = context.facts.known_steps(context.recipe)
        return self.decision(
            context,
            f"Learning rate {rate:g} for {known or found.total_steps:,} steps",
            _numbers(context, tried, rate),
            after=context.recipe.replace(learning_rate=rate, total_steps=found.total_steps),
            evidence=evidence,
            values=values,
        )

    def first_horizon(self, context: Context) -> int:
        """Steps of the first comparison: a quarter epoch, within 100 and 400 steps, in whole
        evaluations.
        """
        return rounded_up(_quarter_epoch(context), self._interval(context))

    def _interval(self, context: Context) -> int:
        # Seldom enough to be cheap, but at the end of every horizon: a long wait would make all
        # horizons long.
        quarter = rounded_up(_quarter_epoch(context), self._chunk)
        return context.evaluation_interval(self._chunk, quarter)

    def _progress(
        self, context: Context, tried: dict[float, Outcome], horizon: int
    ) -> Progress[float]:
        """How far the learning rates came; the horizon doubles until the leader has converged."""

        def survivors(alive: list[float], horizon: int, limit: int) -> list[float]:
            known = {rate: tried[rate] for rate in alive}
            guess = context.facts.guess
            leader = rate_grid.leader(known, horizon, guess)
            return [] if leader is None else _survivors(known, leader, horizon, limit, guess)

        def go_on(alive: list[float], horizon: int) -> tuple[list[float], list[TrialSpec]]:
            is_chosen = len(alive) == 1 and context.facts.known_steps(context.recipe)
            if not alive or is_chosen or _is_done(tried[alive[0]], horizon // 2, context.facts):
                return [], []
            behind = [rate for rate in sorted(alive) if not goes_no_further(tried[rate], horizon)]
            return alive, [self._spec(context, rate, tried[rate], horizon) for rate in behind]

        horizons = (horizon * 2**i for i in itertools.count())
        return halve(sorted(tried), horizons, SURVIVORS, survivors, go_on)

    def _best(self, context: Context, tried: dict[float, Outcome]) -> float | None:
        """The learning rate that leads in the last comparison; `None` if all diverged."""
        progress = self._progress(context, tried, self.first_horizon(context))
        compared = {rate: tried[rate] for rate in progress.compared}
        return rate_grid.leader(compared, progress.rung, context.facts.guess)

    def _spec(self, context: Context, rate, earlier, until) -> TrialSpec:
        every = self._interval(context)
        trial = context.recipe.replace(learning_rate=rate, decay="none", total_steps=until)
        return TrialSpec(
            f"lr-{rate:g}", self.name, trial, earlier.steps if earlier else 0, until, every
        )

    def _affordable(self, specs, context: Context) -> list[TrialSpec]:
        return specs if cost(specs) <= context.left(self.name) else []


def _numbers(context: Context, tried: dict[float, Outcome], rate: float) -> str:
    outcome, recipe = tried[rate], context.recipe
    others = sorted((r for r in tried if r != rate), key=lambda r: abs(np.log(r / rate)))
    loss = f"smoothed loss {rate_grid.last(outcome, outcome.steps):.3g} after {outcome.steps} steps"
    beside = f"({_neighbors(tried, rate, others[:2])}){_alike(tried, rate, context)}"
    return wording.sentences(
        [
            f"of {len(tried)} learning rates from {min(tried):g} to {max(tried):g} it falls "
            f"fastest and deepest: {loss} {beside}",
            _about_steps(outcome, context),
            f"the stage set out from {recipe.learning_rate:.2g}, "
            f"{recipe.learning_rate / rate:.2g} times that",
        ]
    )


def _about_steps(outcome: Outcome, context: Context) -> str:
    facts, found = context.facts, convergence(outcome, context.facts)
    known = facts.known_steps(context.recipe)
    total = f"{known or found.total_steps} steps"
    if facts.num_train:
        epochs = facts.epochs(known or found.total_steps, context.recipe.batch_size)
        total += f" ({epochs:.3g} epochs)"
    if known:
        return f"{total} suit this network"
    if found.is_certain:
        return f"it converged by step {found.step} ({found.by}), so training takes {total}"
    if outcome.steps < outcome.spec.until:
        return f"it was stopped at step {outcome.steps}, so training takes twice that, {total}"
    return (
        f"it still improved when the budget of the stage ended at step {outcome.steps}, so "
        f"training takes twice that, {total}"
    )


def _quarter_epoch(context: Context) -> float:
    quarter = min(max(context.facts.num_train / context.recipe.batch_size / 4, 100), 400)
    if context.facts.timed:
        return quarter
    # Shorter where a budget in steps would hold hardly more than the first few.
    return min(quarter, max(context.facts.allowance // 5, 1))


def _by_rate(outcomes: dict[str, Outcome]) -> dict[float, Outcome]:
    return {
        o.spec.recipe.learning_rate: o
        for o in outcomes.values()
        if o.spec.stage == LearningRate.name
    }


def _mean(outcome: Outcome, horizon: int) -> float:
    return float(curves.smoothed(rate_grid.curve(outcome, horizon)).mean())


def _is_done(outcome: Outcome, horizon: int, facts: Facts) -> bool:
    stopped_itself = outcome.steps < outcome.spec.until
    return stopped_itself or (outcome.steps <= horizon and convergence(outcome, facts).is_certain)


def _survivors(
    alive: dict[float, Outcome], leader: float, horizon: int, limit: int, guess: float
) -> list[float]:
    """The leader, and then the best others that are not hopeless, `limit` in all."""
    rates = sorted(alive)
    last = np.array([rate_grid.last(alive[rate], horizon) for rate in rates])
    fall = curves.fall_of(float(alive[leader].losses[0]), np.nanmin(last), guess)
    lost = curves.hopeless(last, noise=curves.CONVERGED_SHARE * fall)
    hopeful = [rate for rate, gone in zip(rates, lost) if not gone and rate != leader]
    ranked = sorted(hopeful, key=lambda rate: last[rates.index(rate)])
    return [leader, *ranked[: limit - 1]]


def _neighbors(tried: dict[float, Outcome], rate: float, others: list[float]) -> str:
    parts = []
    for other in sorted(others):
        outcome = tried[other]
        if outcome.diverged_at is not None:
            parts.append(f"{other:g} diverged at step {outcome.diverged_at}")
            continue
        common = min(outcome.steps, tried[rate].steps)
        theirs, own = (rate_grid.last(each, common) for each in (outcome, tried[rate]))
        parts.append(f"{other:g} {theirs:.3g} against {own:.3g} at step {common}")
        if theirs < own:
            means = f"{_mean(outcome, common):.3g} against {_mean(tried[rate], common):.3g}"
            parts[-1] += f", about as deep but slower: {means} on the way"
    return "; ".join(parts) or "no other was trained"


def _alike(tried: dict[float, Outcome], rate: float, context: Context) -> str:
    """The rates whose loss can't be told from the chosen one's after as many steps, in words, if
    there are any.
    """
    chosen, alike = tried[rate], []
    for other, outcome in sorted(tried.items()):
        common = min(outcome.steps, chosen.steps)
        if other == rate or outcome.diverged_at is not None or not common:
            continue
        ends = [rate_grid.last(each, common) for each in (outcome, chosen)]
        fall = curves.fall_of(float(chosen.losses[0]), min(ends), context.facts.guess)
        noise = curves.CONVERGED_SHARE * fall
        alike += [other] * (abs(ends[0] - ends[1]) <= noise)
    return f", tied with {' and '.join(f'{other:g}' for other in alike)}" if alike else ""


def _list(tried: dict[float, Outcome]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted(tried))
