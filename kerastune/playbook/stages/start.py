"""Before tuning: a batch size to start with (P7)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from kerastune.playbook import wording
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.decision import Decision, Values
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import OPTIMIZERS, Recipe
from kerastune.trial import TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Wanted

GOOD_START = 64
SMALL_DATA = 5000  # training examples
LARGE_MODEL = 10  # parameters per training example
LEAST_STEPS_PER_EPOCH = 8
# At the learning rate of its probe it is ahead of SGD on most recorded tasks (`runs/replay.py`).
OPTIMIZER = "adam"
LEARNING_RATE = 1e-3  # Keras's, until the probe suggests one
RATES = {"sgd": Recipe().learning_rate}  # of optimizers that want another
OF_OPTIMIZER = ("optimizer", "learning_rate", "beta_2", "weight_decay")
# What may be suggested.
SUGGESTIBLE = (*OF_OPTIMIZER, "batch_size", "label_smoothing", "dropout")
# What is said to stay as it was given.
NAMED = {"optimizer": "optimizer", "learning_rate": "learning rate", "batch_size": "batch size"}


def starting_batch_size(facts: Facts) -> tuple[int, str]:
    """A batch size and its reason (P7).

    64; twice that when the classes are imbalanced, so that rare ones are in most batches; half of
    it when the data is small and the model is not, since such a model generalizes better with
    noisier steps; what the network begins with, where it says so; never so large that an epoch has
    fewer than 8 steps.

    Example:
        >>> from kerastune.objective import Objective
        >>> facts = Facts(50_000, 5_000, Objective("accuracy", "max"), 0, num_parameters=100_000)
        >>> starting_batch_size(facts)
        (64, '64 is a good start')
    """
    size, reason = GOOD_START, f"{GOOD_START} is a good start"
    if known := facts.starting_recipe.get("batch_size"):
        size, reason = known, f"{known} is a good start for this network"
    elif facts.imbalanced:
        size, reason = (
            2 * GOOD_START,
            "the classes are imbalanced, and a larger batch holds the rare ones too",
        )
    elif 0 < facts.num_train < SMALL_DATA and facts.num_parameters > LARGE_MODEL * facts.num_train:
        size = GOOD_START // 2
        reason = (
            f"{facts.num_train} training examples are few for {facts.num_parameters:,} parameters"
        )
    fitting = within_epoch(size, facts.num_train)
    if fitting < size:
        least = f"at least {LEAST_STEPS_PER_EPOCH} steps"
        reason = f"with {facts.num_train} training examples an epoch keeps {least}"
    return fitting, reason


def within_epoch(size: int, num_train: int) -> int:
    """A batch size, halved until an epoch has 8 steps.

    Args:
        size: of a batch.
        num_train: training examples; 0 where nobody knows.

    Example:
        >>> within_epoch(64, 400), within_epoch(64, 0)
        (32, 64)
    """
    while num_train and size > 1 and num_train < LEAST_STEPS_PER_EPOCH * size:
        size //= 2
    return size


@dataclasses.dataclass(frozen=True)
class StartValues(Values):
    """What stage `start` found.

    Args:
        batch_size: to begin with.
    """

    batch_size: int = GOOD_START


class Start(Stage):
    """Sets the optimizer and the batch size that the learning rate is tuned with."""

    name = "start"
    question = "What optimizer and batch size to begin with?"
    share = 0.0
    values = StartValues

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        return wanted.suggestions

    def propose(self, context: Context) -> list[TrialSpec]:
        return []

    def decide(self, context: Context) -> Decision:
        size, reason = starting_batch_size(context.facts)
        suggested = suggestions(context.facts, context.recipe.optimizer) | {"batch_size": size}
        given = context.facts.given
        after = context.recipe.replace(
            **{name: value for name, value in suggested.items() if name not in given}
        )
        parts = [] if "batch_size" in given else [reason]
        if "optimizer" not in given:
            parts.append(f"{OPTIMIZERS[OPTIMIZER]} was best on most recorded tasks")
        if told := _told(after, context.recipe):
            parts.append(f"{told} suit this network on most data")
        if kept := [words for name, words in NAMED.items() if name in given]:
            is_fixed = context.facts.fixed_batch_size and kept == [NAMED["batch_size"]]
            parts.append(f"{', '.join(kept)} {'fixed' if is_fixed else 'as given'}")
        return self.decision(
            context,
            f"{OPTIMIZERS[after.optimizer]}, batch size {after.batch_size} to begin with",
            wording.sentences(parts),
            after=after,
            values=StartValues(after.batch_size),
        )


def leaves_some(given: Collection[str]) -> bool:
    """Whether something is left to be suggested.

    Args:
        given: names of the values of a recipe that the user gave.

    Example:
        >>> leaves_some(["optimizer", "learning_rate", "batch_size"]), leaves_some(SUGGESTIBLE)
        (True, False)
    """
    return not set(given) >= set(SUGGESTIBLE)


def suggestions(facts: Facts, optimizer: str) -> dict[str, Any]:
    """Values of a recipe to begin with, but for the batch size.

    What the network's authors name suits their optimizer; of a recipe with another that the user
    gave, learning rate, beta_2 and weight decay stay out.

    Args:
        facts: of the network and of what was given.
        optimizer: of the recipe, in force where it was given.

    Example:
        >>> from kerastune.objective import Objective
        >>> known = {"optimizer": "adam", "learning_rate": 0.004, "label_smoothing": 0.1}
        >>> facts = Facts(900, 90, Objective("accuracy", "max"), 0, starting_recipe=known)
        >>> suggestions(facts, "sgd")
        {'optimizer': 'adam', 'learning_rate': 0.004, 'label_smoothing': 0.1}
        >>> suggestions(dataclasses.replace(facts, given=frozenset({"optimizer"})), "lion")
        {'optimizer': 'lion', 'learning_rate': 0.001, 'label_smoothing': 0.1}
    """
    known = facts.starting_recipe
    if "optimizer" not in facts.given:
        return {"optimizer": OPTIMIZER, "learning_rate": LEARNING_RATE, **known}
    begun = {"optimizer": optimizer, "learning_rate": RATES.get(optimizer, LEARNING_RATE)}
    if known.get("optimizer") == optimizer:
        return begun | known
    return begun | {name: value for name, value in known.items() if name not in OF_OPTIMIZER}


def _told(recipe: Recipe, before: Recipe) -> str:
    """What is not left as it was, besides the learning rate, in words.

    Example:
        >>> _told(Recipe(beta_2=0.95, label_smoothing=0.1), Recipe())
        'beta_2 0.95 and label smoothing 0.1'
    """
    names = ("beta_2", "label_smoothing", "weight_decay", "dropout")
    changed = [name for name in names if getattr(recipe, name) != getattr(before, name)]
    words = [name if name == "beta_2" else name.replace("_", " ") for name in changed]
    parts = [f"{each} {getattr(recipe, name):g}" for each, name in zip(words, changed, strict=True)]
    return " and ".join(parts)
