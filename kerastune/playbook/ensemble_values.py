"""What stage `ensemble` is told, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from kerastune.analysis.comparison import Comparison
from kerastune.playbook.decision import ChosenTrial


@dataclasses.dataclass(frozen=True)
class Validation:
    """What the stage is told of the validation part, by a floor that has models.

    Args:
        targets: integer classes `[n]`, or numbers `[n]` or `[n, outputs]`, as the models are
            trained for; `None` where the model's own loss judges.
        predict: gives the predictions of a trial's kept weights: probabilities `[n, classes]`,
            numbers `[n, outputs]`, or all outputs `[n, numbers]`.
        figures: gives figures of merit by name, of such predictions.
        losses: gives the loss of every example `[n]`, of all outputs `[n, numbers]`; `None` where
            there are targets.
        most: candidates whose predictions may be held at once; `None` for any number.
    """

    targets: np.ndarray | None
    predict: Callable[[str], np.ndarray]
    figures: Callable[[np.ndarray], dict[str, float]]
    losses: Callable[[np.ndarray], np.ndarray] | None = None
    most: int | None = None


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """What the stage is told of all examples that are no test examples: training part first.

    Args:
        targets: as `Validation` has them.
        predict: gives the numbers of the examples that a trial left out, and what its kept weights
            predict for them.
    """

    targets: np.ndarray
    predict: Callable[[str], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ValidationFigures:
    """Figures of merit on the validation part, by name, cross-fitted.

    Args:
        single: of the single model.
        before: of what is handed on, without its temperature; empty where nothing is.
        after: the same with it.
    """

    single: dict[str, float] = dataclasses.field(default_factory=dict)
    before: dict[str, float] = dataclasses.field(default_factory=dict)
    after: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EnsembleValues(ChosenTrial):
    """What stage `ensemble` found; `trial` is the best single model.

    Args:
        weights: of the members, by their trials.
        mean: how members are averaged, a key of `ensemble_selection.MEANS`.
        temperature: of their mean.
        repeats: cuts of all examples into folds, each of which one member left out, of the last
            cut perhaps a few; 0 where members were chosen.
        kept: whether there is an ensemble; else the trial alone has all the weight.
        gain: of an ensemble over the trial alone, in scores of examples; `None` where nothing was
            compared.
        loss_gain: the same as a fall of the loss, without temperatures.
        temperature_gain: of the temperature, as a fall of the log-likelihood loss.
        disagreement: of the members, `[members, members]`.
        validation: figures of merit.
        reliability: curves before and after the temperature, `[bins, 3]`; none for numbers.
    """

    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    mean: str = "arithmetic"
    temperature: float = 1.0
    repeats: int = 0
    kept: bool = False
    gain: Comparison | None = None
    loss_gain: Comparison | None = None
    temperature_gain: Comparison | None = None
    disagreement: tuple[tuple[float, ...], ...] = ()
    validation: ValidationFigures = ValidationFigures()
    reliability: dict[str, tuple[tuple[float, ...], ...]] = dataclasses.field(default_factory=dict)

    @property
    def trials(self) -> tuple[str, ...]:
        return (*super().trials, *self.weights)


def calibrated(temperature: float, validation: ValidationFigures) -> str:
    """What a temperature did, in words."""
    before, after = validation.before, validation.after
    if temperature == 1:
        found = f"{before['nll']:.3g} (ECE {before['ece']:.2g})"
        return f"no temperature lowers its log-likelihood loss of {found} significantly"
    moved = ", ".join(
        f"{words} {before[name]:.3g} to {after[name]:.3g}"
        for name, words in (
            ("nll", "log-likelihood loss"),
            ("ece", "ECE"),
            ("brier", "Brier score"),
        )
    )
    return f"a temperature of {temperature:.3g} takes it from {moved}"
