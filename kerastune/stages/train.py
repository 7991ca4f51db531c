"""The training of what was tuned: to the end of its steps, and longer while that brings more than noise."""

from __future__ import annotations

from kerastune import scores
from kerastune.recipe import Recipe
from kerastune.stages import reference, whole
from kerastune.stages.base import Decision, Facts, Stage, evaluation_interval, rounded_up, spent
from kerastune.trial import Outcome, TrialSpec

LEAST_LENGTHENING = 1.5  # below, what a longer training would gain is lost in noise


class Train(Stage):
    """Trains the recipe for its steps and chooses what is handed to the user.

    What was tuned gets its regularisers back (P6). A training of twice the steps follows, or of as many as the budget
    holds if that is at least half as many again, while the last one gained more than one standard error on the
    validation examples (the rule of Breiman et al. 1984, "Classification and Regression Trees", 3.4.3): more steps of
    the same recipe are likely to help, and a longer training costs its user nothing any more. The reference, which is
    another recipe, comes back only if it is better beyond noise.

    Args:
        chunk: steps in one call of the train function; every number of steps is a multiple of it.
        tuned: whether the recipe was tuned just before, and is not trained just as it is given.
        stretch: times the recipe's steps that the first training takes: `whole.DECAY_STRETCH` when they were found
            at a constant rate and the training decays linearly.
    """

    name = "train"
    share = 1.0

    def __init__(self, chunk: int, tuned: bool = True, stretch: int = 1):
        self._chunk = chunk
        self._tuned = tuned
        self._stretch = stretch

    def propose(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> list[TrialSpec]:
        runs = sorted((o for o in outcomes.values() if o.spec.stage == self.name), key=_steps)
        if not runs:
            wanted = rounded_up(self._stretch * recipe.total_steps, self._chunk)
            most = min(wanted, facts.allowance)
            every = evaluation_interval(facts.num_validation, recipe.batch_size, self._chunk, most)
            total = min(rounded_up(wanted, every), facts.allowance // every * every)
            return [self._segment(recipe, None, total, every)] if total else []
        longest, total, every = runs[-1], _steps(runs[-1]), runs[-1].spec.eval_every
        if not whole.has_ended(longest):
            # What was begun is finished: its decay fixes how long it is.
            return [self._segment(recipe, longest, total, every)]
        affordable = (facts.allowance - spent(outcomes, self.name)) // every * every
        longer = min(2 * total, affordable)
        if not self._tuned or longer < LEAST_LENGTHENING * total or not _pays(runs):
            return []
        return [self._segment(recipe, None, longer, every)]

    def decide(self, recipe: Recipe, facts: Facts, outcomes: dict[str, Outcome]) -> Decision:
        runs = [o for o in outcomes.values() if o.spec.stage == self.name and o.example_scores is not None]
        runs.sort(key=_steps)
        baseline = outcomes.get(reference.TRIAL)
        if baseline is not None and baseline.example_scores is None:
            baseline = None
        if not runs and baseline is None:
            reason = f"Nothing could be trained to its end: {_why_not(outcomes, facts, self.name)}."
            return Decision(self.name, recipe, recipe, reason, tuple(sorted(outcomes)), {"trial": None})
        chosen, parts = runs[0] if runs else None, []
        for longer in runs[1:]:
            mean, error = _gain_and_error(longer, chosen)
            gain = f"{100 * mean:+.3g} {whole.unit(facts)}, standard error {100 * error:.2g}"
            parts.append(f"{_steps(longer)} steps against {_steps(chosen)}: {gain}")
            chosen = longer if mean > error else chosen
        parts.insert(0, self._kept(recipe, chosen, facts) if chosen else "no tuned training came to its end")
        if baseline is not None and chosen is not None:
            gain, beyond = whole.compare(chosen, baseline, facts)
            parts.append(f"against the reference: {gain}")
            chosen = baseline if beyond < 0 else chosen
        chosen = chosen or baseline
        if chosen is baseline:
            parts.append("so the reference is what comes back")
        reason = "; ".join(parts) + "."
        values = {"trial": chosen.spec.trial, "steps_spent": spent(outcomes, self.name)}
        after = chosen.spec.recipe if chosen is not baseline else chosen.spec.recipe.replace(total_steps=chosen.steps)
        evidence = tuple(o.spec.trial for o in [*runs, baseline] if o is not None)
        return Decision(self.name, recipe, after, reason[0].upper() + reason[1:], evidence, values)

    def _segment(self, recipe, done, total, every) -> TrialSpec:
        trained = whole.lengthened(recipe, total)
        trained = trained.replace(regularisers="on" if self._tuned else recipe.regularisers)
        return whole.segment(_name(total), self.name, trained, done, every)

    def _kept(self, recipe, chosen, facts) -> str:
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
        if chosen.steps < total or chosen.diverged_at is not None:
            ended = "stopped" if chosen.diverged_at is None else "diverged"
            changed += f", {ended} at step {chosen.steps if chosen.diverged_at is None else chosen.diverged_at},"
        return (
            f"trained for {total} steps{changed} with {whole.decay_words(chosen.spec.recipe)}; the weights "
            f"of step {kept['step']} are kept, with a validation {name} of {kept[name]:.4g}"
        )


def _pays(runs: list[Outcome]) -> bool:
    """Whether the last lengthening gained more than one standard error; the first training is taken to."""
    longest = runs[-1]
    if longest.steps < _steps(longest) or longest.diverged_at is not None or longest.example_scores is None:
        return False
    if len(runs) == 1:
        return True
    mean, error = _gain_and_error(longest, runs[-2])
    return mean > error


def _gain_and_error(longer: Outcome, shorter: Outcome) -> tuple[float, float]:
    mean, low, high = scores.difference(longer.example_scores, shorter.example_scores)
    return mean, (high - low) / (2 * 1.96)


def _name(total: int) -> str:
    return f"train-{total}"


def _steps(outcome: Outcome) -> int:
    return outcome.spec.recipe.total_steps


def _why_not(outcomes, facts, stage) -> str:
    for outcome in outcomes.values():
        if outcome.spec.stage == stage and outcome.diverged_at is not None:
            return f"{outcome.spec.trial} diverged at step {outcome.diverged_at}"
    return f"{facts.allowance} steps were left of the budget"
