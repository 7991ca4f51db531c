"""What the report of a cross-validation says, in sections, from plain values."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from typing import Any

from kerastune.recipe import Recipe
from kerastune.report import data_sections, error_sections, gain_steps, metric_names
from kerastune.report.blocks import Code, Picture, Section, Table, Text, pictured
from kerastune.report.page import Page
from kerastune.report.predictions import Predictions
from kerastune.report.summaries import verdict as recipe_words
from kerastune.runtime.number_format import figure, number
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


def first_screen(found: FoldsFound) -> Page:
    """What stands before the sections: verdict, recipe, what to do next, every fold at a glance."""
    result = found.result
    least_and_most, *further = _further(found)
    return Page(
        verdict=verdict(result, _scored_by(found)),
        tone="",
        figures=least_and_most,
        recipe=recipe_words.recipe_in_words(Recipe.from_dict(result["recipe"])),
        further=tuple(further),
        use=_next(found),
        curves=next(iter(_folds_picture(found)), None),
        spending=(),
        seconds="",
        cards=(),
        trials=Table("", (), ()),
        curves_title="By fold",
        use_title="What to do next",
    )


def _next(found: FoldsFound) -> str:
    """What to do with it: commands to copy."""
    own, where = _own(found), shlex.quote(found.where)
    flags = shlex.quote(os.path.join(found.where, "crossval.flags"))
    return "\n".join(
        [
            "# Serve the ensemble of all folds' models:",
            f"kerastune export --output_dir={where}",
            "# Train one model with this recipe:",
            f"kerastune train --flagfile={flags}{own} --output_dir=train-out",
            "# Find a better recipe:",
            f"kerastune tune --flagfile={flags}{own} --budget=10m --output_dir=tune-out",
        ]
    )


def below(found: FoldsFound) -> list[Section]:
    """The sections under the first screen, which has the verdict and its picture already."""
    first, *others = sections(found)
    tables = tuple(each for each in first.blocks if not isinstance(each, Picture))
    rest = tables[1 + len(_further(found)) :]
    return [Section("Metrics", rest), *others]


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


def judged_by(result: dict[str, Any], scored_by: str) -> str:
    """The metric that stands for the recipe: what models are compared by, or else the first.

    Example:
        >>> judged_by({"summary": {"accuracy": {}, "macro_f1": {}}}, "macro-F1")
        'macro_f1'
    """
    names = gain_steps.in_order(result["summary"])
    called = (name for name in names if metric_names.called(name).lower() == scored_by.lower())
    return next(called, names[0])


def verdict(result: dict[str, Any], scored_by: str = "") -> str:
    """How well the recipe does, in plain words.

    Args:
        result: as `crossval.json` has it.
        scored_by: what models are compared by, as `Facts.scored_by`.

    Example:
        >>> row = {"mean": 0.9, "std": 0.02, "low": 0.85, "high": 0.95}
        >>> verdict({"folds": 5, "repeats": 1, "summary": {"accuracy": row}})
        'Mean accuracy 0.9000 over 5 folds, 95 % interval 0.8500 to 0.9500.'
    """
    name = judged_by(result, scored_by)
    row = result["summary"][name]
    repeats = f" ({result['repeats']} repeats)" if result["repeats"] > 1 else ""
    interval = f"95 % interval {figure(row['low'])} to {figure(row['high'])}"
    mean = f"Mean {metric_names.called(name)} {figure(row['mean'])}"
    return f"{mean} over {result['folds']} folds{repeats}, {interval}."


def _result(found: FoldsFound) -> Section:
    result = found.result
    summary = {name: result["summary"][name] for name in gain_steps.in_order(result["summary"])}
    blocks = [
        Text(verdict(result, _scored_by(found)), is_lead=True),
        *(Text(words) for words in _further(found)),
    ]
    blocks += _folds_picture(found)
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


def _folds_picture(found: FoldsFound) -> list[Picture]:
    told = "; ".join(
        f"{metric_names.called(name)} {figure(row['mean'])}, std {figure(row['std'])}"
        for name, row in found.result["summary"].items()
    )
    alt = f"Metrics by fold, with mean and 95 % interval: {told}"
    return pictured(found.pictures, "folds", alt)


def _scored_by(found: FoldsFound) -> str:
    return found.about.get("scored_by", "")


def _further(found: FoldsFound) -> list[str]:
    result = found.result
    name = judged_by(result, _scored_by(found))
    by_fold = {fold["name"]: fold["metrics"][name] for fold in result["by fold"]}
    least, most = (pick(by_fold, key=by_fold.get) for pick in (min, max))
    told = [f"Lowest {figure(by_fold[least])} ({least}), highest {figure(by_fold[most])} ({most})."]
    for measure, row in result["out of fold"].items():
        of_groups = " over groups" if result["grouped"] else ""
        together = (
            f"All {result['examples']} held-out examples together: {metric_names.called(measure)} "
            f"{figure(row['mean'])}"
        )
        told.append(
            f"{together} (95 % interval {figure(row['low'])} to {figure(row['high'])}{of_groups})."
        )
    if (test := result.get("ensemble on the test part")) is not None:
        shown = ", ".join(
            f"{metric_names.called(measure)} {figure(test[measure])}"
            for measure in gain_steps.in_order(test)
        )
        told.append(f"Ensemble of the folds' models on the test part (in no fold): {shown}.")
    return told


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
            *(figure(fold["metrics"][name]) for name in names),
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


def _own(found: FoldsFound) -> str:
    """What a command needs besides the flagfile: data and model that were given in Python."""
    return "" if "\n--data=" in found.flagfile else " --data=... --model=..."


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
    again = Code(f"kerastune crossval --flagfile={path}{_own(found)} --output_dir=again-out")
    blocks = (
        Table("The recipe", ("setting", "value"), rows),
        Text("To cross-validate it again:"),
        again,
    )
    return Section("Recipe", (*blocks, Text("with this flagfile:"), Code(found.flagfile)))
