"""Stage 3: whether the rate should fall, and how (S3.1 to S3.4).

The lazy way first: linear decay against a constant rate over the same steps, each by the best of
its evaluations. Any expected gain is one, and no tie; without any, the rate stays constant. Only if
linear decay is expected to gain are a later start and the classic staircase tried, each of which
must be expected to gain itself.

A network that says how long a training with linear decay suits it has that: on recorded tasks a
constant rate was worse with every kind of data (`playbook/priors.json`).
"""

from __future__ import annotations

import dataclasses
import math

from kerastune.analysis.comparison import Comparison
from kerastune.playbook import wording
from kerastune.playbook.context import Context, rounded_up
from kerastune.playbook.decision import ChosenTrial, Decision
from kerastune.playbook.rules import decay_curves, full_training
from kerastune.playbook.rules.hill_climb import WholeTrainings
from kerastune.playbook.stages.finetune import FineTune
from kerastune.recipe import Recipe
from kerastune.trial import Outcome, TrialSpec

LINEAR, NONE, LATE, CLASSIC = "decay-linear", "decay-none", "decay-linear-late", "decay-exponential"
DECAYS = {
    "none": "Constant learning rate",
    "linear": "Linear decay",
    "exponential": "Exponential decay",
}
WORDS = {LATE: "a later start", CLASSIC: "the exponential staircase"}
MUCH_LATER = 1.5  # times the peak without decay: then decay is too fast
START_SHARE = 0.9  # of the peak without decay (S3.4: 3000 -> 2700)
FACTOR = 0.5  # of a drop of the staircase: the first one is the half that the guide asks for
END_SHARE = 0.01  # of the first rate: about where the staircase ends


@dataclasses.dataclass(frozen=True)
class DecayValues(ChosenTrial):
    """What stage `decay` found.

    Args:
        flat: whether decay and none are tied, so that none is kept.
        total_steps: of the recipe that it hands on.
        gain: of linear decay over a constant learning rate; `None` where they were not compared.
        interval: what is wrong with the staircase's interval, in words; empty where nothing is.
        peak: step of the validation's peak with linear decay; `None` where nobody looked.
        peak_without_decay: the same at a constant learning rate.
    """

    flat: bool = False
    total_steps: int = 0
    gain: Comparison | None = None
    interval: str = ""
    peak: int | None = None
    peak_without_decay: int | None = None


