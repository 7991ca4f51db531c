"""How well the rarer of two classes is found, and the metrics of every output, for a report."""

from __future__ import annotations

from typing import Any

from kerastune.report import metric_names
from kerastune.report.blocks import Section, Table, Text
from kerastune.runtime.number_format import figure

PARTS = ("validation", "test")
ROWS = (
    ("ROC AUC", "roc_auc"),
    ("PR AUC (average precision)", "pr_auc"),
    ("recall, where it is likelier", "recall"),
    ("precision, where it is likelier", "precision"),
    ("F1, where it is likelier", "f1"),
    ("recall, from the threshold on", "threshold_recall"),
    ("precision, from the threshold on", "threshold_precision"),
    ("F1, from the threshold on", "threshold_f1"),
    ("accuracy of always predicting the other class", "majority_accuracy"),
)


def rare_class(result: dict[str, Any]) -> Section | None:
    """The section; `None` where there are not two classes.

    Args:
        result: the figures of `result.json`.
    """
    by_part = result.get("rare_class")
    if not by_part:
        return None
    by_part = {part: by_part[part] for part in PARTS if part in by_part}
    name, first = _name(result), next(iter(by_part.values()))
    rows = [(words, *(f"{found[key]:.4f}" for found in by_part.values())) for words, key in ROWS]
    shares = [f"{100 * found['share']:.1f} %" for found in by_part.values()]
    exported = result.get("exported", {}).get("model")
    is_exported = result.get("rare_class_model") == exported
    table = Table(
        f"How well {name} is found by {'the model to use' if is_exported else 'the final model'}",
        ("metric", *by_part),
        (("fraction of the examples", *shares), *rows),
    )
    offered = (
        f"{name} is predicted where its probability is above 0.5. From {first['threshold']:.4f} on "
        "its F1 is highest on validation, which chose that threshold."
    )
    return Section(f"The rarer class: {name}", (Text(offered), table))


def sentence(result: dict[str, Any]) -> str:
    """The same in a sentence, of the part that is reported on; empty where there are not two
    classes.

    Example:
        >>> found = {"class": 1, "share": 0.04, "roc_auc": 0.91, "pr_auc": 0.34, "recall": 0.2}
        >>> found |= {"precision": 0.5, "majority_accuracy": 0.96}
        >>> sentence({"rare_class": {"test": found}, "classes": ["no", "yes"]})
        'yes (4.0 % of test): ROC AUC 0.9100, PR AUC 0.3400, recall 0.2000, precision 0.5000; \
always predicting the other class has an accuracy of 0.9600.'
    """
    by_part = result.get("rare_class")
    if not by_part:
        return ""
    part = PARTS[-1] if PARTS[-1] in by_part else PARTS[0]
    found = by_part[part]
    return (
        f"{_name(result)} ({100 * found['share']:.1f} % of {part}): "
        f"ROC AUC {found['roc_auc']:.4f}, PR AUC {found['pr_auc']:.4f}, "
        f"recall {found['recall']:.4f}, precision {found['precision']:.4f}; always predicting the "
        f"other class has an accuracy of {found['majority_accuracy']:.4f}."
    )


def _name(result: dict[str, Any]) -> str:
    first = next(iter(result["rare_class"].values()))
    return str(result["classes"][int(first["class"])])


def shown(values: dict[str, float], name: str) -> str:
    """A metric as a cell of a table.

    Example:
        >>> shown({"mae": 0.25}, "mae"), shown({}, "mae")
        ('0.2500', '-')
    """
    return figure(values[name]) if name in values else "-"


def by_output(
    figures: dict[str, dict[str, dict[str, float]]], of_outputs: dict[str, list[str]], part: str
) -> list[Table]:
    """The metrics of every output, side by side for the models that were judged on a part."""
    judged = {model: values[part] for model, values in figures.items() if part in values}
    rows = tuple(
        (
            output,
            metric_names.called(name.removeprefix(f"{output}_")),
            *(shown(values, name) for values in judged.values()),
        )
        for output, names in of_outputs.items()
        for name in names
    )
    title = f"Metrics by output, on the {part} part"
    return [Table(title, ("output", "metric", *judged), rows)] if rows else []
