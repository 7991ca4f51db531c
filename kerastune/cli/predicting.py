"""Writes predictions of new data as a .csv, some thousands of rows at a time."""

from __future__ import annotations

import contextlib
import csv
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerastune.data.new_data import Batch

logger = logging.getLogger("kerastune")


def write(predictor: Any, batches: Iterable[Batch], path: Path) -> int:
    """Writes a line for every new example, in their order; gives their number.

    A line has what tells which example it is (columns that are no inputs, or the file), then the
    prediction, and of a classifier the probability of every class.

    Args:
        predictor: the final model of a search.
        batches: new data of the form of the search's.
        path: of the .csv, which is there whole or not at all.

    Raises:
        ValueError, FileNotFoundError: with one line, for data that can't be read.
    """
    count, told = 0, set()
    with _replacing(path) as file:
        writer = csv.writer(file)
        for batch in batches:
            for note in set(batch.notes) - told:
                logger.warning("%s", note)
            told |= set(batch.notes)
            outputs = predictor.outputs(batch.inputs)
            table = columns(predictor, batch.kept, outputs, count)
            if not count:
                writer.writerow(table)
            writer.writerows(zip(*table.values(), strict=True))
            count += len(batch)
            logger.info("%d predicted.", count)
    return count


def columns(predictor: Any, kept: dict[str, Any], outputs: np.ndarray, first: int) -> dict:
    """The columns of the .csv, by name, of some examples.

    Args:
        predictor: the final model of a search.
        kept: columns that tell which examples they are.
        outputs: of the model.
        first: number of examples before them.
    """
    names = kept or {"row": np.arange(first + 1, first + len(outputs) + 1)}
    label = predictor.about["reading"].get("label", {}).get("name", "")
    found = dict(names)
    if predictor.kind == "classification":
        found[f"predicted {label}".strip()] = predictor.labels(outputs)
        for number, name in enumerate(predictor.classes_):
            found[f"probability {name}"] = np.round(outputs[:, number].astype(np.float64), 6)
        return found
    numbers = np.asarray(outputs, np.float32).reshape(len(outputs), -1)
    for number in range(numbers.shape[1]):
        name = f"predicted {label}".strip()
        found[name if numbers.shape[1] == 1 else f"{name} {number}"] = numbers[:, number]
    return found


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A file that takes the place of `path` once it is whole."""
    unfinished = path.with_name(f".{path.name}.new")
    try:
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            yield file
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
