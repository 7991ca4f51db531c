"""Tables of trials and of the numbers behind a decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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


def numbers(values: dict[str, Any]) -> Table | None:
    """The numbers of a decision, folded; `None` where it has none.

    Args:
        values: by name, nested dicts included; matrices and curves are left to the figures.
    """
    rows = tuple((name, _number(value)) for name, value in flat(values) if not _is_drawn(value))
    return (
        Table("Numbers of the decision", ("name", "value"), rows, is_folded=True) if rows else None
    )


def flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value.keys() != {"mean", "low", "high"}:
            yield from flat(value, f"{prefix}{name} / ")
        else:
            yield f"{prefix}{name}", value


def _number(value: Any) -> str:
    if isinstance(value, dict):
        interval = f"{number(value['low'])} to {number(value['high'])}"
        return f"{number(value['mean'])}, 95 % interval {interval}"
    return number(value)


def _is_drawn(value: Any) -> bool:
    """Whether a value is a matrix or a curve, which a picture shows."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)
