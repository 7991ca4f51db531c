"""Stage `model`: the hyperparameters that the user's own `build(hp)` declares, under the recipe
found so far.

It comes before decay and regularization. A rate that falls fixes how long a training is, so
networks that are to be compared after a few steps, and stopped there, must be trained at a constant
one; and what regularizes, and how much, depends on the network. What only regularizes is switched
off here as in every stage that looks at curves (P6), and stays as it was.

KerasTuner's oracles propose the networks. All see an eighth of the training; only the promising go
on, from where they stood, twice as far each time, to the steps at which the recipe had converged.
The incumbent is one of them and stays unless another is better beyond noise, paired on the
validation examples. Then the winner's rate is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerastune.playbook.rules import model_search
from kerastune.playbook.rules.model_search import INCUMBENT, ModelSearch, Sample
from kerastune.playbook.stages.base import Context, Decision, Stage
from kerastune.playbook.stages.batch import is_certain, with_steps
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted

SHARE = 0.3


class Model(Stage):
    """Searches the model's hyperparameters, checks the winner's rate, and derives the steps again.

    As many networks are tried as the allowance holds, but for what those take that go on (at most
    half of it), and 50 at most: at random first, three for each hyperparameter, then as the
    Bayesian oracle proposes; with a budget in time only if a trial takes as long as such a
    proposal, about 5 s.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        names: of the hyperparameters that are searched; without any, the stage says so and does
            nothing.
        sample: gives the hyperparameters to try next, as `model_search.ModelSearch` asks for them.
    """

    name = model_search.STAGE
    question = "Which architecture?"
    least_steps = 2 * model_search.LEAST_STEPS
    least_seconds = 6.0
    figure = "networks"
    tunes = True
    may_fail = True

    def __init__(
        self, chunk: int, names: tuple[str, ...] = (), sample: Sample = lambda tried, guided: None
    ):
        self._chunk = chunk
        self._names = tuple(names)
        self._sample = sample
        self.share = SHARE if names else 0.0

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.own_model

    @classmethod
    def create(cls, setup: Setup) -> Model:
        return cls(setup.chunk, tuple(setup.searched), setup.sample)

    def propose(self, context: Context) -> list[TrialSpec]:
        return self._search(context).due() if self._names else []

    def decide(self, context: Context) -> Decision:
        search = self._search(context)
        winner = search.winner[0]
        after, values = context.recipe, {}
        if winner not in (None, INCUMBENT):
            chosen, checked = search.at_best_rate()
            after = with_steps(context.recipe, chosen, context.facts, self._chunk)
            values = {
                "rate_checked": checked,
                "converged": is_certain(context.recipe, chosen, context.facts),
            }
        trials = search.trained
        values |= {
            "objective": context.facts.objective.name,
            "scores": {name: _score(search, trial) for name, trial in trials.items()},
            "diverged": [
                name
                for name, trial in trials.items()
                if trial.diverged_at is not None and not trial.error
            ],
            "failed": [name for name, trial in trials.items() if trial.error],
            "winner": winner,
            "finalists": search.progress.finalists,
            "steps": search.progress.rung,
            "learning_rate": after.learning_rate,
            "total_steps": after.total_steps,
            "steps_spent": context.spent(self.name),
        }
        evidence = (
            *trials,
            *sorted(name for name in context.outcomes if name.startswith(f"{winner}-x")),
        )
        reason = self._reason(search, context.recipe, after, values)
        return Decision(self.name, context.recipe, after, reason, evidence, values)

    def _search(self, context: Context) -> ModelSearch:
        return ModelSearch(self._chunk, context, self._names, self._sample)

    def _reason(
        self, search: ModelSearch, recipe: Recipe, after: Recipe, values: dict[str, Any]
    ) -> str:
        stays = f"the network stays as it is ({_named(recipe)})"
        if not self._names:
            return f"The model declares no hyperparameters to search: {stays}."
        if len(search.trained) < 2:
            return f"The {search.context.facts.allowance} steps that the budget holds for it are too few: {stays}."
        lost = [
            f"{len(values[how])} of which {how}" for how in ("diverged", "failed") if values[how]
        ]
        of = f"Of {len(search.trained)} networks{''.join(f', {each}' for each in lost)}"
        gain = search.winner[1]
        if values["winner"] is None:
            return f"{of} none was trained far enough to be compared: {stays}."
        if values["winner"] == INCUMBENT:
            why = gain or f"no other keeps up with its loss after {values['steps']} steps"
            return f"{of}, {_changed(search, recipe)}, {why}; so {stays}."
        won = gain or "it is the best of those that came so far, the one before being lost"
        return (
            f"{of}, {_changed(search, recipe)}, {values['winner']} wins ({_named(after)} after {values['steps']} steps "
            f"in place of {_named(recipe)}): {won}. {_about_rate(recipe, after, values)} and "
            f"{_about_steps(recipe, after, values)}."
        )


def _score(search: ModelSearch, outcome: Outcome) -> float | None:
    score = search.score(outcome)
    return None if score is None else search.context.facts.objective.gain(score)  # the sign back


def _named(recipe: Recipe) -> str:
    return ", ".join(
        f"{name} {_short(value)}" for name, value in sorted(recipe.hyperparameters.items())
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _changed(search: ModelSearch, recipe: Recipe) -> str:
    return f"searched over {', '.join(search.names)}"


def _about_rate(recipe: Recipe, after: Recipe, values: dict[str, Any]) -> str:
    if not values["rate_checked"]:
        return f"The rate stays {recipe.learning_rate:g} (its neighbors were not tried, the allowance being spent)"
    of = f"{after.learning_rate:g} falls fastest and deepest of {recipe.learning_rate:g}, half and twice that"
    return f"The rate goes from {recipe.learning_rate:g} to {after.learning_rate:g} ({of})"


def _about_steps(recipe: Recipe, after: Recipe, values: dict[str, Any]) -> str:
    why = "1.5 times where its curve converged" if values["converged"] else "as many as before"
    return f"the steps from {recipe.total_steps} to {after.total_steps} ({why})"
