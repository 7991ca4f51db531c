"""The training of what was tuned: to the end of its steps, and longer while that pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kerastune.objective import best_evaluation
from kerastune.playbook import wording
from kerastune.playbook.rules import full_training, regularizers
from kerastune.playbook.rules.overfitting import is_cut_short, overfitting
from kerastune.playbook.stages import baseline as baseline_module
from kerastune.playbook.stages.base import (
    Context,
    Decision,
    Facts,
    Stage,
    evaluation_interval,
    rounded_up,
)
from kerastune.playbook.stages.class_weights import Weights
from kerastune.playbook.stages.decay import Decay
from kerastune.playbook.stages.finetune import FineTune
from kerastune.playbook.stages.regularize import BASE, Regularize
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

if TYPE_CHECKING:
    from kerastune.playbook.stages.stage_setup import Setup

# Of what the first training leaves: as much for more models, or for all examples, as for a longer
# training.
LEFT_TO_OTHERS = 0.5
LEAST_LENGTHENING = 1.5  # below, what a longer training would gain is lost in noise
EARLIER = (
    FineTune.name,
    Decay.name,
    Weights.name,
    Regularize.name,
)  # stages whose trainings are whole ones of a recipe
OVERFITTING = 0.05  # of a value that is no share
SLOWED = 8  # times the steps that a training may take, at most, once weight decay keeps it from learning by heart


class Train(Stage):
    """Trains the recipe for its steps and chooses what is handed to the user.

    What was tuned gets its regularizers back (P6). While the shortest training overfits, one of
    half its steps follows: with decay nothing is picked from the middle of a run. Otherwise a
    training of twice the steps follows (of all that are left where no further doubling would fit,
    if that is at least half as many again), while the last one gained more than one standard error
    on the validation examples (the rule of Breiman et al. 1984, "Classification and Regression
    Trees", 3.4.3): more steps of the same recipe are likely to help, unless stage `regularize` saw
    that its own were enough. Of all of them the best on the mean is kept: they are paid for, a
    longer one costs its user nothing any more. What an earlier stage trained already is not trained
    again, unless regularizers come back.

    Where the longest of them overfits, and stage `regularize` had no budget to try anything, one of
    all steps that are left (up to eight times as many) has weight decay of a typical strength: more
    steps alone would be learning by heart, and what regularizes pays late. It is one training in
    the place of a comparison that would cost several, so the steps and the weight decay are kept
    together, if they gain significantly.

    The baseline comes back unless what was tuned beats it on validation significantly: it is the
    simpler setting, and nothing of it was chosen on these examples, where what was tuned is the
    best of many. A gain is repeated with other seeds as far as the budget holds them, as
    `whole.repeats` says, so that luck with one does not decide.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        tuned: whether the recipe was tuned just before, and is not trained just as it is given.
        stretch: times the recipe's steps that the first training takes: `whole.DECAY_STRETCH` when
            they were found at a constant rate and the training decays linearly.
        leaves: share of what is left that a longer training leaves to what follows, in [0, 1).
        regularizes: whether a longer training may get weight decay.
    """

    name = "train"
    question = "Which model is the final one?"
    share = 1.0

    def __init__(
        self,
        chunk: int,
        tuned: bool = True,
        stretch: int = 1,
        leaves: float = 0.0,
        regularizes: bool = False,
    ):
        self._chunk = chunk
        self._tuned = tuned
        self._stretch = stretch
        self._leaves = leaves
        self._regularizes = regularizes

    @classmethod
    def create(cls, setup: Setup) -> Train:
        is_followed = any(stage.combines for stage in setup.stages)
        return cls(
            setup.chunk,
            tuned=any(stage.tunes for stage in setup.stages),
            stretch=setup.stretch(cls),
            leaves=LEFT_TO_OTHERS if setup.refit or is_followed else 0.0,
            regularizes=setup.has("regularize"),
        )

    def propose(self, context: Context) -> list[TrialSpec]:
        runs = self._runs(context)
        if not runs:
            wanted = rounded_up(self._first_total(context), self._chunk)
            most = min(wanted, context.facts.allowance)
            every = evaluation_interval(
                context.facts.num_validation, context.recipe.batch_size, self._chunk, most
            )
            total = min(rounded_up(wanted, every), context.facts.allowance // every * every)
            return [self._beginning(context.recipe, total, every)] if total else []
        for run in runs:
            if not full_training.has_ended(run):
                # What was begun is finished: its decay fixes how long it is.
                return [
                    full_training.segment(
                        run.spec.trial, self.name, run.spec.recipe, run, run.spec.eval_every
                    )
                ]
        left = int((1 - self._leaves) * (context.left(self.name)))
        total = self._other_total(runs, context, left) if self._tuned else 0
        every = evaluation_interval(
            context.facts.num_validation, context.recipe.batch_size, self._chunk, total
        )
        total = total // every * every
        if total:
            return [
                self._beginning(
                    self._regularized(context.recipe, runs, context, total), total, every
                )
            ]
        (chosen, _), baseline = _chosen(runs, context), _baseline(context.outcomes)
        if chosen is None or baseline is None:
            return []
        return full_training.repeats(chosen, baseline, context.facts, context.outcomes, self.name)

    def _runs(self, context: Context) -> list[Outcome]:
        """Trainings of the recipe, the shortest first."""
        own = [outcome for outcome in context.outcomes.values() if outcome.spec.stage == self.name]
        runs = [outcome for outcome in own if outcome.spec.recipe.seed == context.recipe.seed]
        for outcome in context.outcomes.values() if self._tuned else ():
            trained = outcome.spec.recipe.replace(regularizers="on")
            is_whole = outcome.spec.stage in EARLIER and full_training.is_comparable(outcome)
            wanted = full_training.lengthened(
                context.recipe.replace(regularizers="on"), _steps(outcome)
            )
            if (
                is_whole
                and full_training.is_same_network(outcome, context.facts)
                and trained == wanted
            ):
                runs.append(outcome)
        return sorted(runs, key=_steps)

    def _first_total(self, context: Context) -> int:
        """Steps of the first training: those wanted, or as many as there are where twice as many
        would not fit as well.

        A longer training is taken to pay until it has been tried, unless what was trained of this
        rate so far overfits already.
        """
        wanted = self._stretch * context.recipe.total_steps
        if not self._tuned or _has_turned(context):
            return wanted
        return max(wanted, _filling(wanted, int((1 - self._leaves) * context.facts.allowance)))

    def _other_total(self, runs: list[Outcome], context: Context, left: int) -> int:
        """Steps of one more training, 0 for none: fewer where the shortest overfits, else more
        while that may pay.
        """
        if _overfits(runs[0], context.facts):
            half = _steps(runs[0]) // 2 // self._chunk * self._chunk
            return half if half <= left else 0
        longest = _steps(runs[-1])
        if self._calls_for_weight_decay(runs, context):
            longer = min(SLOWED * longest, left)
        else:
            longer = _filling(2 * longest, left) if _pays(runs) else 0
        return longer if longer >= LEAST_LENGTHENING * longest else 0

    def _regularized(
        self, recipe: Recipe, runs: list[Outcome], context: Context, total: int
    ) -> Recipe:
        """The recipe for one more training: with weight decay where it is longer, and called for or
        there already.
        """
        longest = runs[-1]
        had_it = longest.spec.recipe.weight_decay != recipe.weight_decay
        if total <= _steps(longest) or not (had_it or self._calls_for_weight_decay(runs, context)):
            return recipe
        longer = full_training.lengthened(recipe, total)
        return recipe.replace(weight_decay=regularizers.typical_weight_decay(longer))

    def _calls_for_weight_decay(self, runs: list[Outcome], context: Context) -> bool:
        """Whether a longer training would learn by heart, and neither a stage nor the model's
        author did anything.
        """
        was_tried = any(outcome.spec.recipe.weight_decay for outcome in context.outcomes.values())
        if (
            not self._regularizes
            or was_tried
            or context.facts.regularized
            or not full_training.is_comparable(runs[-1])
        ):
            return False
        return overfitting(runs[-1], context.facts)[1]

    def decide(self, context: Context) -> Decision:
        runs = [run for run in self._runs(context) if run.example_scores is not None]
        (chosen, longer), baseline = _chosen(runs, context), _baseline(context.outcomes)
        if chosen is None and baseline is None:
            reason = f"Nothing could be trained to its end: {_why_not(context.outcomes, context.facts, self.name)}."
            return Decision(
                self.name,
                context.recipe,
                context.recipe,
                reason,
                tuple(sorted(context.outcomes)),
                {"trial": None},
            )
        parts = [
            self._kept(context.recipe, chosen, runs, context.facts)
            if chosen
            else "no tuned training came to its end",
            *longer,
        ]
        values, again = {"steps_spent": context.spent(self.name)}, []
        if baseline is not None and chosen is not None:
            again = [
                name
                for each in (chosen, baseline)
                for name in full_training.repetitions(each.spec.trial, context.outcomes)
            ]
            compared = full_training.compare(chosen, baseline, context.outcomes)
            values["gain"] = compared.gain
            words, sign = wording.comparison(compared, context.facts.scored_by), compared.sign
            parts.append(f"against the baseline: {words}")
            parts.append(
                "so what was tuned comes back" if sign > 0 else "so the baseline is what comes back"
            )
            chosen = chosen if sign > 0 else baseline
        elif chosen is None:
            parts.append("so the baseline is what comes back")
        chosen = chosen or baseline
        reason = "; ".join(parts) + "."
        after = (
            chosen.spec.recipe
            if chosen is not baseline
            else chosen.spec.recipe.replace(total_steps=chosen.steps)
        )
        evidence = (*(o.spec.trial for o in [*runs, baseline] if o is not None), *again)
        values["trial"] = chosen.spec.trial
        return Decision(
            self.name, context.recipe, after, reason[0].upper() + reason[1:], evidence, values
        )

    def _beginning(self, recipe: Recipe, total: int, every: int) -> TrialSpec:
        trained = full_training.lengthened(recipe, total)
        trained = trained.replace(regularizers="on" if self._tuned else recipe.regularizers)
        return full_training.segment(f"train-{total}", self.name, trained, None, every)

    def _kept(self, recipe, chosen, runs, facts) -> str:
        kept = chosen.kept_evaluation(facts.objective)
        total, name = chosen.spec.recipe.total_steps, facts.objective.name
        wanted = self._stretch * recipe.total_steps
        first = rounded_up(wanted, chosen.spec.eval_every)
        changed = ""
        if self._stretch > 1:
            changed = f" ({self._stretch} x {recipe.total_steps}, since decay halves the mean rate)"
        if total < first:
            changed = f" (the budget held no more; {wanted} were wanted)"
        if total > first:
            changed = f" (lengthened from {first})"
        if total < first <= max(_steps(run) for run in runs):
            changed = f" (shortened from {first}, which overfits)"
        if chosen.steps < total or chosen.diverged_at is not None:
            ended = "stopped" if chosen.diverged_at is None else "diverged"
            changed += f", {ended} at step {chosen.steps if chosen.diverged_at is None else chosen.diverged_at},"
        added = _added_weight_decay(chosen.spec.recipe, recipe)
        regularized = f" and {added}, since a shorter one overfits" if added else ""
        return (
            f"trained for {total} steps{changed} with {full_training.decay_words(chosen.spec.recipe)}{regularized}; the weights "
            f"of step {kept['step']} are kept, with a validation {name} of {kept[name]:.4g}"
        )


def _filling(steps: int, left: int) -> int:
    """`steps`, or all that are left where a training of twice as many would not fit behind it: they
    would be lost.
    """
    return steps if left >= 3 * steps else left


def _overfits(run: Outcome, facts: Facts) -> bool:
    """Whether a whole training ends worse on validation than it had been."""
    if run.steps < _steps(run) or run.diverged_at is not None or run.example_scores is None:
        return False
    return _is_worse(run.kept_evaluation(facts.objective), run, facts)


def _is_worse(evaluation: dict, run: Outcome, facts: Facts) -> bool:
    """Whether an evaluation is worse than the best one of its run.

    By more than one standard error of a share of right examples, or 5 % of any other value
    (`PLAYBOOK`: overfitting).
    """
    objective = facts.objective
    best, value = best_evaluation(run.evals, objective)[objective.name], evaluation[objective.name]
    is_share = objective.direction == "max" and 0 <= min(best, value) <= max(best, value) <= 1
    noise = (
        np.sqrt(best * (1 - best) / facts.num_validation) if is_share else OVERFITTING * abs(best)
    )
    return objective.gain(best) - objective.gain(value) > noise


def _has_turned(context: Context) -> bool:
    """Whether validation got worse again, or was lost, in what was trained of the recipe's batches
    and rate.
    """
    names = ("optimizer", "learning_rate", "batch_size", "momentum", "hyperparameters")
    for run in context.outcomes.values():
        if run.evals and all(
            getattr(run.spec.recipe, name) == getattr(context.recipe, name) for name in names
        ):
            if run.diverged_at is not None or _is_worse(run.evals[-1], run, context.facts):
                return True
    return False


def _pays(runs: list[Outcome]) -> bool:
    """Whether the last lengthening gained more than one standard error.

    The first training is taken to, but for a regularized one, whose curves stage `regularize` has
    asked already.
    """
    longest = runs[-1]
    if (
        longest.steps < _steps(longest)
        or longest.diverged_at is not None
        or longest.example_scores is None
    ):
        return False
    if len(runs) == 1:
        is_asked = longest.spec.stage == Regularize.name and not longest.spec.trial.startswith(BASE)
        return not is_asked or is_cut_short(longest)
    longer = full_training.compare(longest, runs[-2])
    return longer.gain > longer.error


def _chosen(runs: list[Outcome], context: Context) -> tuple[Outcome | None, list[str]]:
    """Of trainings of one recipe, from the shortest on, the one that no longer one beats on the
    mean; and why.

    All of them are paid for, so there is no simpler one to be had for less: the mean is the best
    guess. Weight decay is another setting, which has to win significantly,
    against all the seeds of the one without that earlier stages trained.
    """
    runs = [run for run in runs if run.example_scores is not None]
    chosen, parts = runs[0] if runs else None, []
    for longer in runs[1:]:
        gain, is_better = _against(longer, chosen, context)
        parts.append(f"{_shown(longer, chosen)} against {_steps(chosen)}{gain}")
        chosen = longer if is_better else chosen
    return chosen, parts


def _against(longer: Outcome, chosen: Outcome, context: Context) -> tuple[str, bool]:
    """What a training gains over a shorter one, in words, and whether it takes its place."""
    if longer.spec.recipe.weight_decay > 0 and chosen.spec.recipe.weight_decay == 0:
        # Its own repetitions come after this comparison: they must not decide it a second time.
        earlier = {
            name: each for name, each in context.outcomes.items() if each.spec.stage in EARLIER
        }
        setting, seeds = full_training.over_seeds(chosen, earlier)
        compared = full_training.compare(longer, setting)
        gain = wording.comparison(compared, context.facts.scored_by)
        return f" (the mean of {seeds} seeds)" * (seeds > 1) + f": {gain}", compared.sign > 0
    compared = full_training.compare(longer, chosen)
    in_errors = f"{abs(compared.gain) / max(compared.error, 1e-12):.2g} standard errors"
    return (
        f": {wording.gained(compared.gain, context.facts.scored_by)}, {in_errors}",
        compared.gain > 0,
    )


def _baseline(outcomes: dict[str, Outcome]) -> Outcome | None:
    """The baseline, if it was trained and has scores."""
    baseline = outcomes.get(baseline_module.TRIAL)
    return None if baseline is None or baseline.example_scores is None else baseline


def _shown(run: Outcome, shorter: Outcome) -> str:
    added = _added_weight_decay(run.spec.recipe, shorter.spec.recipe)
    return f"{_steps(run)} steps" + (f" with {added}" if added else "")


def _added_weight_decay(recipe: Recipe, before: Recipe) -> str:
    """The weight decay of a recipe in words, where the one before had another."""
    return (
        f"weight decay {recipe.weight_decay:g}"
        if recipe.weight_decay != before.weight_decay
        else ""
    )


def _steps(outcome: Outcome) -> int:
    return outcome.spec.recipe.total_steps


def _why_not(outcomes, facts, stage) -> str:
    for outcome in outcomes.values():
        if outcome.spec.stage == stage and outcome.diverged_at is not None:
            return f"{outcome.spec.trial} diverged at step {outcome.diverged_at}"
    return f"{facts.allowance} steps were left of the budget"
