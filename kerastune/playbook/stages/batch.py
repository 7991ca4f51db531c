"""Stage 2: batch size, momentum and optimizer together (S2.1 to S2.4).

Settings are compared after the same number of examples, not of steps. All see a quarter of the
training; only the promising go on, from where they stood, twice as far each time, to the examples
at which the recipe had converged. The setting that the stage was given stays unless validation, or
where that says nothing the clock, speaks for another.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kerastune.analysis import curves
from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts, rounded_up
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.rules import ranking
from kerastune.playbook.rules.batch_grid import in_words, other_optimizer, transferred_rate
from kerastune.playbook.rules.batch_race import STAGE, Race
from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.rules.ranking import Standing
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import OPTIMIZERS, Recipe
from kerastune.runtime.number_format import figure
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

__all__ = ["Batch", "transferred_rate", "with_steps"]


@dataclasses.dataclass(frozen=True)
class Reached:
    """What a setting had reached when it was compared.

    Args:
        loss: smoothed training loss.
        value: validation objective; `None` without any.
        seconds: of training; 0 where nothing was timed.
    """

    loss: float
    value: float | None = None
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class OtherOptimizer:
    """How the other optimizer did, after as many examples as it and the incumbent have seen.

    Args:
        optimizer: its name.
        learning_rate: that the probe found for it.
        diverged_at: step at which it diverged.
        reached: by it; `None` where there is nothing to compare it with.
        incumbent: what the incumbent had reached.
        examples: that both had seen.
    """

    optimizer: str
    learning_rate: float
    diverged_at: int | None = None
    reached: Reached | None = None
    incumbent: Reached | None = None
    examples: int = 0


@dataclasses.dataclass(frozen=True)
class BatchValues(Values):
    """What stage `batch` found.

    Args:
        settings: names of those that were tried.
        diverged: those of them that diverged.
        winner: the setting that was chosen; `None` where none could be compared.
        decided_by: what spoke for it, as in `ranking`.
        examples: after which settings were compared last.
        finalists: what each had reached then.
        other_optimizer: how that did; `None` where it was not tried.
        learning_rate: of the recipe that is handed on.
        transferred_rate: learning rate that a new winner began with; `None` without one.
        rate_checked: whether the learning rates beside that were tried.
        total_steps: of a training.
        converged: whether they are read off the winner's own curve.
        steps_spent: steps that the stage trained.
    """

    settings: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    winner: str | None = None
    decided_by: str = ""
    examples: int = 0
    finalists: dict[str, Reached] = dataclasses.field(default_factory=dict)
    other_optimizer: OtherOptimizer | None = None
    learning_rate: float = 0.0
    transferred_rate: float | None = None
    rate_checked: bool = False
    total_steps: int = 0
    converged: bool = False
    steps_spent: int = 0

    @property
    def highlighted(self) -> str | None:
        return self.winner


class Batch(Stage):
    """Chooses batch size, momentum and optimizer, checks the winner's rate, and derives the steps
    again.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        training_after: times the recipe's steps that its training takes, if one follows.
    """

    name = STAGE
    question = "Which batch size, momentum and optimizer?"
    share = 0.25
    values = BatchValues
    compares_seconds = True
    least_steps = 400
    least_seconds = 2.0
    figure = "settings"
    tunes = True
    may_run_out_of_memory = True

    def __init__(self, chunk: int, training_after: float = 0.0):
        self._chunk = chunk
        self.training_after = training_after

    @classmethod
    def create(cls, setup: Setup) -> Batch:
        return cls(setup.chunk, training_after=setup.stretch(cls) if setup.has("train") else 0.0)

    def propose(self, context: Context) -> list[TrialSpec]:
        if context.facts.knows_recipe(context.recipe):
            return []
        race = Race(self._chunk, context)
        return race.first() or race.progress.behind or race.neighbors()

    def decide(self, context: Context) -> Decision:
        race = Race(self._chunk, context)
        winner, by = race.winner
        values = BatchValues(
            settings=tuple(sorted(race.trained)),
            diverged=tuple(sorted(n for n, o in race.trained.items() if o.diverged_at is not None)),
            winner=winner,
            decided_by=by,
            examples=race.final[1],
            finalists={name: _reached(each) for name, each in race.final[0].items()},
            other_optimizer=_other(race),
            steps_spent=context.spent(self.name),
        )
        after = context.recipe
        if winner not in (None, race.incumbent):
            chosen, checked = race.at_best_rate(winner)
            after = with_steps(context.recipe, chosen, context.facts, self._chunk)
            values = dataclasses.replace(
                values,
                rate_checked=checked,
                transferred_rate=race.candidates[winner].learning_rate,
                converged=is_certain(context.recipe, chosen, context.facts),
            )
        values = dataclasses.replace(
            values, learning_rate=after.learning_rate, total_steps=after.total_steps
        )
        evidence = [race.trained[name].spec.trial for name in values.settings]
        evidence += sorted(name for name in context.outcomes if name.startswith(f"{winner}-x"))
        return self.decision(
            context,
            _headline(after),
            _numbers(race, after, values),
            after=after,
            evidence=evidence,
            values=values,
        )


def with_steps(recipe: Recipe, chosen: Outcome, facts: Facts, chunk: int) -> Recipe:
    """The recipe of a trial, its steps derived again (S2.4): from its curve if that is certain,
    else the same examples.

    The curve is not asked before it has seen as many examples as the recipe had converged after: a
    short one looks flat at its end.

    Args:
        recipe: what it was before; its decay stays.
        chosen: the winner's trial.
        facts: the objective.
        chunk: of whose steps the number is a multiple, unless it is read off the curve.
    """
    trained = chosen.spec.recipe
    steps = rounded_up(recipe.total_steps * recipe.batch_size / trained.batch_size, chunk)
    if is_certain(recipe, chosen, facts):
        steps = convergence(chosen, facts).total_steps
    return trained.replace(decay=recipe.decay, total_steps=steps)


def is_certain(recipe: Recipe, chosen: Outcome, facts: Facts) -> bool:
    """Whether the winner's own curve tells where it converges; `recipe` is what it was before."""
    converged = recipe.total_steps / curves.MARGIN * recipe.batch_size
    return ranking.seen(chosen) >= converged and convergence(chosen, facts).is_certain


