"""What the report of a cross-validation says, in sections, from plain values."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from typing import Any

from kerastune.recipe import Recipe
from kerastune.report import data_sections, error_sections, gain_steps, metric_names
from kerastune.report.blocks import Code, Section, Table, Text, number, pictured
from kerastune.report.predictions import Predictions
from kerastune.trial import Outcome


@dataclasses.dataclass(frozen=True)
class FoldsFound:
    """Everything that the report of a cross-validation tells.

    Args:
        result: as `crossval.json` has it.
        outcomes: of the folds' trainings, by name.
        about: what was recorded of data, model and surroundings, as for a search.
        flagfile: text of `crossval.flags`.
        where: the output directory.
        predictions: of what was held out; `None` where they are not there any more.
        pictures: PNG bytes by name: `"folds"`, `"curves"`, and those of `report_errors.section`.
    """

    result: dict[str, Any]
    outcomes: Mapping[str, Outcome]
    about: dict[str, Any]
    flagfile: str
    where: str
    predictions: Predictions | None = None
    pictures: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def title(found: FoldsFound) -> str:
    """The heading of the whole."""
    return f"{found.about.get('data') or 'A recipe'}, cross-validated by kerastune"


def sections(found: FoldsFound) -> list[Section]:
    """All sections, in their order."""
    made = [_result(found), _every_fold(found)]
    if found.predictions is not None:
        times = found.result["repeats"]
        mean = f" (mean over {times} repeats)" if times > 1 else ""
        words = (
            "Out-of-fold predictions: every example is predicted by a model that was not trained "
            f"on it{mean}."
        )
        made.append(error_sections.section(found.predictions, found.pictures, words))
    made.append(_recipe(found))
    return made + ([data_sections.section(found.about)] if found.about else [])


def verdict(result: dict[str, Any]) -> str:
    """How well the recipe does, in plain words.

    Example:
        >>> row = {"mean": 0.9, "std": 0.02, "low": 0.85, "high": 0.95}
        >>> verdict({"folds": 5, "repeats": 1, "summary": {"accuracy": row}})
        'Mean accuracy 0.9000 over 5 folds, 95 % interval 0.8500 to 0.9500.'
    """
    name = gain_steps.in_order(result["summary"])[0]
    row = result["summary"][name]
    repeats = f" ({result['repeats']} repeats)" if result["repeats"] > 1 else ""
    interval = f"95 % interval {row['low']:.4f} to {row['high']:.4f}"
    mean = f"Mean {metric_names.called(name)} {row['mean']:.4f}"
    return f"{mean} over {result['folds']} folds{repeats}, {interval}."


def _result(found: FoldsFound) -> Section:
    result = found.result
    summary = {name: result["summary"][name] for name in gain_steps.in_order(result["summary"])}
    blocks = [Text(verdict(result), is_lead=True), *(Text(words) for words in _further(result))]
    told = "; ".join(
        f"{metric_names.called(name)} {row['mean']:.4f}, std {row['std']:.4f}"
        for name, row in summary.items()
    )
    blocks += pictured(
        found.pictures, "folds", f"Metrics by fold, with mean and 95 % interval: {told}"
    )
    rows = tuple(
        (
            metric_names.called(name),
            f"{row['mean']:.4f}",
            f"{row['std']:.4f}",
            f"{row['low']:.4f} to {row['high']:.4f}",
        )
        for name, row in summary.items()
    )
    blocks.append(
        Table("Over the folds", ("metric", "mean", "std", "95 % interval of the mean"), rows)
    )
    blocks.append(
        Text(
            "std: standard deviation over folds. Interval: Nadeau and Bengio's corrected t, since "
            "folds have training examples in common. If the recipe was tuned on some of these "
            "examples, the metrics are slightly optimistic."
        )
    )
    return Section("Result", tuple(blocks))


def _further(result: dict[str, Any]) -> list[str]:
    name = gain_steps.in_order(result["summary"])[0]
    by_fold = {fold["name"]: fold["metrics"][name] for fold in result["by fold"]}
    least, most = (pick(by_fold, key=by_fold.get) for pick in (min, max))
    found = [f"Lowest {by_fold[least]:.4f} ({least}), highest {by_fold[most]:.4f} ({most})."]
    for measure, row in result["out of fold"].items():
        of_groups = " over groups" if result["grouped"] else ""
        together = (
            f"All {result['examples']} held-out examples together: {metric_names.called(measure)} "
            f"{row['mean']:.4f}"
        )
        found.append(
            f"{together} (95 % interval {row['low']:.4f} to {row['high']:.4f}{of_groups})."
        )
    if (test := result.get("ensemble on the test part")) is not None:
        shown = ", ".join(
            f"{metric_names.called(measure)} {test[measure]:.4f}"
            for measure in gain_steps.in_order(test)
        )
        found.append(f"Ensemble of the folds' models on the test part (in no fold): {shown}.")
    return found


def _every_fold(found: FoldsFound) -> Section:
    result = found.result
    cut = (
        "Stratified folds: class frequencies are the same in every fold"
        if result["stratified"]
        else "Random folds"
    )
    if result["by time"]:
        cut = "Folds by time: each holds out what follows the examples that it is trained on"
    kept = "; groups stay whole" if result["grouped"] else ""
    steps = sum(fold["steps"] for fold in result["by fold"])
    seconds = sum(fold["seconds"] for fold in result["by fold"])
    words = (
        f"{cut}{kept}. Preprocessing is fitted to each fold's training examples only. Held-out "
        f"examples select nothing: each training runs to its last step. {number(steps)} steps "
        f"took {seconds:.1f} s."
    )
    alt = f"Training loss and held-out metrics of {len(found.outcomes)} trainings, one per fold"
    names = gain_steps.in_order(result["summary"])
    rows = tuple(
        (
            fold["name"],
            number(fold["trained on"]),
            number(fold["held out"]),
            number(fold["steps"]),
            f"{fold['seconds']:.1f}",
            *(f"{fold['metrics'][name]:.4f}" for name in names),
        )
        for fold in result["by fold"]
    )
    header = (
        "fold",
        "trained on",
        "held out",
        "steps",
        "seconds",
        *map(metric_names.called, names),
    )
    table = Table("Results by fold", header, rows, is_folded=len(rows) > 12)
    return Section("Folds", (Text(words), *pictured(found.pictures, "curves", alt), table))


def _recipe(found: FoldsFound) -> Section:
    settings = Recipe.from_dict(found.result["recipe"]).to_dict()
    rows = tuple(
        (name, number(value)) for name, value in settings.items() if name != "hyperparameters"
    )
    rows += tuple(
        (f"hyperparameters / {name}", number(value))
        for name, value in settings["hyperparameters"].items()
    )
    path = shlex.quote(os.path.join(found.where, "crossval.flags"))
    own = "" if "\n--data=" in found.flagfile else " --data=... --model=..."
    again = Code(f"kerastune crossval --flagfile={path}{own} --output_dir=again-out")
    blocks = (
        Table("The recipe", ("setting", "value"), rows),
        Text("To cross-validate it again:"),
        again,
    )
    return Section("Recipe", (*blocks, Text("with this flagfile:"), Code(found.flagfile)))
