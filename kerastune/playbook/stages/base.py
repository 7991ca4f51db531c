"""What a stage is: two pure functions of the outcomes so far."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerastune.objective import Objective
from kerastune.playbook.decision import Decision, Values
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup, Wanted


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
        is_short: whether the budget holds no search, so that nothing follows what is known.
        fixed_batch_size: whether all trainings have the recipe's batch size.
        most_epochs: of any training, at most; 0 for any number.
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
    is_short: bool = False
    fixed_batch_size: bool = False
    most_epochs: int = 0

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


class Stage(abc.ABC):
    """One paragraph of the playbook, and all that belongs to it.

    `propose` and `decide` are pure: no counters, no random state, so the same records always give
    the same next trial. A new stage is a file of its own and a line in `registry.STAGES`.

    Attributes:
        name: in flags, records and the report.
        question: that it answers, the heading of its part of the report.
        values: class of what it finds, with a default for everything: a stage that had nothing to
            decide has these.
        figure: kind of its figure, a key of `report.figures.decision_figures`.
        figure_title: above that figure; empty where the kind has its own.
        share: of what is left of the budget when it begins.
        least_steps: of a budget in steps; a smaller share is left to the other stages.
        least_seconds: the same of a budget in seconds, on two busy CPU cores, tracing included.
        training_after: times the recipe's steps that are set aside for its training before this
            stage has its share.
        compares_seconds: whether it compares the steps of its trials by their seconds: the first
            of each kind is trained with nothing beside it.
        is_known: whether it trains what anybody would have: a budget too short for both it and a
            search is its alone.
        leads: whether a search begins with it: the later stages build on what it finds.
        tunes: whether it tunes the recipe that is trained.
        stretches: whether the steps that it hands on are those of a training with decay.
        combines: whether it combines what earlier stages trained: without a model it has nothing
            to train for.
        follows_training: whether it goes on from a trained model.
        stands_alone: whether it hands on another model, so that none may follow the training
            beside it.
        may_fail: whether a trial that can't be built or trained is passed over.
        may_run_out_of_memory: whether a trial that does is passed over.
    """

    name: str
    question: str
    share: float
    values: type[Values] = Values
    figure = "trainings"
    figure_title = ""
    least_steps = 0
    least_seconds = 0.0
    training_after = 0.0
    compares_seconds = False
    is_known = False
    leads = False
    tunes = False
    stretches = False
    combines = False
    follows_training = False
    stands_alone = False
    may_fail = False
    may_run_out_of_memory = False

    @classmethod
    def applies(cls, wanted: Wanted) -> bool:
        """Whether it is among the stages of a search that names none."""
        return True

    @classmethod
    def create(cls, setup: Setup) -> Stage:
        """The stage as a search needs it."""
        return cls()

    @abc.abstractmethod
    def propose(self, context: Context) -> list[TrialSpec]:
        """The segments to train next; an empty list when the stage can decide."""

    @abc.abstractmethod
    def decide(self, context: Context) -> Decision:
        """The decision from all outcomes."""

    def decision(
        self,
        context: Context,
        headline: str,
        numbers: str,
        *,
        after: Recipe | None = None,
        evidence: Sequence[str] = (),
        values: Values | None = None,
    ) -> Decision:
        """The decision of this stage.

        Args:
            context: that it decides from.
            headline: as in `Decision`.
            numbers: as in `Decision`.
            after: the recipe that it hands on; the one that it received without.
            evidence: names of the trials that it looked at.
            values: what it found; the defaults without.
        """
        return Decision(
            self.name,
            before=context.recipe,
            after=context.recipe if after is None else after,
            headline=headline,
            numbers=numbers,
            evidence=tuple(evidence),
            values=self.values() if values is None else values,
        )


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
