"""What is fitted on the recorded runs: gains of every recipe by kind of data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from recorded_runs import SMALL, World

from kerastune.playbook.rules.expected_gain import WIDER

OTHER = "other"  # data of no recorded kind: all tasks count the same
OTHERS = 0.25  # what a task of another kind counts
OTHER_SIZES = 0.1  # what a small task counts for large ones, and the other way round
STDS = np.geomspace(0.002, 0.1, 60)  # of a gain over tasks, in units of the score
USUAL_STD = 0.01
FEW_RECIPES = 4  # that are as good as independent
MOST = 0.05  # a larger gain or loss counts as this: a training that broke down says no more


@dataclasses.dataclass(frozen=True)
class Prior:
    """Normal prior of a recipe's true gain over the base recipe, in units of the score.

    Args:
        mean: of the gain.
        std: of the true gain over tasks; what is noise of the test parts is taken off.
        error: standard error of `mean`.
        tasks: of the same kind that it was seen on.
    """

    mean: float
    std: float
    error: float
    tasks: int


def gain(world: World, recipe: str, reference: str = "base") -> tuple[float, float]:
    """Gain over a reference on the test part, the mean over seeds, and its standard error.

    It is at least -`MOST` and at most `MOST`.

    The error is that of paired examples, measured against the base recipe on the validation part,
    and that of seeds.
    """
    difference = np.clip(world.finals[recipe] - world.finals[reference], -MOST, MOST)
    _, validated, tested = world.entry["examples"]
    one = 1 / tested  # example more or less, where all others are the same
    runs = [world.runs[recipe, seed] for seed in world.seeds]
    judged = world.entry.get("fold", validated)
    by_examples = np.mean([run["gain_error"] ** 2 for run in runs]) * judged / tested + one**2
    by_seed = [
        world.kept_test(recipe, seed) - world.kept_test(reference, seed) for seed in world.seeds
    ]
    by_seeds = np.var(by_seed, ddof=1) / len(runs) if len(runs) > 1 else by_examples
    return float(difference), min(float(np.sqrt(by_examples + by_seeds)), MOST)


def fitted(
    gains: np.ndarray, errors: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Mean and standard deviation of true gains that were measured with errors.

    The standard deviation is the most likely one of `STDS`, where those near `USUAL_STD` are taken
    for likelier beforehand, by a factor of e at a factor of four.

    Args:
        gains: measured `[tasks]`.
        errors: their standard errors `[tasks]`.
        weights: what every task counts `[tasks]`, above 0.

    Returns:
        Mean, standard deviation and standard error of the mean.

    Example:
        >>> mean, std, error = fitted(np.array([0.0, 0.04] * 20), np.full(40, 0.001), np.ones(40))
        >>> round(mean, 3), round(std, 2), round(error, 3)
        (0.02, 0.02, 0.003)
    """
    variances = np.square(STDS)[:, None] + np.square(errors)
    precise = weights / variances
    means = (precise @ gains) / precise.sum(axis=1)
    distances = np.square(gains - means[:, None]) / variances
    likely = -0.5 * (distances + np.log(variances)) @ weights
    likely -= np.square(np.log(STDS / USUAL_STD) / np.log(4))
    best = int(np.argmax(likely))
    return float(means[best]), float(STDS[best]), float(precise[best].sum() ** -0.5)


def alike(worlds: Sequence[World], data: str) -> np.ndarray:
    """Which tasks are of a kind of data, whatever their size `[tasks]`; all are of `OTHER`."""
    group = data.removesuffix(SMALL)
    return np.array([group in (world.entry["group"], OTHER) for world in worlds])


def weights(worlds: Sequence[World], data: str) -> np.ndarray:
    """What every task counts for a kind and size of data `[tasks]`."""
    same_size = [world.is_small == data.endswith(SMALL) for world in worlds]
    return np.where(alike(worlds, data), 1.0, OTHERS) * np.where(same_size, 1.0, OTHER_SIZES)


def priors(worlds: Sequence[World], data: str, reference: str = "base") -> dict[str, Prior]:
    """Priors of all recipes for a kind and size of data, as `World.data` has it.

    Gains are over the reference, on the tasks that have it.
    """
    worlds = [world for world in worlds if reference in world.recipes]
    found = {reference: Prior(0.0, 0.0, 0.0, int(alike(worlds, data).sum()))}
    for recipe in dict.fromkeys(recipe for world in worlds for recipe in world.recipes):
        seen = [world for world in worlds if recipe in world.recipes]
        if recipe == reference or len(seen) < 2:
            continue
        gains, errors = np.array([gain(world, recipe, reference) for world in seen]).T
        count = int(alike(seen, data).sum())
        found[recipe] = Prior(*fitted(gains, errors, weights(seen, data)), count)
    return found


def bag_prior(worlds: Sequence[World], data: str) -> Prior | None:
    """Prior of the gain of a bag over a single model, for a kind and size of data.

    On a task it is the mean over all recipes whose folds make a bag.

    Returns:
        `None` where no task of the kind was recorded, or fewer than two tasks at all.
    """
    seen = [world for world in worlds if world.bags]
    count = int(alike(seen, data).sum())
    if len(seen) < 2 or not count:
        return None
    found = []
    for world in seen:
        by_recipe = np.array([bag - world.finals[r] for r, bag in world.bags.items()])
        one = 1 / world.entry["examples"][2]  # test example more or less
        # Recipes share the test part: as if there were a few of them.
        few = min(len(by_recipe), FEW_RECIPES)
        spread = by_recipe.var(ddof=1) / few if few > 1 else MOST**2
        error = min(float(np.sqrt(one**2 + spread)), MOST)
        found.append((float(np.clip(by_recipe.mean(), -MOST, MOST)), error))
    gains, errors = np.array(found).T
    return Prior(*fitted(gains, errors, weights(seen, data)), count)


def seed_std(worlds: Sequence[World], data: str) -> float | None:
    """Standard deviation of a test score over seeds, times the root of the training examples.

    The median over recipes and tasks of a kind. A seed cuts training and validation part anew, too.
    Tasks with one seed tell nothing; `None` where all are such.
    """
    of_kind = [world for world, same in zip(worlds, alike(worlds, data)) if same]
    of_group = [world for world in of_kind if world.is_small == data.endswith(SMALL)]
    told = [world for world in of_group if len(world.seeds) > 1]
    found = [
        np.std([world.kept_test(recipe, seed) for seed in world.seeds], ddof=1)
        * np.sqrt(world.entry["examples"][0])
        for world in told
        for recipe in world.whole
    ]
    return round(float(np.median(found)), 5) if found else None


def believed(worlds: Sequence[World], data: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation that an engine believes of the gain of every recipe."""
    found = priors(worlds, data)
    return {recipe: (prior.mean, WIDER * prior.std) for recipe, prior in found.items()}