class Decay(WholeTrainings):
    """Chooses the decay of the learning rate.

    The steps that it hands on are those that the chosen decay was trained for, or would have been:
    nothing after it stretches them again. Without decay they stay what they were.
    """

    name = "decay"
    question = "Should the learning rate fall?"
    share = 0.3
    values = DecayValues
    tunes = True
    stretches = True

    def propose(self, context: Context) -> list[TrialSpec]:
        if context.facts.known_steps(context.recipe):
            return []
        context = context.replace(outcomes=self._with_paid(context))
        left = context.left(self.name)
        pair = self._segments(self._pair(context), context)
        if pair:
            lost = LINEAR in context.outcomes and _has_failed(context.outcomes[LINEAR])
            # What was begun is finished: with a budget in time, what is left of it is only an
            # estimate.
            return (
                pair
                if not lost and (LINEAR in context.outcomes or sum(map(_cost, pair)) <= left)
                else []
            )
        variants, specs = self._variants(context), []
        for spec in self._segments(variants, context):
            if _cost(spec) <= left:
                specs.append(spec)
                left -= _cost(spec)
        return specs

    def decide(self, context: Context) -> Decision:
        if steps := context.facts.known_steps(context.recipe):
            return self._known(context, steps)
        context = context.replace(outcomes=self._with_paid(context))
        linear, none = context.outcomes.get(LINEAR), context.outcomes.get(NONE)
        values = DecayValues(steps_spent=context.spent(self.name))
        if not full_training.is_comparable(linear) or (
            none is None or not full_training.has_ended(none)
        ):
            return self._untested(context, values)
        total = linear.spec.recipe.total_steps
        if not full_training.is_comparable(none):
            ended = f"linear decay came to its end, {total} steps"
            parts = [f"a constant learning rate {_failure(none)}", ended]
            return self._kept(context, linear, parts, values)
        measured = full_training.compare(linear, none)
        expected = full_training.expected_of(measured, none, context, "decay")
        gain = wording.expected(expected, measured, context.facts.scored_by)
        values = dataclasses.replace(values, gain=measured)
        pair = f"linear decay against a constant learning rate, {total} steps each{_stopped(none)}"
        parts = [f"{pair}: {gain}"]
        if expected.mean > 0:
            return self._refined(context, parts, values)
        is_flat = expected.mean >= -expected.tie
        does = "as well" if is_flat else "better"
        recipe = context.recipe
        steps = f"{recipe.learning_rate:g} for the {recipe.total_steps} steps that it had"
        parts.append(f"the learning rate stays at {steps}")
        values = dataclasses.replace(
            values, trial=NONE, flat=is_flat, total_steps=recipe.total_steps
        )
        return self.decision(
            context,
            f"No decay: a constant learning rate does {does}",
            wording.sentences(parts),
            after=recipe.replace(decay="none"),
            evidence=_evidence(context.outcomes),
            values=values,
        )

    def _known(self, context: Context, steps: int) -> Decision:
        """Linear decay for the steps that suit the network."""
        facts, found = context.facts, self._pair(context)[LINEAR]
        total = rounded_up(steps, self._chunk)
        after = found.over(facts.within_epochs(total, found.batch_size, self._chunk))
        examples = f" for {facts.num_train} training examples" if facts.num_train else ""
        parts = [
            "this network has learnt best with linear decay on most recorded tasks",
            f"{steps} steps suit it{examples}",
        ]
        return self.decision(
            context,
            f"{_headline(after)} to begin with",
            wording.sentences(parts),
            after=after,
            values=DecayValues(total_steps=after.total_steps),
        )

    def _with_paid(self, context: Context) -> dict[str, Outcome]:
        """The outcomes, with what stage `finetune` trained of the very recipe in the place of
        linear decay's.
        """
        if (
            LINEAR in context.outcomes or context.facts.regularized or context.recipe.dropout
        ):  # there regularizers were on, here they are not
            return context.outcomes
        linear = self._pair(context)[LINEAR].replace(regularizers="on")
        paid = full_training.trained_before((FineTune.name,), linear, context)
        return context.outcomes | {LINEAR: paid} if paid else context.outcomes

    def _pair(self, context: Context) -> dict[str, Recipe]:
        wanted = rounded_up(self._stretch * context.recipe.total_steps, self._chunk)
        every = context.evaluation_interval(self._chunk, wanted)
        size, total = context.recipe.batch_size, rounded_up(wanted, every)
        total = context.facts.within_epochs(total, size, every)
        linear = context.recipe.replace(decay="linear", decay_start=0, total_steps=total)
        return {LINEAR: linear, NONE: linear.replace(decay="none")}

    def _variants(self, context: Context) -> dict[str, Recipe]:
        """What is worth trying once linear decay helps: a later start (S3.3) and the staircase
        (S3.4).
        """
        linear, none = context.outcomes.get(LINEAR), context.outcomes.get(NONE)
        if not (full_training.is_comparable(linear) and full_training.is_comparable(none)):
            return {}
        if full_training.expected(linear, none, context, "decay").mean <= 0:
            return {}
        decayed, moved = (
            linear.spec.recipe,
            decay_curves.peak_step(linear.evals, context.facts.objective),
        )
        peak = decay_curves.peak_step(none.evals, context.facts.objective)
        start, total = start_before(peak, self._chunk), decayed.total_steps
        if start >= total:
            return {}
        late = {LATE: decayed.replace(decay_start=start)} if moved > MUCH_LATER * peak else {}
        interval = staircase_interval(start, total)
        classic = {"decay_start": start, "decay_factor": FACTOR, "decay_interval": interval}
        return {**late, CLASSIC: decayed.replace(decay="exponential", **classic)}

    def _refined(self, context: Context, parts: list[str], values: DecayValues) -> Decision:
        """What comes of variants, once linear decay gains."""
        chosen = context.outcomes[LINEAR]
        peak, moved = (
            decay_curves.peak_step(context.outcomes[name].evals, context.facts.objective)
            for name in (NONE, LINEAR)
        )
        values = dataclasses.replace(values, peak=moved, peak_without_decay=peak)
        parts = [*parts, f"the validation peak moved from step {peak} to {moved}"]
        for name, varied in self._variants(context).items():
            outcome = context.outcomes.get(name)
            words = f"{WORDS[name]} at step {varied.decay_start}"
            if not full_training.is_comparable(outcome):
                parts.append(f"{words} stays untested ({_untested_since(outcome, varied)})")
                continue
            compared = full_training.compare(outcome, chosen)
            expected = full_training.expected_of(compared, chosen, context, name)
            gain = wording.expected(expected, compared, context.facts.scored_by)
            found = ""
            if name == CLASSIC:
                found = decay_curves.interval_fault(
                    outcome, context.outcomes[NONE], context.facts.objective
                )
                values = dataclasses.replace(values, interval=found)
            parts.append(f"{words} against {_short(chosen)}: {gain}{', ' * bool(found)}{found}")
            chosen = outcome if expected.is_gain else chosen
        return self._kept(context, chosen, parts, values)

    def _kept(
        self, context: Context, chosen: Outcome, parts: list[str], values: DecayValues
    ) -> Decision:
        after = chosen.spec.recipe.replace(regularizers=context.recipe.regularizers)
        return self.decision(
            context,
            _headline(after),
            wording.sentences([*parts, full_training.decay_words(after)]),
            after=after,
            evidence=_evidence(context.outcomes),
            values=dataclasses.replace(
                values, trial=chosen.spec.trial, total_steps=after.total_steps
            ),
        )

    def _untested(self, context: Context, values: DecayValues) -> Decision:
        pair = self._pair(context)
        total = pair[LINEAR].total_steps
        after = (
            context.recipe.replace(total_steps=total)
            if context.recipe.decay == "linear"
            else context.recipe
        )
        begun = {name: context.outcomes[name] for name in pair if name in context.outcomes}
        failed = [name for name, outcome in begun.items() if _has_failed(outcome)]
        if failed:
            parts = [f"trial {name} {_failure(begun[name])}" for name in failed]
        elif begun:
            held = f"the {context.facts.allowance} steps of its budget"
            parts = [f"{held} ended in the middle of its two trainings"]
        else:
            held = f"its budget holds {context.facts.allowance}"
            parts = [f"two trainings of {total} steps cost {2 * total}, {held}"]
        return self.decision(
            context,
            f"Decay not tested: {_headline(after).lower()}",
            wording.sentences([*parts, f"it stays {full_training.decay_words(after)}"]),
            after=after,
            evidence=tuple(begun),
            values=dataclasses.replace(values, total_steps=after.total_steps),
        )

    def _segments(self, recipes, context: Context) -> list[TrialSpec]:
        """The next segment of every training that has not ended."""
        return [
            spec for name, recipe in recipes.items() for spec in self._due(name, recipe, context)
        ]


