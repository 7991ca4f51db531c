"""The section on mistakes: classes, confidence, residuals, the worst ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerastune.analysis import calibration, error_analysis, metrics
from kerastune.report.blocks import Section, Table, Text, pictured
from kerastune.report.predictions import Predictions
from kerastune.runtime.number_format import number

MOST_CLASSES = 200  # that a table has rows for


def section(kept: Predictions, pictures: Mapping[str, bytes], words: str) -> Section:
    """The section on mistakes.

    Args:
        kept: what the models gave, the final one of which is looked at.
        pictures: PNG bytes of `"confusion"`, `"reliability"`, `"mistakes"` and `"residuals"`, as
            far as there are any.
        words: what it is that errs, and where.
    """
    parts = _of_classes(kept, pictures) if kept.is_classification else _of_numbers(kept, pictures)
    return Section("Error analysis", (Text(words),), tuple(parts))


def _of_classes(kept: Predictions, pictures: Mapping[str, bytes]) -> list[Section]:
    true, outputs = kept.true[kept.part], kept.outputs[kept.final][kept.part]
    names = kept.class_names
    counts = metrics.confusion(true, outputs.argmax(axis=1), len(names))
    pairs = error_analysis.most_confused(counts)
    told = (
        "; ".join(f"{names[t]} predicted as {names[p]} {n} times" for t, p, n in pairs[:3])
        or "none"
    )
    blocks = pictured(
        pictures,
        "confusion",
        f"Confusion matrix of {len(names)} classes; most often confused: {told}",
    )
    if pairs:
        rows = tuple((names[t], names[p], number(n)) for t, p, n in pairs)
        blocks.append(
            Table(
                "Most often confused",
                ("true class", "predicted class", "times"),
                rows,
                is_folded=True,
            )
        )
    each = error_analysis.by_class(counts)[:MOST_CLASSES]
    rows = tuple(
        (names[i], *(number(float(v)) for v in row[:3]), number(int(row[3])))
        for i, row in enumerate(each)
    )
    header = ("class", "precision", "recall", "F1", "examples")
    classes = Section(
        "Classes", (*blocks, Table("Metrics by class", header, rows, is_folded=len(names) > 12))
    )
    errors = {
        name: calibration.calibration_error(parts[kept.part], true)
        for name, parts in kept.outputs.items()
    }
    told = "; ".join(f"{name} {error:.4f}" for name, error in errors.items())
    words = f"Expected calibration error (mean gap between confidence and accuracy): {told}."
    picture = pictured(
        pictures, "reliability", f"Accuracy by confidence; expected calibration error: {told}"
    )
    found = [classes, Section("Calibration", (Text(words), *picture))]
    return [*found, *_worst(kept, pictures)]


def _of_numbers(kept: Predictions, pictures: Mapping[str, bytes]) -> list[Section]:
    errors = kept.outputs[kept.final][kept.part] - kept.true[kept.part]
    low, middle, high = (number(float(value)) for value in np.quantile(errors, [0.25, 0.5, 0.75]))
    words = (
        f"Median error {middle}; half of the errors lie between {low} and {high} (in units of the "
        "targets)."
    )
    picture = pictured(pictures, "residuals", f"Predicted by true values, and the errors. {words}")
    return [Section("Errors", (Text(words), *picture)), *_worst(kept, pictures)]


def _worst(kept: Predictions, pictures: Mapping[str, bytes]) -> list[Section]:
    found = kept.mistakes
    if found is None or not len(found.indices):
        return []
    outputs, true = kept.outputs[kept.final][found.part], kept.true[found.part]
    rows = []
    for place, index in enumerate(found.indices):
        row = tuple(found.rows[place]) if found.columns else ()
        if kept.is_classification:
            p = outputs[index]
            classes = (kept.class_names[true[index]], kept.class_names[p.argmax()])
            told = (*classes, f"{p.max():.3f}", f"{p[true[index]]:.3f}")
        else:
            told = (number(true[index].tolist()), number(outputs[index].tolist()))
        rows.append((str(index), *told, *row))
    header = ("true", "predicted")
    if kept.is_classification:
        header = ("true class", "predicted", "confidence", "probability of true class")
    blocks = pictured(
        pictures,
        "mistakes",
        f"The {len(rows)} mistakes with the highest confidence, as images",
    )
    words = (
        f"The {len(rows)} largest errors"
        if not kept.is_classification
        else f"The {len(rows)} mistakes with the highest confidence"
    )
    table = Table(
        f"{words} on the {found.part} part",
        ("example", *header, *found.columns),
        tuple(rows),
        bool(blocks),
    )
    return [Section("Worst mistakes", (*blocks, table))]