def _reached(standing: Standing) -> Reached:
    return Reached(standing.loss, standing.value, standing.seconds)


def _other(race: Race) -> OtherOptimizer | None:
    """The other optimizer and the incumbent, after as many examples as both have seen."""
    trials = {name: race.trained.get(name) for name in (race.other, race.incumbent)}
    it, incumbent = trials[race.other], trials[race.incumbent]
    if it is None:
        return None
    found = OtherOptimizer(it.spec.recipe.optimizer, it.spec.recipe.learning_rate, it.diverged_at)
    if it.diverged_at is not None or incumbent is None or incumbent.diverged_at is not None:
        return found
    standings, examples = race.standings(list(trials), race.rungs[-1])
    return dataclasses.replace(
        found,
        reached=_reached(standings[race.other]),
        incumbent=_reached(standings[race.incumbent]),
        examples=examples,
    )


def _headline(recipe: Recipe) -> str:
    if recipe.optimizer != "sgd":
        return f"Batch size {recipe.batch_size}, {OPTIMIZERS[recipe.optimizer]}"
    kind = "Nesterov momentum" if recipe.nesterov else "momentum"
    return f"Batch size {recipe.batch_size}, SGD with {kind} {recipe.momentum:g}"


def _numbers(race: Race, after: Recipe, values: BatchValues) -> str:
    recipe, tried = race.recipe, len(values.settings)
    facts = race.context.facts
    steps = facts.known_steps(recipe) or recipe.total_steps
    stays = f"learning rate {recipe.learning_rate:g} for {steps} steps, as before"
    if tried < 2:
        held = f"the {facts.allowance} steps of its budget are too few to compare"
        held = wording.KNOWN if facts.knows_recipe(recipe) else held
        return wording.sentences([held, stays])
    diverged = f", {len(values.diverged)} of which diverged" if values.diverged else ""
    of, other = f"of {tried} settings{diverged}", _about_other(race, values.other_optimizer)
    if values.winner is None:
        return wording.sentences([f"{of}, none was trained far enough to compare", other, stays])
    if values.winner == race.incumbent:
        return wording.sentences([f"{of}, {_why_it_stays(race, values)}", other, stays])
    rate, steps = _about_rate(recipe, after, values), _about_steps(recipe, after, values)
    return wording.sentences([f"{of}, it {_why_it_won(race, values)}", other, rate, steps])