def start_before(peak: int, chunk: int) -> int:
    """Step at which decay starts: a little before the best validation without decay, in whole
    chunks.

    Example:
        >>> start_before(3000, chunk=50)
        2700
    """
    return max(int(START_SHARE * peak) // chunk, 1) * chunk


def staircase_interval(start: int, total_steps: int) -> int:
    """Steps between two drops of the staircase, such that the rate ends at about 1 % of what it
    was.

    Example:
        >>> staircase_interval(2700, 6200)  # seven halves, the last one as long as the others
        500
    """
    drops = round(math.log(END_SHARE, FACTOR))
    return -(-(total_steps - start) // drops)


def _evidence(outcomes: dict[str, Outcome]) -> tuple[str, ...]:
    known = (LINEAR, NONE, LATE, CLASSIC)
    return tuple(outcomes[name].spec.trial for name in known if name in outcomes)


def _cost(spec: TrialSpec) -> int:
    """Steps from a segment to the end of its training."""
    return spec.recipe.total_steps - spec.start


def _has_failed(outcome: Outcome) -> bool:
    return full_training.has_ended(outcome) and not full_training.is_comparable(outcome)


def _headline(recipe: Recipe) -> str:
    words = DECAYS[recipe.decay]
    return f"{words} for {recipe.total_steps:,} steps"


def _untested_since(outcome: Outcome | None, varied: Recipe) -> str:
    if outcome is None:
        return f"its {varied.total_steps} steps exceed the budget"
    return _failure(outcome)


def _failure(outcome: Outcome) -> str:
    if outcome.diverged_at is not None:
        return f"diverged at step {outcome.diverged_at}"
    if full_training.was_stopped(outcome):
        total = outcome.spec.recipe.total_steps
        return f"was stopped at step {outcome.steps} of {total}, before its end"
    if not full_training.has_ended(outcome):
        return f"was trained for {outcome.steps} of {outcome.spec.recipe.total_steps} steps"
    return "gave no finite validation value"


def _stopped(none: Outcome) -> str:
    return (
        f" (the constant learning rate was stopped at step {none.steps})"
        if full_training.was_stopped(none)
        else ""
    )


def _short(outcome: Outcome) -> str:
    return WORDS.get(outcome.spec.trial, "linear decay from the first step")
