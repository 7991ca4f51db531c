"""Stage `model`: the hyperparameters that the user's own `build(hp)` declares, under the recipe
found so far.

It comes before decay and regularization. A rate that falls fixes how long a training is, so
networks that are to be compared after a few steps, and stopped there, must be trained at a constant
one; and what regularizes, and how much, depends on the network. What only regularizes is switched
off here as in every stage that looks at curves (P6), and stays as it was.

KerasTuner's oracles propose the networks. All see an eighth of the training; only the promising go
on, from where they stood, twice as far each time, to the steps at which the recipe had converged.
The incumbent is one of them and stays unless another is expected to be better, paired on the
validation examples. Then the winner's rate is checked.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.rules import model_search
from kerastune.playbook.rules.model_search import INCUMBENT, ModelSearch, Sample
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.batch import is_certain, with_steps
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted

SHARE = 0.3


@dataclasses.dataclass(frozen=True)
class ModelValues(Values):
    """What stage `model` found.

    Args:
        objective: the validation value that chooses.
        scores: of every network after the first comparison, by trial; `None` for one that was lost.
        diverged: networks that diverged.
        failed: networks that could not be built or trained.
        winner: the network that was chosen; `None` where none could be compared.
        finalists: networks that were trained longest.
        steps: that they were trained for.
        learning_rate: of the recipe that is handed on.
        rate_checked: whether the learning rates beside a new winner's were tried.
        total_steps: of a training.
        converged: whether they are read off the winner's own curve.
        steps_spent: steps that the stage trained.
    """

    objective: str = ""
    scores: dict[str, float | None] = dataclasses.field(default_factory=dict)
    diverged: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    winner: str | None = None
    finalists: tuple[str, ...] = ()
    steps: int = 0
    learning_rate: float = 0.0
    rate_checked: bool = False
    total_steps: int = 0
    converged: bool = False
    steps_spent: int = 0

    @property
    def highlighted(self) -> str | None:
        return self.winner


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
    values = ModelValues
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
        after, trials = context.recipe, search.trained
        values = ModelValues(
            objective=context.facts.objective.name,
            scores={name: _score(search, trial) for name, trial in trials.items()},
            diverged=tuple(
                name
                for name, trial in trials.items()
                if trial.diverged_at is not None and not trial.error
            ),
            failed=tuple(name for name, trial in trials.items() if trial.error),
            winner=winner,
            finalists=tuple(search.progress.finalists),
            steps=search.progress.rung,
            steps_spent=context.spent(self.name),
        )
        headline = "The network stays as it is"
        if winner not in (None, INCUMBENT):
            chosen, checked = search.at_best_rate()
            after = with_steps(context.recipe, chosen, context.facts, self._chunk)
            certain = is_certain(context.recipe, chosen, context.facts)
            values = dataclasses.replace(values, rate_checked=checked, converged=certain)
            headline = wording.shortened(f"Network {winner}: {_named(after)}")
        values = dataclasses.replace(
            values, learning_rate=after.learning_rate, total_steps=after.total_steps
        )
        again = sorted(name for name in context.outcomes if name.startswith(f"{winner}-x"))
        return self.decision(
            context,
            headline,
            self._numbers(search, after, values),
            after=after,
            evidence=(*trials, *again),
            values=values,
        )

    def _search(self, context: Context) -> ModelSearch:
        return ModelSearch(self._chunk, context, self._names, self._sample)

    def _numbers(self, search: ModelSearch, after: Recipe, values: ModelValues) -> str:
        recipe, gain = search.recipe, search.winner[1]
        stays = f"it has {_named(recipe)}"
        if not self._names:
            return wording.sentences(["the model declares no hyperparameters to search"])
        if len(search.trained) < 2:
            held = (
                f"the {search.context.facts.allowance} steps of its budget are too few to compare"
            )
            return wording.sentences([held, stays])
        lost = [
            f"{len(lost)} of which {how}"
            for how, lost in (("diverged", values.diverged), ("failed", values.failed))
            if lost
        ]
        tried = f"{len(search.trained)} networks{''.join(f', {each}' for each in lost)}"
        of = f"{tried}, searched over {', '.join(search.names)}"
        if values.winner is None:
            return wording.sentences([of, "none was trained far enough to be compared", stays])
        if values.winner == INCUMBENT:
            why = gain or f"no other reaches its loss after {values.steps} steps"
            return wording.sentences([of, why, stays])
        won = gain or "it is the best of those that came so far, the one before being lost"
        pair = (
            f"it has {_named(after)} in place of {_named(recipe)}, compared at step {values.steps}"
        )
        rate, steps = _about_rate(recipe, after, values), _about_steps(recipe, after, values)
        return wording.sentences([of, won, pair, rate, steps])


def _score(search: ModelSearch, outcome: Outcome) -> float | None:
    score = search.score(outcome)
    return None if score is None else search.context.facts.objective.gain(score)  # the sign back


def _named(recipe: Recipe) -> str:
    return ", ".join(
        f"{name} {_short(value)}" for name, value in sorted(recipe.hyperparameters.items())
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _about_rate(recipe: Recipe, after: Recipe, values: ModelValues) -> str:
    if not values.rate_checked:
        checked = "its neighbors were not tried, the budget being spent"
        return f"learning rate {recipe.learning_rate:g}, as before ({checked})"
    of = f"it falls fastest and deepest of {recipe.learning_rate:g}, half and twice that"
    return f"learning rate {after.learning_rate:g}, before {recipe.learning_rate:g} ({of})"


def _about_steps(recipe: Recipe, after: Recipe, values: ModelValues) -> str:
    why = "1.5 times where its curve converged" if values.converged else "as many"
    return f"{after.total_steps} steps, before {recipe.total_steps} ({why})"
