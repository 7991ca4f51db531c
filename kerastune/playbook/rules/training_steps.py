"""How many steps the final training takes: longer ones follow while they pay, a shorter one where
the first overfits.
"""

from __future__ import annotations

import dataclasses
import functools

from kerastune.budget import MOST_GROWTH
from kerastune.playbook import wording
from kerastune.playbook.context import Context, rounded_up
from kerastune.playbook.rules import bag, batch_grid, full_training, regularizers
from kerastune.playbook.rules.overfitting import ends_worse, is_cut_short, overfitting
from kerastune.playbook.stages.baseline import TRIAL as BASELINE
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.recipes import Recipes
from kerastune.playbook.stages.regularize import BASE, Regularize
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

STAGE = "train"
LEAST_LENGTHENING = 1.5  # below, the gain of a longer training is not worth it
# Stages whose trainings are whole ones of a recipe.
EARLIER = (FineTune.name, Decay.name, Weights.name, Recipes.name, Regularize.name)
# Times the steps that a training may take, at most, once weight decay keeps it from overfitting.
LONGEST = 8
MOST_SEEDS = 4  # other than the first
# Trainings that a budget in seconds holds before others get any: one can take all that is left.
# Fewer, where the network names its steps, of which more gain little.
LEAST_IN_TIME, LEAST_KNOWN = 6, 3
MANY = 10  # trainings, of which other models need no more: then a longer one is tried
SPARE = 0.9  # of its part of a budget in seconds, that a training takes: as long a one may follow
SLOWER = 3.0  # what a learning rate that diverged is divided by
MOST_SLOWER = 2  # times


