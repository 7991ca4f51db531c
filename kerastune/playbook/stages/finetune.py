"""How deep to unfreeze a pretrained model, and how much slower its lower layers learn (S4.2, S4.3).

The head alone comes first: earlier stages found its rate. Then layers are unfrozen from the top in
a few steps, each with a check of its rate; every training begins with some steps in which only the
new head moves. How deep to go and a decay of the rate from layer to layer are kept only beyond
noise.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kerastune.playbook import wording
from kerastune.playbook.context import Context
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import batch_grid, full_training
from kerastune.playbook.rules.hill_climb import FAILED, Tried, Walk, WalkingStage
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Wanted

BASE, DECAY = "finetune-head", "finetune-layer_decay"
DEPTHS = (2 / 3, 1 / 3, 0)  # of the pretrained layers, that stay frozen
HEAD_SHARE = (
    0.25  # of the steps: after them a new head no longer sends noise into what was learnt before
)
RATES = (
    3.0,
    1.0,
    0.3,
    0.1,
    0.03,
)  # times the rate of the depth before; the second one is tried first
SHARES = (1.0, 0.3, 0.1, 0.03)  # of the rate, that the lowest layer trained learns at
HANDED_ON = ("frozen", "head", "head_fraction", "learning_rate", "layer_decay")
TRAININGS = (
    6  # that the allowance should hold at least: the head, and a depth or two with their rates
)


@dataclasses.dataclass(frozen=True)
class Levels:
    """One thing that is tried, at a few levels.

    Args:
        prefix: of the names of its trials.
        recipes: one per level by the rest of the trial's name; `None` at the level that is there
            already.
        first: index of the level that is tried first.
        words: what one level is called, a format of a recipe.
        later: prefixes of the trials of what is tried after it.
    """

    prefix: str
    recipes: dict[str, Recipe | None]
    first: int
    words: str
    later: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FineTuneValues(ChosenTrial):
    """What stage `finetune` found.

    Args:
        frozen: layers with kernels that stay frozen, from the input on.
        head: layers with kernels that are new.
        head_fraction: of the steps, in which only the head moves.
        learning_rate: of the head.
        layer_decay: times the learning rate of the layer above.
        pretrained: layers that came with their weights.
        gains: of everything that was tried.
        scored_by: what the gains measure.
    """

    frozen: int = 0
    head: int = 1
    head_fraction: float = 0.0
    learning_rate: float = 0.0
    layer_decay: float = 1.0
    pretrained: int = 0
    gains: tuple[Tried, ...] = ()
    scored_by: str = "accuracy"


class FineTune(WalkingStage):
    """Tunes what of a pretrained model is trained, and how fast.

    The steps that it hands on are those of its trainings where it unfroze something, else those
    that it was given; later stages stretch them as it does.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        stretch: times the recipe's steps that a training takes.
    """

    name = "finetune"
    question = "How deep to unfreeze, and how fast should each layer learn?"
    share = 0.6
    values = FineTuneValues
    least_steps = 600
    figure = "gains"
    figure_title = "What is unfrozen, and how fast it learns"
    tunes = True

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.pretrained

    def decide(self, context: Context) -> Decision:
        walk = self._walk(context)
        best = context.recipe if walk.best is None else walk.best.spec.recipe
        found = {name: getattr(best, name) for name in HANDED_ON}
        values = FineTuneValues(
            trial=walk.best.spec.trial if walk.best else None,
            steps_spent=context.spent(self.name),
            **found,
            pretrained=context.facts.pretrained,
            gains=tuple(walk.gains),
            scored_by=context.facts.scored_by,
        )
        after = context.recipe.replace(**found)
        if walk.best is not None and best.frozen < (
            context.recipe.frozen or context.facts.pretrained
        ):
            after = after.over(best.total_steps // self._stretch)
        headline = walk.headline or _headline(best, context)
        return self.decision(
            context, headline, walk.numbers, after=after, evidence=walk.seen, values=values
        )

    def _walk(self, context: Context) -> Walk:
        walk = Walk()
        if not context.facts.pretrained:
            walk.headline = "Nothing to fine-tune"
            walk.parts = ["no layer has weights that were loaded and may be trained"]
            return walk
        top = context.recipe.frozen or context.facts.pretrained
        alone = context.recipe.replace(
            frozen=top, head=context.facts.levels - context.facts.pretrained, head_fraction=0.0
        )
        base = self._planned(context.replace(recipe=alone))
        self._train(walk, BASE, base, context)
        if walk.due or not full_training.is_comparable(context.outcomes.get(BASE)):
            walk.headline = "Nothing is unfrozen"
            walk.parts = ["no whole training of the head alone could be had to compare with"]
            return walk
        walk.best, rate = context.outcomes[BASE], base.learning_rate
        came = f"{context.facts.pretrained} came with their weights"
        walk.parts.append(f"of {context.facts.levels} layers with kernels, {came}")
        walk.parts.append(f"each training has {base.total_steps} steps")
        for frozen in depths(top):
            found, goes_on = self._try(walk, _depth(base, frozen, rate, top), context)
            rate = min(
                found, base.learning_rate
            )  # noise alone must not drive it up from depth to depth
            if not goes_on:
                break
        if not walk.due:
            self._decay(walk, top, context)
        return walk

    def _planned(self, context: Context) -> Recipe:
        """A whole training of the head alone, shortened where the allowance would not hold a few of
        that length.

        The steps were found with the head alone, which is slow: more layers learn the same in fewer
        steps.
        """
        planned = full_training.planned(context.recipe, context.facts, self._stretch, self._chunk)
        if BASE in context.outcomes:
            # With a budget in time the allowance changes, and all trainings must have the same
            # length.
            return planned.over(context.outcomes[BASE].spec.recipe.total_steps)
        most = max(context.facts.allowance // TRAININGS, self._chunk)
        every = context.evaluation_interval(self._chunk, most)
        return planned.over(min(planned.total_steps, most // every * every))

    def _decay(self, walk: Walk, top: int, context: Context) -> None:
        recipe = walk.best.spec.recipe
        if recipe.frozen == top:
            walk.parts.append(f"the {top} lowest layers stay frozen")
        elif recipe.layer_decay < 1 or recipe.layer_rate:
            walk.parts.append("the learning rates of layers are those that were given")
        else:
            self._try(walk, _layer_decay(recipe, context.facts.levels), context)

    def _try(self, walk: Walk, levels: Levels, context: Context) -> tuple[float, bool]:
        """Trains the levels of one thing: the learning rate of the best, and whether to go on."""
        names = [f"{levels.prefix}-{each}" for each in levels.recipes]
        recipes = list(levels.recipes.values())
        is_passed = any(
            trial.startswith(f"{prefix}-") for trial in context.outcomes for prefix in levels.later
        )
        gains, is_cut = self._climb(
            walk, list(zip(names, recipes)), levels.first, is_passed, context
        )
        rate = walk.best.spec.recipe.learning_rate
        if walk.due:
            return rate, False
        # The one that was tried first wins a tie.
        tried = sorted(
            (i for i, gain in enumerate(gains) if recipes[i] and gain is not None),
            key=levels.first.__ne__,
        )
        sound = [context.outcomes[names[i]] for i in tried if gains[i] != FAILED]
        if not sound:
            left = (
                "could not be trained to an end"
                if tried
                else f"exceeds the {context.facts.allowance} steps of the stage"
            )
            walk.parts.append(f"{levels.words.format(recipes[levels.first])} {left}")
            return rate, False
        best = max(sound, key=walk.gain)
        among = f", the best of {len(sound)}" if len(sound) > 1 else ""
        words = (
            levels.words.format(best.spec.recipe)
            + among
            + " (the budget held no more of them)" * is_cut
        )
        for outcome in sound:
            walk.note(outcome, levels.words.format(outcome.spec.recipe))
        return best.spec.recipe.learning_rate, self._judge(walk, words, best, context)

    def _judge(self, walk: Walk, words: str, best: Outcome, context: Context) -> bool:
        """Keeps the best level if it is expected to gain; gives whether there is hope for more of
        the same.
        """
        compared = full_training.compare(best, walk.best)
        expected = full_training.expected_of(compared, walk.best, context, "finetune")
        gain = wording.expected(expected, compared, context.facts.scored_by)
        kept = "is kept" if expected.is_gain else "is left out"
        walk.parts.append(f"{words}: {gain}, so it {kept}")
        if expected.is_gain:
            walk.keep(best)
        return compared.sign >= 0


def _headline(best: Recipe, context: Context) -> str:
    if best.frozen == (context.recipe.frozen or context.facts.pretrained):
        return "Only the head is trained"
    decay = f", layer decay {best.layer_decay:g}" if best.layer_decay < 1 else ""
    frozen = f"{best.frozen} layer{'s' * (best.frozen != 1)} frozen"
    return f"{frozen}, learning rate {best.learning_rate:g}{decay}"


def depths(top: int) -> list[int]:
    """Numbers of layers that stay frozen, from nearly all to none: unfreezing from the top in a few
    steps.

    Example:
        >>> depths(12), depths(2), depths(1)
        ([8, 4, 0], [1, 0], [0])
    """
    return [each for each in dict.fromkeys(round(share * top) for share in DEPTHS) if each < top]


def _depth(base: Recipe, frozen: int, rate: float, top: int) -> Levels:
    rates = [batch_grid.rounded(factor * rate) for factor in RATES]
    recipe = base.replace(frozen=frozen, head_fraction=HEAD_SHARE)
    later = [f"finetune-{each}" for each in depths(top) if each < frozen]
    recipes = {f"{each:g}": recipe.replace(learning_rate=each) for each in rates}
    words = (
        f"{frozen} layer{'s' * (frozen != 1)} frozen" + " at a learning rate of {0.learning_rate:g}"
    )
    return Levels(f"finetune-{frozen}", recipes, RATES.index(1.0), words, (*later, DECAY))


def _layer_decay(recipe: Recipe, levels: int) -> Levels:
    factors = [decay_for(share, levels - 1 - recipe.frozen) for share in SHARES]
    recipes = {
        f"{each:g}": None if each == 1 else recipe.replace(layer_decay=each) for each in factors
    }
    return Levels(
        DECAY,
        recipes,
        1,
        "a learning rate that falls by {0.layer_decay:g} from layer to layer",
        (),
    )


def decay_for(share: float, num_layers: int) -> float:
    """The factor from layer to layer with which the rate falls to a share over so many layers, with
    three digits.

    Example:
        >>> decay_for(0.1, 4), decay_for(1.0, 4)
        (0.562, 1.0)
    """
    return float(f"{share ** (1 / num_layers):.3g}")
