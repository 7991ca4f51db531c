"""What stage 4 tries, one thing after another: the strengths of each, and which of them is trained
next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kerastune import schedules
from kerastune.playbook.context import rounded_up
from kerastune.playbook.rules import expected_gain
from kerastune.recipe import Recipe

PREFIX = "regularize"
AUGMENTATIONS = (0.05, 0.1, 0.2)
DROPOUTS = (0.1, 0.3, 0.5)
SMOOTHINGS = (0.05, 0.1, 0.2)
PENALTIES = (3e-4, 1e-3, 3e-3)  # of SGD: factors of an L2 penalty
SHRINKS = (
    0.3,
    1.0,
    3.0,
)  # of Adam: exponents by which a weight that no gradient holds would shrink over the training
RATES = (
    2.0,
    0.5,
)  # times the rate, once something was kept; what regularizes allows a higher one more often
MORE_EXAMPLES = (
    2  # times the steps of what makes other examples of those there are: less is seen of each
)
WORDS = {"flip": "a horizontal flip", "learning_rate": "another learning rate"}
LENGTHS = (2.0, 1.5)  # times the steps, the first one that fits


@dataclasses.dataclass(frozen=True)
class Thing:
    """One thing that is tried, on top of what was kept before.

    Args:
        value: the recipe's value that it changes.
        words: what people call it.
        phrase: format of one level in words.
        recipes: one per level, from weak to strong; `None` at the level that is there already.
        first: index of the level that is tried first.
        names: of the trials, one per level.
        times: the steps of what was kept before that its levels are trained for.
    """

    value: str
    words: str
    phrase: str
    recipes: tuple[Recipe | None, ...]
    first: int
    names: tuple[str, ...]
    times: int = 1

    def shown(self, recipe: Recipe) -> str:
        """What a recipe has of it, in words.

        Example:
            >>> dropout(Recipe()).shown(Recipe(dropout=0.3))
            'dropout 0.3'
            >>> flip(Recipe()).shown(Recipe(flip=True, total_steps=900))
            'a horizontal flip over 900 steps'
        """
        words = self.phrase.format(getattr(recipe, self.value))
        return f"{words} over {recipe.total_steps} steps" if self.times > 1 else words


def uphill(gains: Sequence[float | None], first: int, is_lost: bool = False) -> int | None:
    """Index of the level to try next, or `None` when the best one has been found: a climb over
    neighbors.

    The first level is a typical one. From then on the neighbors of the best level so far are tried,
    the stronger one first: what goes the wrong way is given up after two trainings, and what gains
    is followed as long as it does. While all fail, the next one above them is tried, then the next
    below.

    Args:
        gains: of every level over the one that is there already (whose own is 0), from weak to
            strong; `None` for those that were not tried, minus infinity for those that failed.
        first: index of the level that is tried first.
        is_lost: whether the first level loses significantly; then what lies between is not worth a
            training.

    Example:
        >>> [uphill([0.0, None, gain, None], 2) for gain in (None, 0.01, -0.01)]
        [2, 3, 1]
        >>> uphill([0.0, None, -0.2, None], 2, is_lost=True) is None
        True
    """
    if gains[first] is None:
        return first
    best = max((i for i, gain in enumerate(gains) if gain is not None), key=lambda i: gains[i])
    if gains[best] == float("-inf"):
        tried = [i for i, gain in enumerate(gains) if gain is not None]
        return next((i for i in (tried[-1] + 1, tried[0] - 1) if 0 <= i < len(gains)), None)
    for neighbor in (best + 1, best - 1):
        is_between = min(best, first) < neighbor < max(best, first)
        if 0 <= neighbor < len(gains) and gains[neighbor] is None and not (is_lost and is_between):
            return neighbor
    return None


def is_passed(thing: Thing, trials: Iterable[str], data: str) -> bool:
    """Whether a later thing was begun already, on top of what was found of this one.

    With a budget in time, what it holds is an estimate: what it did not hold then must stay
    untried.

    Example:
        >>> trials = ("regularize-base", "regularize-total_steps-x2")
        >>> [is_passed(dropout(Recipe()), [each], "table") for each in trials]
        [False, True]
    """
    made = (*order(data), learning_rate, total_steps)
    sequence = [make.__name__ for make in made]
    later = sequence[sequence.index(thing.value) + 1 :]
    return any(trial.startswith(f"{PREFIX}-{value}-") for trial in trials for value in later)


def augmentation(recipe: Recipe) -> Thing:
    """Shifts, turns or noise, in twice the steps where there were none before."""
    times = 1 if recipe.augmentation else MORE_EXAMPLES
    return _ladder(
        recipe,
        "augmentation",
        "augmentation {:.4g}",
        AUGMENTATIONS,
        first=AUGMENTATIONS[1],
        times=times,
    )


def flip(recipe: Recipe) -> Thing:
    """A horizontal flip, which keeps the label of a shoe and not that of a digit: only a training
    can tell.

    In twice the steps: in as many as before each of twice the examples is seen half as often.
    """
    other = not recipe.flip
    times = MORE_EXAMPLES if other else 1
    return _ladder(recipe, "flip", in_words("flip", other), (other,), first=other, times=times)


def in_words(value: str, level: float | bool | None) -> str:
    """A level of what regularizes, for people.

    Example:
        >>> in_words("weight_decay", 0.01), in_words("flip", True), in_words("dropout", None)
        ('weight decay 0.01', 'a horizontal flip', "the layers' own dropout")
    """
    if value == "flip":
        return "a horizontal flip" if level else "no horizontal flip"
    name = value.replace("_", " ")
    return f"the layers' own {name}" if level is None else f"{name} {level:.4g}"


def dropout(recipe: Recipe) -> Thing:
    """Dropout, where the model has layers for it."""
    return _ladder(recipe, "dropout", "dropout {:.4g}", DROPOUTS, first=DROPOUTS[1])


def weight_decay(recipe: Recipe) -> Thing:
    """Decoupled weight decay, such that it means the same whatever rate, momentum and number of
    steps.
    """
    strengths = weight_decays(recipe)
    return _ladder(
        recipe,
        "weight_decay",
        "weight decay {:.4g}",
        tuple(strengths),
        typical_weight_decay(recipe),
        shown=strengths,
    )


def typical_weight_decay(recipe: Recipe) -> float:
    """The strength that is tried first.

    Example:
        >>> typical_weight_decay(Recipe(momentum=0.9))
        0.01
    """
    return list(weight_decays(recipe))[1]


def weight_decays(recipe: Recipe) -> dict[float, float]:
    """The strengths by what they mean: the L2 penalty that SGD would need, or how far a weight of
    Adam's shrinks.

    With momentum a gradient, and so a penalty's, acts 1 / (1 - momentum) times, decoupled decay
    acts once. Adam divides gradients by their size, so that a penalty tells nothing there
    (Loshchilov and Hutter 2019, arXiv:1711.05101).
    """
    if recipe.optimizer == "sgd":
        return {float(f"{penalty / (1 - recipe.momentum):.2g}"): penalty for penalty in PENALTIES}
    table = schedules.rates(recipe)
    moved = recipe.total_steps * table[0] if len(table) == 1 else np.sum(table)
    return {float(f"{shrink / moved:.2g}"): shrink for shrink in SHRINKS}


def label_smoothing(recipe: Recipe) -> Thing:
    """Label smoothing, with a loss that allows it."""
    return _ladder(
        recipe, "label_smoothing", "label smoothing {:.4g}", SMOOTHINGS, first=SMOOTHINGS[1]
    )


def learning_rate(recipe: Recipe) -> Thing:
    """The neighbors of the rate, since what regularizes moves the best one."""
    rates = {factor * recipe.learning_rate: f"x{factor:g}" for factor in RATES}
    return _ladder(
        recipe,
        "learning_rate",
        "a learning rate of {:.4g}",
        tuple(rates),
        first=list(rates)[0],
        shown=rates,
    )


def total_steps(recipe: Recipe, every: int, fits: Callable[[Recipe, str], bool]) -> Thing:
    """A training of 2 or else 1.5 times the steps.

    Args:
        recipe: what was kept.
        every: steps between two evaluations; the longer training is a multiple of it.
        fits: whether a longer recipe under that name can be had.
    """
    for times in LENGTHS:
        longer = recipe.over(rounded_up(times * recipe.total_steps, every))
        name = f"{PREFIX}-total_steps-x{times:g}"
        if fits(longer, name):
            break
    return Thing("total_steps", "a longer training", "{} steps", (None, longer), 1, ("", name))


# Where nothing is known of other tasks: what is likely to gain most for its steps comes first.
ORDER = (dropout, flip, weight_decay, augmentation, label_smoothing)


def order(data: str) -> list[Callable[[Recipe], Thing]]:
    """What is tried, in its order: what gained most on other tasks of this kind of data comes
    first, since the budget may end at any of them.

    Args:
        data: as `expected_gain.prior` takes it.
    """
    return sorted(ORDER, key=lambda make: -expected_gain.prior(make.__name__, data).mean)


def _ladder(
    recipe: Recipe,
    value: str,
    phrase: str,
    strengths: Sequence,
    first,
    shown: dict | None = None,
    times: int = 1,
) -> Thing:
    """The strengths with the level that is there already among them, weak to strong; nothing at all
    is the weakest.
    """
    present = getattr(recipe, value)
    levels = sorted({*strengths, present}, key=lambda level: -1 if level is None else level)
    trained = recipe.over(times * recipe.total_steps)
    recipes = tuple(
        None if level == present else trained.replace(**{value: level}) for level in levels
    )
    names = tuple(f"{PREFIX}-{value}-{(shown or {}).get(level, level)}" for level in levels)
    words = WORDS.get(value, value.replace("_", " "))
    return Thing(value, words, phrase, recipes, levels.index(first), names, times)


def added_weight_decay(recipe: Recipe, before: Recipe) -> str:
    """The weight decay of a recipe in words; empty where the one before had the same.

    Example:
        >>> added_weight_decay(Recipe(weight_decay=1e-4), Recipe())
        'weight decay 0.0001'
    """
    is_same = recipe.weight_decay == before.weight_decay
    return "" if is_same else f"weight decay {recipe.weight_decay:g}"
