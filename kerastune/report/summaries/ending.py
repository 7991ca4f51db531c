"""The last lines of a search: verdict, files, and the commands that come next."""

from __future__ import annotations

import json
import os
import shlex
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Any

from kerastune.recipe import Recipe
from kerastune.report import gain_steps, metric_sections
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import extended, verdict
from kerastune.study.run_directory import RunDir

WIDTH = 80  # characters, of a line of text; paths and commands stay in one piece
LABEL = 13  # characters before what a line names
NEXT = ("predict", "export", "why")  # commands that are worth a line, where there are


def found(result: dict[str, Any], kept: Predictions | None) -> list[str]:
    """What a search found: the verdict first, then figures and what was combined.

    Args:
        result: the figures of `result.json`.
        kept: what the models gave.
    """
    lines = [verdict.of(result).words]
    if "final" not in result:
        return lines
    lines += [verdict.figures(result, kept), extended.sentence(result)]
    return [*filter(None, lines), *_to_use(result)]


def of_search(
    run_dir: RunDir,
    result: dict[str, Any],
    recipe: Recipe,
    kept: Predictions | None,
    known: Collection[str],
) -> list[str]:
    """The last lines that a command shows: what was found, the files, what comes next.

    What combining models gained is left to the report.

    Args:
        run_dir: the output directory.
        result: the figures of `result.json`.
        recipe: the final one.
        kept: what the models gave.
        known: the commands that there are.
    """
    *said, last = found(result, kept)
    both = f"{last} {took(result)}".strip()
    said += [metric_sections.sentence(result)]
    said += [both] if len(both) <= WIDTH else [last, took(result)]
    lines = [textwrap.fill(line, WIDTH) for line in said if line]
    text = ["", *lines, "", *files(run_dir, recipe), *commands(run_dir, known)]
    return "\n".join(text).split("\n")


def _to_use(result: dict[str, Any]) -> list[str]:
    name = result.get("exported", {}).get("model")
    if name is None:
        return []
    error = result.get(name, {}).get("test", {}).get("ece")
    told = "" if error is None else f", calibration error {error:.4f} on test"
    return [f"Model to use: {gain_steps.MODELS[name]}{told}."]


def took(result: dict[str, Any]) -> str:
    """Seconds and budget in a sentence; empty while they are not known.

    Example:
        >>> took({"seconds": 75.3, "budget": "90s"})
        'Took 75 s of 90s.'
    """
    if "seconds" not in result:
        return ""
    budget = str(result["budget"])
    of_seconds = "" if budget.endswith("steps") else f" of {budget}"
    return f"Took {result['seconds']:.0f} s{of_seconds}."


def files(run_dir: RunDir, recipe: Recipe) -> list[str]:
    """The files that a user opens, those that are there: a line each, but for the recipe's, which
    the recipe stands before.
    """
    models = [run_dir.tta, run_dir.ensemble, run_dir.calibrated, run_dir.model]
    wanted = [("Report", run_dir.report), ("Model", next(filter(Path.is_file, models), None))]
    wanted += [("Recipe", run_dir.flags), ("TensorBoard", run_dir.tensorboard)]
    there = [(name, path) for name, path in wanted if path is not None and path.exists()]
    told = {run_dir.flags: _recipe(recipe, run_dir.flags)}
    lines: list[str] = []
    for name, path in there:
        first, *others = told.get(path, [shown(path)])
        lines += [f"{name + ':':<{LABEL}}{first}", *(f"{'':<{LABEL}}{each}" for each in others)]
    return lines


def _recipe(recipe: Recipe, path: Path) -> list[str]:
    """The recipe and its file, in lines."""
    *lines, last = textwrap.wrap(verdict.recipe_in_words(recipe).rstrip("."), WIDTH - LABEL)
    where = f"({shown(path)})"
    is_short = len(last) + 1 + len(where) <= WIDTH - LABEL
    return [*lines, f"{last} {where}"] if is_short else [*lines, last, where]


def commands(run_dir: RunDir, known: Collection[str]) -> list[str]:
    """The commands that come next, of those that are known."""
    where = shlex.quote(shown(run_dir.path))
    further = {"predict": f" --data={_new_data(run_dir)}"}
    return [
        f"kerastune {name} --output_dir={where}{further.get(name, '')}"
        for name in NEXT
        if name in known
    ]


def _new_data(run_dir: RunDir) -> str:
    """What new data of the form of the search's may be called."""
    about = run_dir.inputs.read_text(encoding="utf-8") if run_dir.inputs.is_file() else "{}"
    form = json.loads(about).get("reading", {}).get("form")
    return {"table": "NEW.csv", "images": "FOLDER"}.get(form, "NEW.npz")


def shown(path: Path) -> str:
    """A path as short as it can be typed here.

    Example:
        >>> shown(Path.cwd() / "digits-out" / "report.html")
        'digits-out/report.html'
    """
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
