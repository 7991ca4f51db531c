"""What stages propose and decide from: facts of data and model, a recipe, and all outcomes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kerastune.objective import Objective
from kerastune.playbook.rules import expected_gain
from kerastune.recipe import Recipe
from kerastune.trial import Outcome

# Of the steps that a network names: examples of one; the fewest, whatever the number of examples;
# and steps of one call of the train function, in which a limit of epochs is told.
BATCH, FEWEST, CALL = 64, 800, 50


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a stage may know besides the outcomes.

    Args:
        num_train: training examples; 0 for a stream of unknown length.
        num_validation: validation examples.
        objective: the validation value that chooses.
        allowance: steps that the stage may spend in all.
        num_classes: classes; 0 for regression.
        imbalanced: whether the largest class is at least 3x the smallest.
        num_parameters: of the model.
        regularized: whether the model, as it was built, has regularizers that a recipe switches
            off.
        timed: whether seconds may decide; with a budget in steps they may not, so that the same
            seed decides the same.
        levels: layers with kernels that the model trains.
        pretrained: how many of them, from the input on, came with their weights; 0 where nobody
            looked.
        unusable: values of a recipe that would change nothing here, by name, each with the reason
            in words.
        scored_by: what the scores of single examples measure: `"accuracy"`, `"macro-F1"`, `"loss"`
            …
        fixed_batch_size: whether all trainings have the recipe's batch size.
        most_epochs: of any training, at most; 0 for any number.
        data: kind of the inputs, as `rules.expected_gain.prior` takes it.
        bags: whether training and validation part may be cut anew, together, and are small.
        guess: loss of a guess that looks at no input; infinite where it is not known.
        others_trained: final trainings of another recipe, before the search was extended.
        starting_recipe: values of a recipe that suit the network, as its authors found them.
        starting_steps: of a training by them, with linear decay; 0 where nobody knows.
        given: names of the values of a recipe that the user gave to start from.
        extension: number of the extension whose budget it is; 0 for that of the search itself.
    """

    num_train: int
    num_validation: int
    objective: Objective
    allowance: int
    num_classes: int = 0
    imbalanced: bool = False
    num_parameters: int = 0
    regularized: bool = False
    timed: bool = True
    levels: int = 0
    pretrained: int = 0
    unusable: dict[str, str] = dataclasses.field(default_factory=dict)
    scored_by: str = "accuracy"
    fixed_batch_size: bool = False
    most_epochs: int = 0
    data: str = "table"
    bags: bool = False
    guess: float = math.inf
    others_trained: frozenset[str] = frozenset()
    starting_recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    starting_steps: int = 0
    given: frozenset[str] = frozenset()
    extension: int = 0

    def knows_optimizer(self, recipe: Recipe) -> bool:
        """Whether a recipe's optimizer is the one that the network's authors name."""
        return self.starting_recipe.get("optimizer") == recipe.optimizer

    def known_steps(self, recipe: Recipe) -> int:
        """`starting_steps` or as many as the limit of epochs allows, where a recipe has the
        optimizer that they were found with and decays linearly, and the user gave nothing that they
        follow from; else 0. A network that names no batch size names steps of `BATCH` examples;
        of others there are as many as take as many examples, at least `FEWEST`.
        """
        is_free = not self.given & {"decay", "total_steps", "learning_rate", "batch_size"}
        is_theirs = self.knows_optimizer(recipe) and recipe.decay == "linear"
        if not (self.starting_steps and is_free and is_theirs):
            return 0
        steps = self.starting_steps
        if steps > FEWEST and "batch_size" not in self.starting_recipe:
            steps = max(rounded_up(steps * BATCH / recipe.batch_size, CALL), FEWEST)
        return self.within_epochs(steps, recipe.batch_size, CALL)

    def knows_recipe(self, recipe: Recipe) -> bool:
        """Whether the network names learning rate and steps, as they were recorded, and there may
        be a bag: that gains more than what the first steps with others tell.
        """
        names_rate = "learning_rate" in self.starting_recipe
        return self.bags and names_rate and self.known_steps(recipe) > 0

    def keeps_recipe(self, recipe: Recipe) -> bool:
        """Whether the network names recipe and steps, the user gave none of its values, and there
        may be a bag: on recorded tasks the bag of that recipe was better than that of one that a
        single validation part chose, and without a bag neither was (`runs/replay.py`).
        """
        return self.bags and self.known_steps(recipe) > 0 and not self.given

    def keeps_all(self, recipe: Recipe) -> bool:
        """Whether no stage changes what the network names, its learning rate among it."""
        return self.keeps_recipe(recipe) and self.knows_recipe(recipe)

    def recorded_as(self, recipe: Recipe) -> str:
        """What a recipe is among recorded gains, as `rules.expected_gain.prior` takes it."""
        return expected_gain.BUILT_IN if self.knows_optimizer(recipe) else recipe.optimizer

    def most_steps(self, batch_size: int) -> float:
        """Steps that a training may take in all; infinite where nothing limits its epochs."""
        if not self.most_epochs or not self.num_train:
            return math.inf
        return max(math.ceil(self.most_epochs * self.num_train / batch_size), 1)

    def within_epochs(self, steps: int, batch_size: int, unit: int) -> int:
        """The steps, or as many whole units as the limit of epochs holds, at least one.

        Example:
            >>> facts = Facts(1000, 200, Objective("loss", "min"), 0, most_epochs=5)
            >>> facts.within_epochs(400, 20, unit=100), facts.within_epochs(150, 20, unit=100)
            (200, 150)
        """
        most = self.most_steps(batch_size)
        return steps if steps <= most else max(int(most) // unit, 1) * unit

    def epochs(self, steps: int, batch_size: int) -> float:
        """Steps as epochs, for people; 0 for a stream of unknown length."""
        return steps * batch_size / self.num_train if self.num_train else 0.0


@dataclasses.dataclass(frozen=True)
class Context:
    """What a stage proposes and decides from.

    Args:
        recipe: that it received from the stage before.
        facts: of data, model and budget.
        outcomes: of all trials by name.

    Example:
        >>> from kerastune.objective import Objective
        >>> facts = Facts(1000, 200, Objective("val_accuracy", "max"), allowance=600)
        >>> Context(Recipe(), facts, {}).left("lr")
        600
    """

    recipe: Recipe
    facts: Facts
    outcomes: dict[str, Outcome]

    def spent(self, stage: str) -> int:
        """Steps that the trials of a stage have used so far."""
        return spent(self.outcomes, stage)

    def left(self, stage: str) -> int:
        """Steps that are left of the stage's allowance; below 0 where it used more."""
        return self.facts.allowance - self.spent(stage)

    def evaluation_interval(self, chunk: int, most: int | None = None) -> int:
        """As the function of this name, for the recipe's batches."""
        examples, batch_size = self.facts.num_validation, self.recipe.batch_size
        return evaluation_interval(examples, batch_size, chunk, most)

    def setting_aside(self, steps: int) -> Context:
        """The same with an allowance that is smaller by so many steps."""
        facts = dataclasses.replace(self.facts, allowance=self.facts.allowance - steps)
        return self.replace(facts=facts)

    def replace(self, **changes: Any) -> Context:
        """The same with other fields."""
        return dataclasses.replace(self, **changes)


def rounded_up(steps: float, unit: int) -> int:
    """The least multiple of `unit` that is not below `steps`.

    Example:
        >>> rounded_up(401, 50)
        450
    """
    return int(-(-steps // unit) * unit)


def evaluation_interval(
    num_validation: int, batch_size: int, chunk: int, most: int | None = None
) -> int:
    """Steps between two evaluations, a multiple of `chunk`, such that they cost about a tenth of
    the training.

    An evaluated example costs about a third of a trained one, its backward pass being left out. A
    training of `most` steps is evaluated at its end at least, however many examples there are.

    Example:
        >>> evaluation_interval(num_validation=6000, batch_size=64, chunk=50)
        350
        >>> evaluation_interval(num_validation=60_000, batch_size=64, chunk=50, most=430)
        400
    """
    interval = rounded_up(max(chunk, 10 * num_validation / (3 * batch_size)), chunk)
    return interval if most is None else min(interval, max(most // chunk, 1) * chunk)


def spent(outcomes: dict[str, Outcome], stage: str) -> int:
    """Steps that the trials of a stage have used so far."""
    return sum(outcome.steps for outcome in outcomes.values() if outcome.spec.stage == stage)
