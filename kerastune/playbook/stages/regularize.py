"""Stage 4: what keeps a network from overfitting (S4.1, P6), one thing after another.

Where the curves show overfitting everything is tried, else only what gained on other tasks.
Dropout, a flip, weight decay, augmentation and label smoothing are tried on top of what was kept
before, each at a few strengths, in whole trainings that are compared paired at their end; what is
expected to gain is kept. A flip and augmentation get twice the steps, and a flip is judged with the
mirror images that it lets the network be asked about. What is kept moves the best rate, for which a
training is set aside, and may need more steps still: both are tried at the end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kerastune.playbook import wording
from kerastune.playbook.context import Context, rounded_up
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import expected_gain, full_training, regularizers
from kerastune.playbook.rules.hill_climb import FAILED, Tried, Walk, WalkingStage
from kerastune.playbook.rules.overfitting import RISE, is_cut_short, loss_rise, overfitting
from kerastune.playbook.rules.regularizers import Thing
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.recipes import Recipes
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

BASE = "regularize-base"
LEAST_TRIED = (
    4  # trainings for which a longer base leaves room: two with dropout, a flip in twice the steps
)
Make = Callable[[Recipe], Thing]
HANDED_ON = ("weight_decay", "dropout", "label_smoothing", "augmentation", "flip", "total_steps")


@dataclasses.dataclass(frozen=True)
class RegularizeValues(ChosenTrial):
    """What stage `regularize` found.

    Args:
        weight_decay: of the recipe that it hands on, as all that follow.
        dropout: `None` where the layers have their own.
        label_smoothing: fraction.
        augmentation: strength.
        flip: whether images are flipped.
        total_steps: of a training.
        gains: of everything that was tried.
        scored_by: what the gains measure.
    """

    weight_decay: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    augmentation: float = 0.0
    flip: bool = False
    total_steps: int = 0
    gains: tuple[Tried, ...] = ()
    scored_by: str = "accuracy"


class Regularize(WalkingStage):
    """Tunes what regularizes, where the network overfits.

    Args:
        chunk: as in `WholeTrainings`.
        stretch: as in `WholeTrainings`.
        views: whether a later stage may average over several views of an example.
    """

    name = "regularize"
    question = "Does it overfit?"
    share = 0.7
    values = RegularizeValues
    figure = "gains"
    figure_title = "What regularizes"
    tunes = True
    stretches = True

    def __init__(self, chunk: int, stretch: int = 1, views: bool = False):
        super().__init__(chunk, stretch)
        self._views = views

    @classmethod
    def create(cls, setup: Setup) -> Regularize:
        return cls(setup.chunk, setup.stretch(cls), views=setup.has("tta"))

    def decide(self, context: Context) -> Decision:
        walk = self._walk(context)
        after = context.recipe if walk.best is None else walk.best.spec.recipe
        values = RegularizeValues(
            trial=walk.best.spec.trial if walk.best else None,
            steps_spent=context.spent(self.name),
            **{name: getattr(after, name) for name in HANDED_ON},
            gains=tuple(walk.gains),
            scored_by=context.facts.scored_by,
        )
        headline = walk.headline or _headline(context.recipe, after, bool(walk.gains))
        return self.decision(
            context, headline, walk.numbers, after=after, evidence=walk.seen, values=values
        )

    def _walk(self, context: Context) -> Walk:
        walk = Walk()
        if context.facts.keeps_recipe(context.recipe):
            walk.headline, walk.parts = "Regularization not tried", [wording.KEPT]
            return walk
        base = full_training.planned(context.recipe, context.facts, self._stretch, self._chunk)
        known = full_training.trained_before(
            (FineTune.name, Decay.name, Weights.name, Recipes.name), base, context
        )
        if known:
            context = context.replace(outcomes=context.outcomes | {BASE: known})
        if BASE not in context.outcomes and 2 * base.total_steps > context.facts.allowance:
            # Alone it would tell of overfitting that nothing can be done about, in time that the
            # training could use.
            two = f"two trainings of {base.total_steps}"
            held = f"its {context.facts.allowance} steps do not hold {two}"
            walk.headline = "Regularization not tried"
            walk.parts = [f"{held}, one with regularization and one without"]
            return walk
        self._train(walk, BASE, base, context)
        if walk.due or not full_training.is_comparable(context.outcomes.get(BASE)):
            walk.headline = "Regularization not tried"
            walk.parts = ["no whole training could be had to look for overfitting"]
            return walk
        walk.best = context.outcomes[BASE]
        found, is_overfitting = overfitting(walk.best, context.facts)
        walk.parts.append(found)
        makes = [
            make
            for make in regularizers.order(context.facts.data)
            if is_overfitting or _is_promising(make, context)
        ]
        if not makes:
            walk.headline = "No overfitting: no regularization added"
            return walk
        tried = self._long_enough(walk, context)
        if tried is not None:
            self._try_all(walk, makes, tried, context)
        return walk

    def _long_enough(self, walk: Walk, context: Context) -> Recipe | None:
        """The recipe of trainings long enough to tell what regularizing is worth; `None` while
        there is none.

        Where validation loss does not rise, more steps may bring what regularizing seems to bring:
        twice as many come first, while they are expected to gain more than a tie. Those of them
        that are better must be beaten.
        """
        recipe = walk.best.spec.recipe
        while loss_rise(walk.best) <= RISE:
            every = context.evaluation_interval(self._chunk, 2 * recipe.total_steps)
            longer = recipe.over(rounded_up(2 * recipe.total_steps, every))
            if longer.total_steps > context.facts.most_steps(longer.batch_size):
                return recipe
            name = f"{BASE}-{longer.total_steps}"
            if name not in context.outcomes and self._is_trying(context.outcomes):
                return recipe
            if name not in context.outcomes and (
                1 + LEAST_TRIED
            ) * longer.total_steps > context.left(self.name):
                return recipe
            self._train(walk, name, longer, context)
            if walk.due or not full_training.is_comparable(context.outcomes[name]):
                return None if walk.due else recipe
            recipe, doubled, shorter = longer, context.outcomes[name], walk.best
            compared = full_training.compare(doubled, shorter)
            gain = full_training.expected_of(compared, shorter, context, "longer")
            words = wording.expected(gain, compared, context.facts.scored_by)
            walk.parts.append(
                f"{recipe.total_steps} steps against {shorter.spec.recipe.total_steps}: {words}"
            )
            walk.note(doubled, f"{recipe.total_steps} steps")
            if gain.mean > 0:
                walk.keep(doubled)
            if not gain.is_gain:
                break
        return recipe

    def _is_trying(self, outcomes: dict[str, Outcome]) -> bool:
        """Whether something that regularizes was begun: budgets in time are estimates, and it fixed
        the length.
        """
        return any(
            each.spec.stage == self.name and not name.startswith(BASE)
            for name, each in outcomes.items()
        )

    def _try_all(self, walk: Walk, makes: Sequence[Make], tried: Recipe, context: Context) -> None:
        """Tries one thing after another on top of a recipe, and then what those that were kept ask
        for.
        """
        unregularized = walk.best
        for make in makes:
            if walk.due:
                return
            if walk.best is unregularized:
                self._try(walk, make(tried), context)
            else:
                kept = walk.best.spec.recipe
                self._try(walk, make(kept), context.setting_aside(kept.total_steps))
        if walk.best is unregularized:
            return
        for make in (self._rates, self._longer):
            if not walk.due:
                make(walk, context)

    def _try(self, walk: Walk, thing: Thing, context: Context) -> None:
        """Trains the levels of one thing as far as they lead uphill, and keeps the best if it is
        expected to gain.
        """
        if thing.value in context.facts.unusable:
            walk.parts.append(
                f"{thing.words} was left out, since {context.facts.unusable[thing.value]}"
            )
            return
        is_passed = regularizers.is_passed(thing, context.outcomes, context.facts.data)
        trainings = list(zip(thing.names, thing.recipes))
        gains, is_cut = self._climb(walk, trainings, thing.first, is_passed, context)
        if not walk.due:
            self._judge(walk, thing, gains, is_cut, context)

    def _judge(self, walk: Walk, thing: Thing, gains: list, is_cut: bool, context: Context) -> None:
        tried = [
            level
            for level, gain in enumerate(gains)
            if gain is not None and thing.recipes[level] is not None
        ]
        sound = [context.outcomes[thing.names[level]] for level in tried if gains[level] != FAILED]
        if not sound:
            left = f"was left out, the budget for it being {context.facts.allowance} steps"
            walk.parts.append(
                f"{thing.words} {'could not be trained to an end' if tried else left}"
            )
            return
        for outcome in sound:
            walk.note(outcome, thing.shown(outcome.spec.recipe))
        best = max(sound, key=walk.gain)
        compare = full_training.compare_mirrored if self._views else full_training.compare
        compared = compare(best, walk.best)
        expected = full_training.expected_of(compared, walk.best, context, thing.value)
        gain = wording.expected(expected, compared, context.facts.scored_by)
        among = f", the best of {len(tried)}" if len(tried) > 1 else ""
        more = " (the budget held no more of them)" if is_cut else ""
        kept = "is kept" if expected.is_gain else "is left out"
        walk.parts.append(f"{thing.shown(best.spec.recipe)}{among}{more}: {gain}, so it {kept}")
        if expected.is_gain:
            walk.keep(best)

    def _longer(self, walk: Walk, context: Context) -> None:
        """Tries more steps where those that there were are not enough for what regularizes."""
        if not is_cut_short(walk.best):
            walk.parts.append(
                "its steps are enough: training loss no longer falls, or validation loss rises"
            )
            return
        recipe = walk.best.spec.recipe
        every = walk.best.spec.eval_every
        thing = regularizers.total_steps(
            recipe, every, lambda longer, name: self._fits(name, longer, context)
        )
        walk.parts.append("with what is kept, training loss still falls at the end")
        self._try(walk, thing, context)

    def _rates(self, walk: Walk, context: Context) -> None:
        self._try(walk, regularizers.learning_rate(walk.best.spec.recipe), context)


def _is_promising(make: Make, context: Context) -> bool:
    """Whether something gained on other tasks, be the network overfitting or not."""
    return expected_gain.prior(make.__name__, context.facts.data).mean > expected_gain.TIE


def _headline(before: Recipe, after: Recipe, was_tried: bool) -> str:
    added = [
        regularizers.in_words(name, getattr(after, name))
        for name in HANDED_ON
        if name != "total_steps" and getattr(after, name) != getattr(before, name)
    ]
    if not added:
        found = "helps" if was_tried else "could be tried"
        return f"No regularization {found}"
    words = ", ".join(added)
    return words[0].upper() + words[1:]
