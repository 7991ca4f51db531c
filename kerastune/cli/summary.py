"""The small table at the end of a command: what was chosen, why, and what it gained."""

from __future__ import annotations

import shlex
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kerastune.inference import wording as rare_wording
from kerastune.playbook import wording
from kerastune.playbook.stages.prune import Prune, PruneValues
from kerastune.report import gain_steps
from kerastune.tuner.cross_validation import CrossValidation
from kerastune.tuner.playbook_tuner import PlaybookTuner
from kerastune.tuner.refit import REFIT


def show(tuner: PlaybookTuner) -> None:
    """Prints what a search found."""
    console = Console()
    console.print(_decisions(tuner))
    for decision in tuner.decisions:
        if decision.stage == Prune.name and decision.values.curve:
            console.print(_sparsities(decision.values))
    if tuner.result.get("final"):
        console.print(_figures(tuner))
        console.print(_gain(tuner))
        for part, found in tuner.result.get("rare_class", {}).items():
            lines = rare_wording.rare_class(found, tuner.result["classes"])
            console.print(f"The rarer class, {part}: {escape('; '.join(lines))}.", soft_wrap=True)
        if words := gain_steps.exported(tuner.result):
            console.print(words)
    console.print(f"Report: {escape(str(tuner.run_dir.report))}", soft_wrap=True)
    console.print(f"Results are in {escape(str(tuner.run_dir.path))}. TensorBoard:")
    console.print(
        f"  tensorboard --logdir={escape(shlex.quote(str(tuner.run_dir.tensorboard)))}",
        soft_wrap=True,
    )


def show_folds(crossed: CrossValidation) -> None:
    """Prints what a cross-validation found."""
    console, result, run_dir = Console(), crossed.result, crossed.run_dir
    repeats = f", {result['repeats']} times" if result["repeats"] > 1 else ""
    console.print(
        _folds(result, f"{result['folds']} folds{repeats}, {result['examples']} examples")
    )
    console.print(_over_folds(result["summary"]))
    for name, found in result["out of fold"].items():
        of_whole = " over groups" if result["grouped"] else ""
        interval = f"95 % interval {found['low']:.4f} to {found['high']:.4f}{of_whole}"
        console.print(
            f"All held-out examples together: {name} {found['mean']:.4f}, {interval}.",
            soft_wrap=True,
        )
    if (test := result.get("ensemble on the test part")) is not None:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in test.items())
        console.print(
            f"Ensemble of the folds' models on the test part (in no fold): {shown}.", soft_wrap=True
        )
    console.print(f"Report: {escape(str(run_dir.report))}", soft_wrap=True)
    console.print(f"Ensemble: {escape(str(run_dir.ensemble))}", soft_wrap=True)
    console.print(f"Out-of-fold predictions: {escape(str(run_dir.out_of_fold))}", soft_wrap=True)
    console.print(f"Results are in {escape(str(run_dir.path))}. TensorBoard:")
    logdir = escape(shlex.quote(str(run_dir.tensorboard)))
    console.print(f"  tensorboard --logdir={logdir}", soft_wrap=True)


def _folds(result: dict[str, Any], title: str) -> Table:
    table, summary = Table(title=title), result["summary"]
    for column in ("", "held out", *summary):
        table.add_column(escape(column))
    for fold in result["by fold"]:
        table.add_row(
            fold["name"],
            str(fold["held out"]),
            *(f"{fold['metrics'][name]:.4f}" for name in summary),
        )
    return table


def _over_folds(summary: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Over the folds")
    for column in ("", "mean", "std", "95 % interval of the mean"):
        table.add_column(column)
    for name, found in summary.items():
        ends = f"{found['low']:.4f} to {found['high']:.4f}"
        table.add_row(escape(name), f"{found['mean']:.4f}", f"{found['std']:.4f}", ends)
    return table


def _decisions(tuner: PlaybookTuner) -> Table:
    table = Table(title="Decisions", show_lines=True)
    table.add_column("stage")
    table.add_column("decision, and its numbers")
    for decision in tuner.decisions:
        words = f"[bold]{escape(decision.headline)}[/bold]\n{escape(decision.numbers)}"
        table.add_row(escape(decision.stage), words)
    return table


def _sparsities(values: PruneValues) -> Table:
    table = Table(title="Size and validation")
    for column in (
        "zero weights",
        "kB",
        "kB gzipped",
        values.objective,
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
                f"{point.value:.4f}",
                wording.gained(gain.gain, values.scored_by).split(" of ")[0],
            ]
            cells.append(wording.interval(gain.low, gain.high, values.scored_by))
        table.add_row(*cells, "kept" if point.trial == values.trial else "")
    return table


def _figures(tuner: PlaybookTuner) -> Table:
    rows = [
        (name, part, figures)
        for name in (
            "baseline",
            "final",
            "calibrated",
            "ensemble",
            "tta",
            "unpruned",
            "alone",
            REFIT,
        )
        for part, figures in sorted(tuner.result.get(name, {}).items(), reverse=True)
    ]
    # Read from a file again, results are in the order of their names: print them in one order.
    first = tuner.result["scored_by"]
    metrics = sorted(rows[0][2], key=lambda metric: (metric != first, metric))
    table = Table(title="Results")
    for column in ("", "part", *metrics):
        table.add_column(column)
    for name, part, figures in rows:
        table.add_row(name, part, *(f"{figures[metric]:.4f}" for metric in metrics))
    return table


def _gain(tuner: PlaybookTuner) -> str:
    lines = [
        f"{words} on the test part: {_in_words(tuner.result[name], tuner.result['scored_by'])}"
        for name, words in (
            ("gain", "Final model against baseline"),
            ("gain_of_ensemble", "Ensemble against final model"),
            ("gain_of_views", "With test-time augmentation against without"),
            ("gain_of_pruning", "Pruned against unpruned"),
            ("gain_of_teaching", "With teacher against without"),
        )
        if name in tuner.result
    ]
    return "\n".join(lines) or "The test part was used once, for these metrics."


def _in_words(gain: dict[str, float], measure: str) -> str:
    verdict = "significant" if gain["low"] > 0 or gain["high"] < 0 else "not significant"
    interval = wording.interval(gain["low"], gain["high"], measure)
    return f"{wording.gained(gain['mean'], measure)}, paired 95 % CI {interval}, {verdict}."
