"""Which batch sizes, momenta and optimizers are worth a trial, and the rates that they start from
(S2.1, S2.2).
"""

from __future__ import annotations

import itertools

import numpy as np

from kerastune.playbook.context import Facts
from kerastune.playbook.stages.start import LEAST_STEPS_PER_EPOCH
from kerastune.recipe import OPTIMIZERS, Recipe

FACTORS = (0.5, 1, 2, 4)  # times the batch size
MOMENTA = (0.8, 0.9, 0.95)


def transferred_rate(recipe: Recipe, batch_size: int, momentum: float) -> float:
    """The rate that trains with another batch size and momentum about as the recipe's rate does
    with its own.

    What is kept is the noise of the updates. SGD's is in proportion to `rate / (batch_size * (1 -
    momentum))` (Smith and Le 2018, arXiv:1710.06451), which makes the rate grow with the batch
    (Goyal et al. 2017, arXiv:1706.02677). Adam's rate grows with the square root of the batch
    (Malladi et al. 2022, arXiv:2205.10287); momentum is not its affair. Rounded to two digits. No
    rule leads from one optimizer to the other.

    Example:
        >>> transferred_rate(Recipe(learning_rate=0.03, batch_size=64, momentum=0.9), 128, 0.95)
        0.03
        >>> transferred_rate(Recipe(optimizer="adam", learning_rate=0.001, batch_size=64), 256, 0.9)
        0.002
    """
    factor = batch_size / recipe.batch_size
    if recipe.optimizer != "sgd":
        return rounded(recipe.learning_rate * float(np.sqrt(factor)))
    return rounded(recipe.learning_rate * factor * (1 - momentum) / (1 - recipe.momentum))


def rounded(rate: float) -> float:
    """A rate with two digits.

    Example:
        >>> rounded(0.01234)
        0.012
    """
    return float(f"{rate:.2g}")


def other_optimizer(recipe: Recipe) -> Recipe:
    """The recipe with the other optimizer (S2.1); its rate is still to be found."""
    return recipe.replace(optimizer="adam" if recipe.optimizer == "sgd" else "sgd")


def batch_sizes(recipe: Recipe, facts: Facts) -> list[int]:
    """Half of the recipe's batch size, itself, twice and four times that, while an epoch keeps 8
    steps; itself alone where it is fixed.

    Example:
        >>> from kerastune.objective import Objective
        >>> batch_sizes(Recipe(batch_size=64), Facts(1500, 100, Objective("loss", "min"), 0))
        [32, 64, 128]
    """
    if facts.fixed_batch_size:
        return [recipe.batch_size]
    sizes = {int(recipe.batch_size * factor) for factor in FACTORS} - {0}
    most = max(recipe.batch_size, facts.num_train // LEAST_STEPS_PER_EPOCH)
    return sorted(size for size in sizes if size <= most or not facts.num_train)


def grid(recipe: Recipe, facts: Facts) -> list[Recipe]:
    """Every other setting of the recipe's own optimizer: batch sizes x momenta, and without
    Nesterov (or with).

    Adam has no momentum to be tuned. Momentum zero is the same with and without Nesterov.
    """
    if recipe.optimizer != "sgd":
        pairs = [(size, recipe.momentum) for size in batch_sizes(recipe, facts)]
    else:
        pairs = list(itertools.product(batch_sizes(recipe, facts), MOMENTA))
    others = [
        recipe.replace(
            batch_size=size,
            momentum=momentum,
            learning_rate=transferred_rate(recipe, size, momentum),
        )
        for size, momentum in pairs
        if (size, momentum) != (recipe.batch_size, recipe.momentum)
    ]
    if recipe.optimizer == "sgd" and recipe.momentum:
        others.append(recipe.replace(nesterov=not recipe.nesterov))
    return others


def in_random_order(settings: list[Recipe], seed: int) -> list[Recipe]:
    """The settings in an order that depends on the seed alone: as many as are affordable are a
    random search.
    """
    return [settings[i] for i in np.random.default_rng(seed).permutation(len(settings))]


def setting_name(setting: Recipe) -> str:
    """Short and for file names, the same for all rates.

    Example:
        >>> setting_name(Recipe(batch_size=128)), setting_name(Recipe(optimizer="adam"))
        ('128-0.9-nesterov', '64-adam')
    """
    if setting.optimizer != "sgd":
        return f"{setting.batch_size}-{setting.optimizer}"
    return f"{setting.batch_size}-{setting.momentum:g}" + ("-nesterov" if setting.nesterov else "")


def in_words(setting: Recipe) -> str:
    """For people.

    Example:
        >>> in_words(Recipe(batch_size=128, nesterov=False))
        'SGD with batches of 128 and momentum 0.9'
    """
    if setting.optimizer != "sgd":
        return f"{OPTIMIZERS[setting.optimizer]} with batches of {setting.batch_size}"
    kind = "Nesterov momentum" if setting.nesterov else "momentum"
    return f"SGD with batches of {setting.batch_size} and {kind} {setting.momentum:g}"
