"""Stage 2: batch size, momentum and optimizer together (S2.1 to S2.4).

Settings are compared after the same number of examples, not of steps. All see a quarter of the
training; only the promising go on, from where they stood, twice as far each time, to the examples
at which the recipe had converged. The setting that the stage was given stays unless validation, or
where that says nothing the clock, speaks for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerastune.analysis import curves
from kerastune.playbook.rules import ranking
from kerastune.playbook.rules.batch_grid import in_words, other_optimizer, transferred_rate
from kerastune.playbook.rules.batch_race import STAGE, Race
from kerastune.playbook.rules.convergence import convergence
from kerastune.playbook.rules.ranking import Standing
from kerastune.playbook.stages.base import Context, Decision, Facts, Stage, rounded_up
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

__all__ = ["Batch", "transferred_rate", "with_steps"]


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
    compares_seconds = True
    least_steps = 400
    least_seconds = 3.0
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
        race = Race(self._chunk, context)
        return race.first() or race.progress.behind or race.neighbors()

    def decide(self, context: Context) -> Decision:
        race = Race(self._chunk, context)
        winner, by = race.winner
        after, values = context.recipe, {}
        if winner not in (None, race.incumbent):
            chosen, checked = race.at_best_rate(winner)
            after = with_steps(context.recipe, chosen, context.facts, self._chunk)
            values = {
                "rate_checked": checked,
                "transferred_rate": race.candidates[winner].learning_rate,
            }
            values["converged"] = is_certain(context.recipe, chosen, context.facts)
        values |= {
            "settings": sorted(race.trained),
            "diverged": sorted(
                name for name, trial in race.trained.items() if trial.diverged_at is not None
            ),
            "winner": winner,
            "decided_by": by,
            "examples": race.final[1],
            "finalists": {name: _numbers(each) for name, each in race.final[0].items()},
            "other_optimizer": _other(race),
            "learning_rate": after.learning_rate,
            "total_steps": after.total_steps,
            "steps_spent": context.spent(self.name),
        }
        evidence = tuple(race.trained[name].spec.trial for name in values["settings"])
        evidence += tuple(
            sorted(name for name in context.outcomes if name.startswith(f"{winner}-x"))
        )
        return Decision(
            self.name, context.recipe, after, _reason(race, after, values), evidence, values
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


def _numbers(standing: Standing) -> dict[str, float | None]:
    return {"loss": standing.loss, "value": standing.value, "seconds": standing.seconds}


def _other(race: Race) -> dict[str, Any]:
    """The other optimizer and the incumbent, after as many examples as both have seen."""
    trials = {name: race.trained.get(name) for name in (race.other, race.incumbent)}
    it = trials[race.other]
    if it is None:
        return {}
    found = {"optimizer": it.spec.recipe.optimizer, "learning_rate": it.spec.recipe.learning_rate}
    if it.diverged_at is not None:
        return found | {"diverged_at": it.diverged_at}
    if trials[race.incumbent] is None or trials[race.incumbent].diverged_at is not None:
        return found
    standings, examples = race.standings(list(trials), race.rungs[-1])
    pair = {"it": _numbers(standings[race.other]), "incumbent": _numbers(standings[race.incumbent])}
    return found | pair | {"examples": examples}


def _reason(race: Race, after: Recipe, values: dict[str, Any]) -> str:
    recipe, allowance = race.recipe, race.context.facts.allowance
    tried = len(values["settings"])
    stays = f"{in_words(recipe)} stays, at a rate of {recipe.learning_rate:g} for {recipe.total_steps} steps"
    if tried < 2:
        return f"The {allowance} steps that the budget holds for it are too few to compare settings: {stays}."
    about_other = _about_other(race, values["other_optimizer"])
    of = f"{tried} settings" + (
        f", {len(values['diverged'])} of which diverged," if values["diverged"] else ""
    )
    if values["winner"] is None:
        return f"Of {of} none was trained far enough to be compared: {stays}; {about_other}."
    if values["winner"] == race.incumbent:
        return f"Of {of} {_why_it_stays(race, values)}, so {stays}; {about_other}."
    return (
        f"Of {of} {in_words(after)} {_why_it_won(race, values)}; {about_other}. "
        f"{_about_rate(recipe, after, values)} and {_about_steps(recipe, after, values)}."
    )


def _figures(numbers: dict[str, float | None], name: str) -> str:
    value = (
        f"validation {name} {numbers['value']:.4g}"
        if numbers["value"] is not None
        else f"no validation {name}"
    )
    return f"smoothed loss {numbers['loss']:.3g}, {value}"


def _why_it_stays(race: Race, values: dict[str, Any]) -> str:
    name, finalists = race.context.facts.objective.name, values["finalists"]
    rivals = [each for each in race.progress.finalists if each != race.incumbent]
    if not rivals:
        return f"no other keeps up with its loss after {values['examples']} examples"
    mine, best = _figures(finalists[race.incumbent], name), in_words(race.candidates[rivals[0]])
    return (
        f"none is significantly better on validation, or alike and at least 10 % faster, "
        f"after {values['examples']} "
        f"examples (the most promising, {best}: {_figures(finalists[rivals[0]], name)}; against {mine})"
    )


def _why_it_won(race: Race, values: dict[str, Any]) -> str:
    name, finalists = race.context.facts.objective.name, values["finalists"]
    its = _figures(finalists[values["winner"]], name)
    if values["decided_by"] == ranking.ALONE:
        return (
            f"is the best of those that did not diverge ({its} after {values['examples']} examples)"
        )
    mine = finalists[race.incumbent]
    figures = f"({its} after {values['examples']} examples, against {_figures(mine, name)} of {in_words(race.recipe)})"
    if values["decided_by"] == ranking.VALIDATION:
        return f"is significantly better on validation {figures}"
    share = finalists[values["winner"]]["seconds"] / mine["seconds"] if mine["seconds"] else 1.0
    return f"is alike in loss and on validation and takes {share:.2g} times the seconds {figures}"


def _about_other(race: Race, other: dict[str, Any]) -> str:
    if not other:
        return f"{_called(other_optimizer(race.recipe).optimizer)} was not tried"
    its = f"{_called(other['optimizer'])} at the probe's rate of {other['learning_rate']:g}"
    if "diverged_at" in other:
        return f"{its} diverged at step {other['diverged_at']}"
    if "it" not in other:
        return f"{its} has nothing to be compared with"
    name = race.context.facts.objective.name
    return (
        f"{its} gave {_figures(other['it'], name)} against {_called(race.recipe.optimizer)}'s "
        f"{_figures(other['incumbent'], name)} after {other['examples']} examples"
    )


def _called(optimizer: str) -> str:
    return {"sgd": "SGD", "adam": "Adam"}[optimizer]


def _about_rate(recipe: Recipe, after: Recipe, values: dict[str, Any]) -> str:
    checked = "its neighbors were not tried, the allowance being spent"
    if values["rate_checked"]:
        start = values["transferred_rate"]
        checked = (
            f"{after.learning_rate:g} falls fastest and deepest of {start:g}, half and twice that"
        )
    return f"The rate goes from {recipe.learning_rate:g} to {after.learning_rate:g} ({checked})"


def _about_steps(recipe: Recipe, after: Recipe, values: dict[str, Any]) -> str:
    why = (
        "1.5 times where its curve converged"
        if values["converged"]
        else "as many examples as before"
    )
    return f"the steps from {recipe.total_steps} to {after.total_steps} ({why})"