def _figures(reached: Reached, name: str) -> str:
    value = f"no validation {name}"
    if reached.value is not None:
        value = f"validation {name} {figure(reached.value)}"
    return f"smoothed loss {reached.loss:.3g}, {value}"


def _why_it_stays(race: Race, values: BatchValues) -> str:
    name, finalists = race.context.facts.objective.name, values.finalists
    rivals = [each for each in race.progress.finalists if each != race.incumbent]
    if not rivals:
        return f"no other reaches its loss after {values.examples} examples"
    mine, best = _figures(finalists[race.incumbent], name), in_words(race.candidates[rivals[0]])
    its = _figures(finalists[rivals[0]], name)
    return (
        "none is expected to be better on validation, or tied and at least 10 % faster, after "
        f"{values.examples} examples ({mine}; the most promising, {best}: {its})"
    )


def _why_it_won(race: Race, values: BatchValues) -> str:
    name, finalists = race.context.facts.objective.name, values.finalists
    its = _figures(finalists[values.winner], name)
    if values.decided_by == ranking.ALONE:
        return f"is the best of those that did not diverge ({its} after {values.examples} examples)"
    mine = finalists[race.incumbent]
    figures = (
        f"({its} after {values.examples} examples; {in_words(race.recipe)}: {_figures(mine, name)})"
    )
    if values.decided_by == ranking.VALIDATION:
        return f"has the highest expected value on validation {figures}"
    if values.decided_by == ranking.LOSS:
        return f"is tied on validation and lowest in loss {figures}"
    times = finalists[values.winner].seconds / mine.seconds if mine.seconds else 1.0
    return f"is tied in loss and on validation and takes {times:.2g} times the seconds {figures}"


def _about_other(race: Race, other: OtherOptimizer | None) -> str:
    if other is None:
        return f"{OPTIMIZERS[other_optimizer(race.recipe).optimizer]} was not tried"
    its = f"{OPTIMIZERS[other.optimizer]} at the probe's learning rate of {other.learning_rate:g}"
    if other.diverged_at is not None:
        return f"{its} diverged at step {other.diverged_at}"
    if other.reached is None:
        return f"{its} has nothing to be compared with"
    name = race.context.facts.objective.name
    return (
        f"{its}: {_figures(other.reached, name)}; {OPTIMIZERS[race.recipe.optimizer]}: "
        f"{_figures(other.incumbent, name)}, both after {other.examples} examples"
    )


def _about_rate(recipe: Recipe, after: Recipe, values: BatchValues) -> str:
    checked = "its neighbors were not tried, the budget being spent"
    if values.rate_checked:
        start = values.transferred_rate
        checked = f"it falls fastest and deepest of {start:g}, half and twice that"
    return f"learning rate {after.learning_rate:g}, before {recipe.learning_rate:g} ({checked})"


def _about_steps(recipe: Recipe, after: Recipe, values: BatchValues) -> str:
    why = "1.5 times where its curve converged" if values.converged else "as many examples"
    return f"{after.total_steps} steps, before {recipe.total_steps} ({why})"
