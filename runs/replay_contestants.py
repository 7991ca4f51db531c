"""Engines that are replayed: each gets a view of the records and returns a `Choice`."""

from __future__ import annotations

import math

import numpy as np
from recorded_recipes import BASE
from recorded_runs import Choice, Curve, Records

from kerastune.objective import Objective
from kerastune.playbook.context import Facts
from kerastune.playbook.rules import bag
from kerastune.recipe import Recipe

SIGNIFICANT = 1.96  # standard errors
REDUCTION = 3  # of successive halving
LENGTHS = (BASE, "length x1/4")
# The order in which the former engine asked, as the playbook has it.
STAGES = (
    ("rate x1/3", "rate x3"),
    ("batch 32", "batch 256"),
    ("adam",),
    ("late decay", "constant"),
    ("augmentation", "flip", "dropout .1", "dropout .25", "weight decay .002", "smoothing"),
)


def returned(records: Records, recipe: str, last: bool = False) -> Choice:
    """The kept weights of a run, trained as far as the budget goes; or its last ones."""
    curve = records.curve(recipe)
    if curve.kept < 0:
        return Choice(recipe, records.seed, 0)
    return Choice(recipe, records.seed, int(curve.steps[-1 if last else curve.kept]))


def keras_defaults(records: Records, rng: np.random.Generator) -> Choice:
    """Adam at .001, batches of 32, for the whole time; the best evaluation."""
    return returned(records, "keras defaults")


def longest(records: Records) -> str:
    """The longest run of the base recipe that fits, or the shortest."""
    lengths = ("length x3", "base", "length x1/4")
    return next((recipe for recipe in lengths if records.fits(recipe)), lengths[-1])


def simple_rule(records: Records, rng: np.random.Generator) -> Choice:
    """The probe, then SGD with linear decay for the rest of the time; the last weights."""
    return returned(records, longest(records), last=True)


def random_search(records: Records, rng: np.random.Generator) -> Choice:
    """Whole trainings in random order; the best validation score."""
    found = {}
    for recipe in rng.permutation(records.recipes):
        if records.fits(recipe):
            found[recipe] = kept_score(records, recipe)
    return best_of(records, found)


def kept_score(records: Records, recipe: str, step: float = math.inf) -> tuple[float, float]:
    """Validation score of the kept evaluation, then its loss, larger is better."""
    curve = records.curve(recipe, step=step)
    if curve.kept < 0:
        return -math.inf, -math.inf
    return float(curve.validation[curve.kept]), -float(curve.validation_loss[curve.kept])


def best_of(records: Records, scores: dict) -> Choice:
    """The recipe with the highest score; where nothing was trained, what the budget holds."""
    return returned(records, max(scores, key=scores.get) if scores else longest(records))


