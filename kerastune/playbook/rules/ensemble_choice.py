"""Whether an ensemble beats its best single model (S4.5)."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerastune.analysis import comparison, ensemble_selection, loss_selection
from kerastune.analysis.comparison import Comparison
from kerastune.analysis.ensemble_selection import Blend
from kerastune.analysis.loss_selection import Averages, Losses


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of judging an ensemble against its first candidate.

    Args:
        blend: what is handed on, fitted on all examples: the ensemble, or the first candidate
            alone.
        is_kept: whether it is the ensemble.
        gain: of the ensemble over the first candidate, cross-fitted.
        loss_gain: the same, kept or not, as a fall of the loss (`selection.losses`), without
            temperatures.
        temperature_gain: of what is handed on by its temperature, kept or not, as a fall of the
            log-likelihood loss.
        before: cross-fitted predictions of what is handed on, without temperature.
        after: the same with it; the same again where the temperature is 1.
        disagreement: of the ensemble's members, kept or not, `[members, members]`, in the order of
            their candidates.
    """

    blend: Blend
    is_kept: bool
    gain: Comparison
    loss_gain: Comparison
    temperature_gain: Comparison
    before: np.ndarray
    after: np.ndarray
    disagreement: np.ndarray


def judge(predictions: np.ndarray, targets: np.ndarray, measure: str, most: int) -> Verdict:
    """Whether an ensemble beats the first candidate significantly, and what is handed on.

    Both are compared by cross-fitted predictions with a temperature each, so that it is the members
    that gain. The temperature itself is kept only if it lowers the log-likelihood loss
    significantly.

    Args:
        predictions: of all candidates, the best single model first.
        targets: of the same examples.
        measure: what is compared, as `selection.example_scores` takes it.
        most: members at most.
    """
    alone = ensemble_selection.cross_fitted(predictions[:1], targets)
    together = (
        ensemble_selection.cross_fitted(predictions, targets, most)
        if len(predictions) > 1
        else alone
    )
    by_example = [
        ensemble_selection.example_scores(after, targets, measure) for _, after in (together, alone)
    ]
    gain = comparison.difference(*by_example)
    loss_gain = comparison.difference(
        *(-ensemble_selection.losses(before, targets) for before, _ in (together, alone))
    )
    is_kept = gain.sign > 0
    blend = ensemble_selection.fit(predictions, targets, most)
    apart = ensemble_selection.disagreement(predictions[blend.weights > 0], targets)
    if not is_kept:
        temperature = ensemble_selection.fit(predictions[:1], targets).temperature
        blend = Blend(np.eye(len(predictions))[0], temperature=temperature)
    found = ensemble_selection.judged(blend.temperature, *(together if is_kept else alone), targets)
    blend = dataclasses.replace(blend, temperature=found.value)
    return Verdict(blend, is_kept, gain, loss_gain, found.gain, found.before, found.after, apart)


def judge_by_loss(outputs: np.ndarray, losses: Losses, most: int) -> Verdict:
    """As `judge`, of outputs of any meaning, by a loss.

    Args:
        outputs: of all candidates `[members, examples, numbers]`, the best single model first.
        losses: gives the loss of every example `[n]` of outputs `[n, numbers]`.
        most: members at most.
    """
    averages, first = Averages(outputs, losses), np.eye(len(outputs))[0]
    before, together = outputs[0], averages.losses(first)
    gain, fitted = comparison.difference(together, together), first
    if len(outputs) > 1:
        before, by_example = averages.cross_fitted(most)
        gain = comparison.difference(-by_example, -together)
        fitted = averages.fit(most)
    is_kept = gain.sign > 0
    apart = loss_selection.disagreement(outputs[fitted > 0])
    blend = Blend(fitted if is_kept else first)
    before = before if is_kept else outputs[0]
    none = comparison.Comparison(0.0, 0.0, 0.0)
    return Verdict(blend, is_kept, gain, gain, none, before, before, apart)
