"""What a command prints at its end: what was found, how good that is, and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kerastune.playbook import wording
from kerastune.playbook.stages.prune import Prune, PruneValues
from kerastune.report import metric_names
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import ending
from kerastune.runtime.number_format import figure
from kerastune.tuner.cross_validation import CrossValidation
from kerastune.tuner.playbook_tuner import PlaybookTuner


def of_search(tuner: PlaybookTuner, known: Collection[str]) -> list[str]:
    """The last lines of a search: verdict, files and what comes next."""
    for decision in tuner.decisions:
        if decision.stage == Prune.name and decision.values.curve:
            Console().print(_sparsities(decision.values))
    run_dir = tuner.run_dir
    kept = run_dir.predictions
    predictions = Predictions.from_bytes(kept.read_bytes()) if kept.is_file() else None
    return ending.of_search(run_dir, tuner.result, tuner.recipe, predictions, known)


def show_folds(crossed: CrossValidation) -> None:
    """Prints what a cross-validation found."""
    console, result, run_dir = Console(), crossed.result, crossed.run_dir
    repeats = f", {result['repeats']} times" if result["repeats"] > 1 else ""
    console.print(
        _folds(result, f"{result['folds']} folds{repeats}, {result['examples']:,} examples")
    )
    console.print(_over_folds(result["summary"]))
    for name, found in result["out of fold"].items():
        of_whole = " over groups" if result["grouped"] else ""
        interval = f"95 % interval {figure(found['low'])} to {figure(found['high'])}{of_whole}"
        together = f"{metric_names.called(name)} {figure(found['mean'])}, {interval}"
        console.print(f"All held-out examples together: {together}.", soft_wrap=True)
    if (test := result.get("ensemble on the test part")) is not None:
        shown = ", ".join(f"{metric_names.called(each)} {figure(test[each])}" for each in test)
        console.print(
            f"Ensemble of the folds' models on the test part (in no fold): {shown}.", soft_wrap=True
        )
    console.print(f"Report: {escape(str(run_dir.report))}", soft_wrap=True)
    if crossed.model is not None:
        console.print(f"Ensemble: {escape(str(run_dir.ensemble))}", soft_wrap=True)
    told = "predictions" if "predictions" in crossed.out_of_fold else "rows"
    console.print(f"Out-of-fold {told}: {escape(str(run_dir.out_of_fold))}", soft_wrap=True)
    console.print(f"Results are in {escape(str(run_dir.path))}. TensorBoard:")
    logdir = escape(shlex.quote(str(run_dir.tensorboard)))
    console.print(f"  tensorboard --logdir={logdir}", soft_wrap=True)


def _folds(result: dict[str, Any], title: str) -> Table:
    table, summary = Table(title=title), result["summary"]
    for column in ("", "held out", *map(metric_names.called, summary)):
        table.add_column(escape(column))
    for fold in result["by fold"]:
        table.add_row(
            fold["name"],
            str(fold["held out"]),
            *(figure(fold["metrics"][name]) for name in summary),
        )
    return table


def _over_folds(summary: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Over the folds")
    for column in ("", "mean", "std", "95 % interval of the mean"):
        table.add_column(column)
    for name, found in summary.items():
        low, high, mean, std = (figure(found[each]) for each in ("low", "high", "mean", "std"))
        table.add_row(escape(metric_names.called(name)), mean, std, f"{low} to {high}")
    return table


def _sparsities(values: PruneValues) -> Table:
    table = Table(title="Size and validation")
    for column in (
        "zero weights",
        "kB",
        "kB gzipped",
        metric_names.called(values.objective),
        "gain",
        "95 % interval",
        "",
    ):
        table.add_column(column)
    for point in values.curve:
        cells = [f"{100 * point.sparsity:g} %"]
        if (gain := point.gain) is None:
            cells += ["-"] * 5
        else:
            cells += [f"{size / 1000:.1f}" for size in (point.bytes, point.gzip_bytes)]
            cells += [
                figure(point.value),
                wording.gained(gain.gain, values.scored_by).split(" of ")[0],
            ]
            cells.append(wording.interval(gain.low, gain.high, values.scored_by))
        table.add_row(*cells, "kept" if point.trial == values.trial else "")
    return table
