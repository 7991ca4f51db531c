"""Tables of trials and of the numbers behind a decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from kerastune.analysis.comparison import Comparison
from kerastune.playbook.decision import Values
from kerastune.report import metric_names
from kerastune.report.blocks import Table, number
from kerastune.trial import Outcome


def trials(outcomes: dict[str, Outcome]) -> Table:
    header = (
        "trial",
        "optimizer",
        "learning rate",
        "batch size",
        "steps",
        "seconds",
        "final loss",
        "final validation metrics",
    )
    rows = []
    for name, outcome in outcomes.items():
        recipe = outcome.spec.recipe
        end = outcome.evals[-1] if outcome.evals else {}
        values = ", ".join(
            f"{metric_names.called(name)} {number(value)}"
            for name, value in end.items()
            if name != "step"
        )
        loss = (
            "diverged"
            if outcome.diverged_at is not None
            else number(float(outcome.losses[-50:].mean()))
        )
        settings = (recipe.optimizer, number(recipe.learning_rate), number(recipe.batch_size))
        rows.append(
            (name, *settings, number(outcome.steps), f"{outcome.seconds:.1f}", loss, values or "-")
        )
    return Table("Trials of the stage", header, tuple(rows), is_folded=True)


def numbers(values: Values | dict[str, Any]) -> Table | None:
    """The numbers of a decision, folded; `None` where it has none.

    Args:
        values: of the decision; matrices, curves and lists of trials are left to the figures.
    """
    rows = tuple((name, _number(value)) for name, value in flat(values) if not _is_drawn(value))
    return (
        Table("Numbers of the decision", ("name", "value"), rows, is_folded=True) if rows else None
    )


def flat(values: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Names and values, those of nested dicts and dataclasses under the names of both."""
    if dataclasses.is_dataclass(values):
        names = [field.name for field in dataclasses.fields(values)]
        values = {name: getattr(values, name) for name in names}
    for name, value in values.items():
        words = f"{prefix}{name}"
        is_nested = isinstance(value, dict) or dataclasses.is_dataclass(value)
        if is_nested and not isinstance(value, Comparison):
            yield from flat(value, f"{words} / ")
        else:
            yield words, value


def _number(value: Any) -> str:
    if isinstance(value, Comparison):
        return f"{number(value.gain)}, 95 % CI {number(value.low)} to {number(value.high)}"
    return number(value)


def _is_drawn(value: Any) -> bool:
    """Whether a value is a matrix, a curve or a list of trials, which a picture shows."""
    is_list = isinstance(value, (list, tuple)) and bool(value)
    return is_list and (
        isinstance(value[0], (list, tuple, dict)) or dataclasses.is_dataclass(value[0])
    )