@dataclasses.dataclass(frozen=True)
class TrainingSteps:
    """What the records say about trainings of one recipe, and which one comes next; worked out once
    for each record.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        context: of the stage.
        tuned: whether the recipe was tuned just before, and is not trained just as it is given.
        stretch: times the recipe's steps that the first training takes.
        leaves: fraction of what is left that a longer training leaves to what follows, in [0, 1).
        regularizes: whether a longer training may get weight decay.
    """

    chunk: int
    context: Context
    tuned: bool
    stretch: int
    leaves: float
    regularizes: bool

    @functools.cached_property
    def runs(self) -> list[Outcome]:
        """Trainings of the recipe, the shortest first."""
        recipe, outcomes = self.context.recipe, self.context.outcomes
        runs = [outcome for outcome in self._own if outcome.spec.recipe.seed == recipe.seed]
        for outcome in outcomes.values() if self.tuned else ():
            trained = outcome.spec.recipe.replace(regularizers="on")
            is_whole = outcome.spec.stage in EARLIER and full_training.is_comparable(outcome)
            wanted = recipe.replace(regularizers="on").over(steps_of(outcome))
            is_same = full_training.is_same_network(outcome, self.context.facts)
            if is_whole and is_same and trained == wanted:
                runs.append(outcome)
        return sorted(runs, key=steps_of)

    @property
    def _own(self) -> list[Outcome]:
        """What this stage trained of the recipe, but for the baseline."""
        left_out = {BASELINE, *self.context.facts.others_trained}
        return [
            each
            for name, each in self.context.outcomes.items()
            if each.spec.stage == STAGE and name not in left_out
        ]

    @functools.cached_property
    def seeds(self) -> list[Outcome]:
        """Trainings of the recipe with other seeds, in the order of those."""
        seed = self.context.recipe.seed
        others = (outcome for outcome in self._own if outcome.spec.recipe.seed != seed)
        return sorted(others, key=lambda run: run.spec.recipe.seed)

    @property
    def ended(self) -> list[Outcome]:
        """Those that have scores to compare."""
        return [run for run in self.runs if run.example_scores is not None]

    @property
    def _leaves(self) -> float:
        """What is left to others: nothing, where there is hardly time for one training, or, of a
        budget in seconds, for few of them; a whole bag's trainings, where there may be one and the
        budget holds it.
        """
        facts, recipe = self.context.facts, self.context.recipe
        if self.leaves and facts.bags:
            if facts.allowance >= bag.trainings(facts, recipe.over(self.asked)) * self.wanted:
                return bag.part(facts.timed)
            if facts.timed:
                return 0.0
        in_time = LEAST_KNOWN if facts.known_steps(recipe) else LEAST_IN_TIME
        least, spare = (in_time, SPARE) if facts.timed else (2, 1.0)
        has_others = self.leaves and facts.allowance >= least * self.wanted
        return 1 - spare * (1 - self.leaves) if has_others else 0.0

    @property
    def wanted(self) -> int:
        """Steps of the first training; fewer than are asked for where the budget then has a bag."""
        if not (self.tuned and self.leaves and self.context.facts.bags):
            return self.asked
        return bag.affordable(self.asked, self.context.facts, self.context.recipe)

    @property
    def asked(self) -> int:
        """Steps of the first training, whatever the budget holds."""
        recipe, facts = self.context.recipe, self.context.facts
        known = facts.known_steps(recipe) if self.tuned else 0
        return known or self.stretch * recipe.total_steps

    def due(self) -> list[TrialSpec]:
        """The segment to train next; none where the number of steps can be chosen."""
        if not self.runs:
            return self._first()
        for run in self.runs:
            if not full_training.has_ended(run):
                # What was begun is finished: its decay fixes how long it is.
                return [self._continued(run)]
        if self.tuned and not self.ended:
            return self._slower()
        left = int((1 - self._leaves) * self.context.left(STAGE))
        total = self._other_total(left) if self.tuned else 0
        every = self.context.evaluation_interval(self.chunk, total)
        total = total // every * every
        if total:
            return [self._beginning(self._regularized(total), total, every)]
        return self._another_seed() if self.tuned and not self._leaves else []

    def _continued(self, run: Outcome) -> TrialSpec:
        spec = run.spec
        follows, every = spec.follows_clock, spec.eval_every
        return full_training.segment(spec.trial, STAGE, spec.recipe, run, every, follows)

    def _slower(self) -> list[TrialSpec]:
        """The training once more, at a third of a learning rate that diverged: a search ends with a
        model.
        """
        slowest = min(self.runs, key=lambda run: run.spec.recipe.learning_rate)
        every, total = slowest.spec.eval_every, steps_of(slowest)
        total = min(total, self.context.left(STAGE) // every * every)
        if slowest.diverged_at is None or len(self.runs) > MOST_SLOWER or total <= 0:
            return []
        rate = batch_grid.rounded(slowest.spec.recipe.learning_rate / SLOWER)
        recipe = slowest.spec.recipe.replace(learning_rate=rate).over(total)
        follows = self._follows_clock(total)
        return [self._segment(f"{STAGE}-{total}-rate{rate:g}", recipe, every, follows)]

    def _another_seed(self) -> list[TrialSpec]:
        """The recipe of the best length with another seed, in time that nothing else needs."""
        best = self._best_length[0]
        if not full_training.is_comparable(best) or len(self.seeds) >= MOST_SEEDS:
            return []
        for run in self.seeds:
            if not full_training.has_ended(run):
                return [self._continued(run)]
        recipe, every = best.spec.recipe, best.spec.eval_every
        # One that followed the clock may have ended between two evaluations.
        total = recipe.total_steps // every * every
        if not 0 < total <= self.context.left(STAGE):
            return []
        recipe = recipe.over(total)
        recipe = recipe.replace(seed=recipe.seed + len(self.seeds) + 1)
        return [self._segment(f"{STAGE}-{recipe.total_steps}-seed{recipe.seed}", recipe, every)]

    def _first(self) -> list[TrialSpec]:
        allowance = self.context.left(STAGE)
        wanted = self._within_epochs(rounded_up(self._first_total(), self.chunk), self.chunk)
        every = self.context.evaluation_interval(self.chunk, min(wanted, allowance))
        total = self._within_epochs(rounded_up(wanted, every), every)
        total = min(total, allowance // every * every)
        return [self._beginning(self.context.recipe, total, every)] if total else []

    def _beginning(self, recipe: Recipe, total: int, every: int) -> TrialSpec:
        trained = recipe.over(total)
        trained = trained.replace(regularizers="on" if self.tuned else recipe.regularizers)
        return self._segment(f"{STAGE}-{total}", trained, every, self._follows_clock(total))

    def _segment(
        self, name: str, recipe: Recipe, every: int, follows_clock: bool = False
    ) -> TrialSpec:
        """The first segment of a training that has this name, or one that is not taken."""
        name = full_training.unused(name, recipe, self.context.outcomes)
        return full_training.segment(name, STAGE, recipe, None, every, follows_clock)

    def _follows_clock(self, total: int) -> bool:
        """Whether a training can use all the time that is left, and nothing else needs any."""
        facts = self.context.facts
        is_free = facts.timed and self.tuned and not self._leaves and not facts.most_epochs
        return is_free and MOST_GROWTH * total >= self.context.left(STAGE)

    def _first_total(self) -> int:
        """Steps of the first training: those wanted, or as many as there are where twice as many
        would not fit as well.

        A longer training is taken to pay until it has been tried.
        """
        if not self.tuned or self._is_long_enough(self.wanted):
            return self.wanted
        left = int((1 - self._leaves) * self.context.left(STAGE))
        return max(self.wanted, _filling(self.wanted, left))

    def _other_total(self, left: int) -> int:
        """Steps of one more training, 0 for none: none where a bag follows those that the network
        names, fewer where the shortest overfits, else more while that may pay. Where earlier stages
        trained much shorter ones alone, those wanted come first: what overfits and what pays can't
        be told from the others.
        """
        shortest, longest = steps_of(self.runs[0]), steps_of(self.runs[-1])
        facts, recipe = self.context.facts, self.context.recipe
        if facts.keeps_recipe(recipe) and self._is_long_enough(longest):
            return 0
        if ends_worse(self.runs[0], facts):
            half = shortest // 2 // self.chunk * self.chunk
            return half if half <= left else 0
        if LEAST_LENGTHENING * longest <= self.wanted:
            longer = _filling(self.wanted, left)
        elif self._is_long_enough(longest):
            longer = 0
        elif self._calls_for_weight_decay():
            longer = min(LONGEST * longest, left)
        else:
            longer = _filling(2 * longest, left) if _pays(self.runs, self.context) else 0
        longer = self._within_epochs(longer, self.chunk)
        return longer if longer >= LEAST_LENGTHENING * longest else 0

    def _is_long_enough(self, steps: int) -> bool:
        """Whether others follow a training of as many steps as the network names, and gain more."""
        facts = self.context.facts
        if not (self._leaves and 0 < facts.known_steps(self.context.recipe) <= steps):
            return False
        return facts.bags or facts.allowance < MANY * steps

    def _within_epochs(self, steps: int, unit: int) -> int:
        return self.context.facts.within_epochs(steps, self.context.recipe.batch_size, unit)

    def _regularized(self, total: int) -> Recipe:
        """The recipe for one more training: with weight decay where it is longer, and called for or
        there already.
        """
        recipe, longest = self.context.recipe, self.runs[-1]
        had_it = longest.spec.recipe.weight_decay != recipe.weight_decay
        if total <= max(steps_of(longest), self.wanted) or not (
            had_it or self._calls_for_weight_decay()
        ):
            return recipe
        longer = recipe.over(total)
        return recipe.replace(weight_decay=regularizers.typical_weight_decay(longer))

    def _calls_for_weight_decay(self) -> bool:
        """Whether a longer training would overfit, and neither a stage nor the model's author did
        anything about it.
        """
        outcomes = self.context.outcomes.values()
        was_tried = any(outcome.spec.recipe.weight_decay for outcome in outcomes)
        is_author_s = self.context.facts.regularized
        if not self.regularizes or was_tried or is_author_s:
            return False
        longest = self.runs[-1]
        return full_training.is_comparable(longest) and overfitting(longest, self.context.facts)[1]

    @functools.cached_property
    def chosen(self) -> tuple[Outcome | None, list[str]]:
        """The training of the best length, or of another seed that is better on validation; and
        why.
        """
        best, parts = self._best_length
        others = [run for run in self.seeds if full_training.is_comparable(run)]
        if best is None or not others:
            return best, parts
        chosen = max([best, *others], key=lambda run: float(run.example_scores.mean()))
        seed, many = chosen.spec.recipe.seed, len(others) + 1
        return chosen, [*parts, f"of {many} seeds, {seed} is best on validation"]

    @functools.cached_property
    def _best_length(self) -> tuple[Outcome | None, list[str]]:
        """Of the trainings that came to their end, from the shortest on, the one that no longer one
        is expected to beat; and why.

        All of them are paid for, so there is no simpler one to be had for less: the expected gain
        decides.
        """
        chosen, parts = self.ended[0] if self.ended else None, []
        for longer in self.ended[1:]:
            gain, is_better = _against(longer, chosen, self.context)
            parts.append(f"{_shown(longer, chosen)} against {steps_of(chosen)}{gain}")
            chosen = longer if is_better else chosen
        return chosen, parts


def steps_of(outcome: Outcome) -> int:
    """Steps that a training takes in all."""
    return outcome.spec.recipe.total_steps


def _filling(steps: int, left: int) -> int:
    """`steps`, or all that are left where a training of twice as many would not fit behind it: they
    would be lost.
    """
    return steps if left >= 3 * steps else left


def _pays(runs: list[Outcome], context: Context) -> bool:
    """Whether the last lengthening is expected to have gained more than a tie.

    The first training is taken to, but for a regularized one, whose curves stage `regularize` has
    asked already.
    """
    longest = runs[-1]
    if (
        longest.steps < steps_of(longest)
        or longest.diverged_at is not None
        or longest.example_scores is None
    ):
        return False
    if len(runs) == 1:
        is_asked = longest.spec.stage == Regularize.name and not longest.spec.trial.startswith(BASE)
        return not is_asked or is_cut_short(longest)
    return full_training.expected(longest, runs[-2], context, "longer").is_gain


def _against(longer: Outcome, chosen: Outcome, context: Context) -> tuple[str, bool]:
    """What a training gains over a shorter one, in words, and whether it takes its place."""
    scored_by, change = context.facts.scored_by, "longer"
    if longer.spec.recipe.weight_decay > 0 and chosen.spec.recipe.weight_decay == 0:
        change = "weight_decay"
    compared = full_training.compare(longer, chosen)
    gain = full_training.expected_of(compared, chosen, context, change)
    return f": {wording.expected(gain, compared, scored_by)}", gain.mean > 0


def _shown(run: Outcome, shorter: Outcome) -> str:
    added = regularizers.added_weight_decay(run.spec.recipe, shorter.spec.recipe)
    return f"{steps_of(run)} steps" + (f" with {added}" if added else "")
