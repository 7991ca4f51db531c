"""Tables of trials and of the numbers behind a decision."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from typing import Any

from kerastune.analysis.comparison import Comparison
from kerastune.playbook.decision import Values
from kerastune.report import metric_names
from kerastune.report.blocks import Table
from kerastune.runtime.number_format import number
from kerastune.trial import Outcome

LAST_STEPS = 50  # whose mean is the loss at the end
NAMED = {"learning_rate": "learning rate", "batch_size": "batch size"}
SHOWN = ("trial", "stage", "optimizer", "learning_rate", "batch_size", "steps", "seconds")
PLAIN = ("hyperparameters", "layer_rate")  # values of a recipe that a cell holds as text


def records(outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """All trials as plain values by name, one dict each, with the same names in all of them.

    `"loss"` is the mean training loss of the last 50 steps, `None` of a training that diverged or
    failed; values named `val_…` are the last validation values.
    """
    rows = [_record(name, outcome) for name, outcome in outcomes.items()]
    longest = max(rows, key=len, default={})  # one with validation values
    names = list(dict.fromkeys([*longest, *(name for row in rows for name in row)]))
    return [{name: row.get(name) for name in names} for row in rows]


def _record(name: str, outcome: Outcome) -> dict[str, Any]:
    recipe = outcome.spec.recipe
    settings = {
        key: str(value) if key in PLAIN else value for key, value in recipe.to_dict().items()
    }
    is_sound = outcome.diverged_at is None and not outcome.error and outcome.steps
    end = outcome.evals[-1] if outcome.evals else {}
    return {
        "trial": name,
        "stage": outcome.spec.stage,
        **{f"val_{key}": value for key, value in end.items() if key != "step"},
        "loss": float(outcome.losses[-LAST_STEPS:].mean()) if is_sound else None,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 3),
        **settings,
        "diverged_at": outcome.diverged_at,
        "error": outcome.error,
    }


def as_csv(rows: list[dict[str, Any]]) -> str:
    """The records as a text of comma-separated values, with a line of names.

    Example:
        >>> as_csv([{"trial": "a", "loss": None}, {"trial": "b,c", "loss": 0.5}])
        'trial,loss\\na,\\n"b,c",0.5\\n'
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["trial"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def table(rows: list[dict[str, Any]], caption: str, is_folded: bool = False) -> Table:
    """Trials for people: their most important settings, cost and validation values.

    Args:
        rows: as `records` gives them.
        caption: of the table.
        is_folded: whether it need not be seen at once.
    """
    measured = [name for name in (rows[0] if rows else ()) if name.startswith("val_")]
    header = [NAMED.get(name, name) for name in SHOWN]
    header += ["training loss", *(f"validation {metric_names.called(name)}" for name in measured)]
    cells = tuple(
        (
            *(_cell(name, row[name]) for name in SHOWN),
            _loss(row),
            *(number(row[m]) for m in measured),
        )
        for row in rows
    )
    return Table(caption, tuple(header), cells, is_folded)


def _cell(name: str, value: Any) -> str:
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.4g}" if name == "learning_rate" else number(value)


def _loss(row: dict[str, Any]) -> str:
    if row["error"]:
        return "failed"
    return "diverged" if row["diverged_at"] is not None else number(row["loss"])


def trials(outcomes: dict[str, Outcome]) -> Table:
    """The trials of one stage, folded."""
    return table(records(outcomes), "Trials of the stage", is_folded=True)


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