def successive_halving(records: Records, rng: np.random.Generator) -> Choice:
    """Many recipes for a ninth of their length, a third of them for a third, a ninth to the end."""
    order = list(rng.permutation(records.recipes))
    mean_cost = float(np.mean([records.cost(recipe) for recipe in order]))
    count = max(int(records.left / mean_cost * REDUCTION), 1)  # each rung costs the same
    alive, scores = order[:count], {}
    for rung in (REDUCTION**2, REDUCTION, 1):
        scores = {}
        for recipe in alive:
            until = math.inf if rung == 1 else records.length(recipe) / rung
            if records.cost(recipe, step=until) <= records.left:
                scores[recipe] = kept_score(records, recipe, until)
        keep = max(len(alive) // REDUCTION, 1)
        alive = sorted(scores, key=scores.get, reverse=True)[:keep]
    return best_of(records, scores)


def former_engine(records: Records, rng: np.random.Generator) -> Choice:
    """Stages that keep what is simpler unless another is significantly better.

    A quarter of the budget is the baseline's, which comes back where the model is not
    significantly better. Half of what is left then is kept for the training at the end. Trainings
    whose rate decays are judged at their end.
    """
    baseline = baseline_of(records)
    reserve = 0.5 * records.left
    chosen = "base" if records.fits("base") else "length x1/4"
    if not records.curve(chosen).is_whole:
        return baseline[0]
    best = ended(records, chosen)
    for recipe in [recipe for stage in STAGES for recipe in stage if recipe in records.recipes]:
        if records.cost(recipe) <= records.left - reserve:
            score, error = ended(records, recipe), records.curve(recipe).gain_error
            if score - best > SIGNIFICANT * error:
                chosen, best = recipe, score
    chosen = longer(records, chosen)
    best = ended(records, chosen)
    if best >= baseline[1]:
        return returned(records, chosen, last=chosen != "constant")
    return baseline[0]


def ended(records: Records, recipe: str) -> float:
    """Validation score at the end of a run; of one at a constant rate the best."""
    scores = records.curve(recipe).validation
    return float(scores.max() if recipe == "constant" else scores[-1])


def baseline_of(records: Records) -> tuple[Choice, float]:
    """Keras's defaults for a quarter of the budget, and their validation score."""
    recipe = "keras defaults"
    share = 0.25 * records.seconds / records.cost(recipe)
    curve = records.curve(recipe, step=share * records.length(recipe))
    if curve.kept < 0:
        return Choice(recipe, records.seed, 0), -math.inf
    step = int(curve.steps[curve.kept])
    return Choice(recipe, records.seed, step), float(curve.validation[curve.kept])


def longer(records: Records, chosen: str) -> str:
    """Three times as long, where that was recorded and fits: the training at the end."""
    name = "length x3" if chosen == "base" else f"{chosen}, length x3"
    return name if name in records.recipes and records.fits(name) else chosen


class ExpectedValue:
    """Trains what promises the largest expected gain and fits; returns the best expectation.

    A validation score is a level that all share, plus the recipe's gain, plus noise. The gains have
    a normal prior by kind of data; nothing is known of the level beforehand.

    Args:
        prior: mean and standard deviation of gains on other tasks, by recipe.
    """

    def __init__(self, prior: dict[str, tuple[float, float]]):
        self.prior = prior

    def __call__(self, records: Records, rng: np.random.Generator) -> Choice:
        known = [recipe for recipe in records.recipes_and_parts if recipe in self.prior]
        belief = Shrunk({recipe: self.prior[recipe] for recipe in known})
        while waiting := [r for r in known if r not in belief.scores and records.fits(r)]:
            recipe, _ = self.promising(belief, waiting)
            curve = records.curve(recipe)
            belief.add(recipe, float(curve.validation[curve.kept]), curve)
        if not belief.scores:
            return returned(records, min(records.recipes_and_parts, key=records.cost))
        mean, _ = belief.gains()
        return returned(records, max(belief.scores, key=mean.get))

    def promising(self, belief: Shrunk, waiting: list[str]) -> tuple[str, float]:
        """What training is expected to add most to the best expectation, and how much."""
        mean, variance = belief.gains()
        if not belief.scores:
            return max(waiting, key=mean.get), math.inf
        best = max(mean[recipe] for recipe in belief.scores)

        def promise(recipe: str) -> float:
            told = variance[recipe] / math.sqrt(variance[recipe] + belief.noise**2 + 1e-12)
            return expected_improvement(mean[recipe] - best, told)

        return max(((recipe, promise(recipe)) for recipe in waiting), key=lambda each: each[1])


class Kerastune:
    """What a search of a built-in network does.

    The recipe that the network names is trained first, in a budget too short for it for fewer
    steps. Where a single model and five folds fit, the mean of the folds is returned, of few
    examples if need be of shorter trainings. No change of the recipe is tried: the mean was worse
    with those that one validation part chose.
    """

    def __call__(self, records: Records, rng: np.random.Generator) -> Choice:
        if records.num_train <= bag.FEW and not self.holds_bag(records, BASE):
            for recipe in LENGTHS[1:]:
                if self.holds_bag(records, recipe):
                    return records.train_bag(recipe)
        first = next((recipe for recipe in LENGTHS if records.fits(recipe)), LENGTHS[-1])
        choice = returned(records, first)
        if first == BASE and self.holds_bag(records, BASE):
            return records.train_bag(BASE) if records.bag_cost(BASE) <= records.left else choice
        return choice

    def holds_bag(self, records: Records, recipe: str) -> bool:
        """Whether the budget holds a training of a recipe and all its folds."""
        known = Recipe(optimizer="adam")
        facts = Facts(
            records.num_train,
            num_validation=0,
            objective=Objective("loss", "min"),
            allowance=0,
            timed=False,
            starting_recipe={"optimizer": known.optimizer},
            starting_steps=int(records.network in ("mlp", "cnn")),  # which name theirs
        )
        trainings = bag.trainings(facts, known)
        return records.has_bag(recipe) and trainings * records.cost(recipe) <= records.seconds


class Shrunk:
    """What is believed of gains after some validation scores, of each recipe by itself.

    Args:
        prior: mean and standard deviation of the gain of every recipe.
    """

    def __init__(self, prior: dict[str, tuple[float, float]]):
        self.prior = prior
        self.scores: dict[str, float] = {}
        self._errors: list[float] = []

    @property
    def noise(self) -> float:
        """Standard error of a score, without what all share.

        By examples it is that of a gain, over the root of 2; seeds make about as much again.
        """
        return float(np.median(self._errors))

    def add(self, recipe: str, score: float, curve: Curve) -> None:
        """Takes a validation score into account."""
        self.scores[recipe] = score
        self._errors.append(curve.gain_error or 0.7 * curve.error)

    def gains(self) -> tuple[dict[str, float], dict[str, float]]:
        """Mean and variance of the gain of every recipe, trained or not."""
        found = dict(self.prior)
        if self.scores:
            weights = {r: 1 / (found[r][1] ** 2 + self.noise**2) for r in self.scores}
            level = sum(weights[r] * (self.scores[r] - found[r][0]) for r in weights)
            level /= sum(weights.values())
            for recipe, score in self.scores.items():
                found[recipe] = shrunk(score - level, self.noise, *found[recipe])
        return {r: each[0] for r, each in found.items()}, {r: e[1] ** 2 for r, e in found.items()}


def shrunk(
    mean: float, standard_error: float, prior_mean: float, prior_std: float
) -> tuple[float, float]:
    """Mean and standard deviation of a normal posterior.

    Example:
        >>> [round(value, 4) for value in shrunk(0.02, 0.01, 0.0, 0.01)]
        [0.01, 0.0071]
    """
    share = prior_std**2 / (prior_std**2 + standard_error**2)
    return prior_mean + share * (mean - prior_mean), math.sqrt(share) * standard_error


def expected_improvement(mean: float, std: float) -> float:
    """Mean of the positive part of a normal number.

    Example:
        >>> round(expected_improvement(0.0, 1.0), 3)
        0.399
    """
    if std <= 0:
        return max(mean, 0.0)
    z = mean / std
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return std * density + mean * 0.5 * (1 + math.erf(z / math.sqrt(2)))


def all_seen(records: Records, rng: np.random.Generator) -> Choice:
    """The best mean validation score over seeds of all that was recorded: no budget buys more."""
    means = {}
    for recipe in records.recipes:
        curves = [records.curve(recipe, seed) for seed in records.seeds]
        means[recipe] = float(np.mean([curve.validation[curve.kept] for curve in curves]))
    return returned(records, max(means, key=means.get))


FIXED = {
    "Keras defaults": keras_defaults,
    "simple rule": simple_rule,
    "random search": random_search,
    "successive halving": successive_halving,
    "former engine": former_engine,
}
DRAWN = ("random search", "successive halving")  # whose result depends on chance
