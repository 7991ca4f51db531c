"""What a report says, in sections, from plain values: each section is there when its data are."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from typing import Any

import numpy as np

from kerastune import calibration, diagnostics, scores
from kerastune.predictions import Predictions
from kerastune.recipe import Recipe
from kerastune.report_blocks import Code, Items, Picture, Section, Table, Text, number
from kerastune.stages.base import Decision
from kerastune.trial import Outcome

QUESTIONS = {
    "start": "What batch size to begin with?",
    "probe": "About which learning rate?",
    "reference": "What would a Keras user have?",
    "lr": "Which learning rate, and how many steps?",
    "batch": "Which batch size, momentum and optimizer?",
    "finetune": "How deep to unfreeze, and how fast should each layer learn?",
    "decay": "Should the rate fall?",
    "weights": "Should rare classes weigh more?",
    "regularise": "Does it learn its examples by heart?",
    "train": "What is handed over?",
    "model": "Which architecture?",
    "ensemble": "Do several models together do better?",
    "tta": "Does it help to look at several views of an example?",
    "distil": "Does a teacher help?",
    "prune": "How many weights can be zero?",
}
MOST_CLASSES = 200  # that a table has rows for


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that a report may tell; what is empty or `None` is left out.

    Args:
        decisions: of the stages, in their order.
        outcomes: of every trial, by name.
        result: the figures of `result.json`; empty while a search goes on.
        about: what `reporting.about` recorded of data, model and surroundings.
        recipe: the last one.
        flagfile: text of `best.flags`.
        where: the output directory.
        predictions: what the models gave on validation and test part.
        pictures: PNG bytes by name: `"stage-lr"` …, `"result"`, `"spending"`, `"confusion"`, `"reliability"`,
            `"mistakes"`, `"residuals"`.
    """

    decisions: list[Decision]
    outcomes: dict[str, Outcome]
    result: dict[str, Any]
    about: dict[str, Any]
    recipe: Recipe | None
    flagfile: str = ""
    where: str = ""
    predictions: Predictions | None = None
    pictures: dict[str, bytes] = dataclasses.field(default_factory=dict)


def title(findings: Findings) -> str:
    """The heading of the whole."""
    return f"{findings.about.get('data') or 'A search'}, tuned by kerastune"


def sections(findings: Findings) -> list[Section]:
    """All sections that there are data for, in their order."""
    made = (_result, _decisions, _mistakes, _spending, _recipe, _data)
    return [section for make in made if (section := make(findings)) is not None]


def verdict(result: dict[str, Any]) -> str:
    """What a search gained, in plain words."""
    part = "test" if "test" in result.get("tuned", {}) else "validation"
    if "tuned" not in result:
        return "No training came to its end, so there is no model to report on." if result else "The search goes on."
    name, value = next(iter(result["tuned"][part].items()))
    reaches = f"The tuned model has a {part} {_called(name)} of {value:.4f}"
    if result.get("trial") == "reference":
        return f"{reaches}: the reference itself is handed over, since nothing else was better."
    if "gain" not in result:
        missing = "test part to compare it on" if "reference" in result else "reference to compare it with"
        return f"{reaches}; there is no {missing}."
    is_more, by = _difference(result["gain"], result["scored by"])
    if is_more:
        return f"{reaches} and is {is_more} than the reference, beyond noise ({by})."
    return f"{reaches}; it can't be told from the reference, the difference being within noise ({by})."


def further_gains(result: dict[str, Any]) -> list[str]:
    """What ensemble, views and pruning gained on the test part: a sentence each."""
    sentences = []
    for what, subject, other in (
        ("ensemble", "The ensemble", "the tuned model"),
        ("views", "The mean over several views of an example", "the example as it is alone"),
        ("pruning", "The pruned model", "the one that was not"),
        ("teaching", "The student with its teacher", "the same student alone"),
    ):
        if (gain := result.get(f"gain of the {what}")) is not None:
            is_more, by = _difference(gain, result["scored by"])
            verdict = f"is {is_more} than {other}, beyond noise" if is_more else f"is as good as {other}, within noise"
            sentences.append(f"{subject} {verdict} ({by}).")
    return sentences


def _difference(gain: dict[str, float], measure: str) -> tuple[str, str]:
    """`"better"`, `"worse"` or nothing, and the numbers."""
    is_beyond_noise = gain["low"] > 0 or gain["high"] < 0
    by = f"{scores.gained(gain['mean'], measure)}, 95 % interval {scores.interval(gain['low'], gain['high'], measure)}"
    return ("better" if gain["mean"] > 0 else "worse") if is_beyond_noise else "", by


def models(result: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of every model in a result, by model and part."""
    return {name: value for name, value in result.items()
            if isinstance(value, dict) and value.keys() & {"validation", "test"}}  # fmt: skip


def costs(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, float]]:
    """Steps and seconds of every stage, in the order in which they began."""
    found: dict[str, tuple[int, float]] = {}
    for outcome in outcomes:
        steps, seconds = found.get(outcome.spec.stage, (0, 0.0))
        found[outcome.spec.stage] = (steps + outcome.steps, seconds + outcome.seconds)
    return found


def _result(findings: Findings) -> Section:
    blocks = [Text(verdict(findings.result), is_lead=True), *map(Text, further_gains(findings.result))]
    figures = models(findings.result)
    parts = {part: None for values in figures.values() for part in values}
    blocks += _picture(findings, "result", _result_alt(findings))
    names = dict.fromkeys(name for values in figures.values() for each in values.values() for name in each)
    rows = [(model, part, *(f"{values[part][name]:.4f}" if name in values[part] else "-" for name in names))
            for part in parts for model, values in figures.items() if part in values]  # fmt: skip
    if rows:
        header = ("model", "part", *(_called(name) for name in names))
        blocks.append(Table("Figures of every model", header, tuple(rows)))
        how = "The test part was looked at once, for these figures" if "test" in parts else "There is no test part"
        blocks.append(Text(f"{how}; validation has chosen the settings, so its figures flatter."))
    return Section("Result", tuple(blocks))


def _result_alt(findings: Findings) -> str:
    kept = findings.predictions
    if kept is None:
        return ""
    found = {name: diagnostics.with_interval(parts[kept.part], kept.true[kept.part], measure(kept, findings.result))
             for name, parts in kept.outputs.items()}  # fmt: skip
    told = "; ".join(f"{name} {v:.4f}, interval {low:.4f} to {high:.4f}" for name, (v, low, high) in found.items())
    return f"{measure(kept, findings.result)} on the {kept.part} part with 95 % intervals: {told}"


def measure(kept: Predictions, result: dict[str, Any]) -> str:
    """What single models are compared by in the first picture."""
    if not kept.is_classification:
        return "mean absolute error"
    return "macro-F1" if result.get("scored by") == "macro-F1" else "accuracy"


def _decisions(findings: Findings) -> Section | None:
    if not findings.decisions:
        return None
    parts = tuple(_decision(findings, decision) for decision in findings.decisions)
    return Section("What was decided, and why", (), parts)


def _decision(findings: Findings, decision: Decision) -> Section:
    question = QUESTIONS.get(decision.stage)
    seen = {name: findings.outcomes[name] for name in decision.evidence if name in findings.outcomes}
    blocks = [Text(decision.reason)]
    alt = f"What stage {decision.stage} looked at: {', '.join(seen) or 'its numbers'}"
    blocks += _picture(findings, f"stage-{decision.stage}", alt)
    changes = [
        (name, number(old), number(new))
        for (name, old), new in zip(decision.before.to_dict().items(), decision.after.to_dict().values(), strict=True)
        if old != new
    ]
    if changes:
        blocks.append(Table("What it changed in the recipe", ("setting", "from", "to"), tuple(changes)))
    if seen:
        blocks.append(_trials(seen))
    if numbers := tuple((name, number(value)) for name, value in _flat(decision.values)):
        blocks.append(Table("The numbers behind it", ("name", "value"), numbers, is_folded=True))
    return Section(f"{decision.stage}: {question}" if question else decision.stage, tuple(blocks))


def _trials(outcomes: dict[str, Outcome]) -> Table:
    header = ("trial", "optimizer", "rate", "batch size", "steps", "seconds", "last loss", "validation at the end")
    rows = []
    for name, outcome in outcomes.items():
        recipe = outcome.spec.recipe
        end = outcome.evals[-1] if outcome.evals else {}
        values = ", ".join(f"{_called(name)} {number(value)}" for name, value in end.items() if name != "step")
        loss = "diverged" if outcome.diverged_at is not None else number(float(outcome.losses[-50:].mean()))
        settings = (recipe.optimizer, number(recipe.learning_rate), number(recipe.batch_size))
        rows.append((name, *settings, number(outcome.steps), f"{outcome.seconds:.1f}", loss, values or "-"))
    return Table("The trials that it looked at", header, tuple(rows), is_folded=True)


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} / ")
        else:
            yield f"{prefix}{name}", value


def _mistakes(findings: Findings) -> Section | None:
    kept = findings.predictions
    if kept is None:
        return None
    blocks = [Text(f"Of the {kept.final} model, on the {kept.part} part.")]
    parts = _of_classes(findings, kept) if kept.is_classification else _of_numbers(findings, kept)
    return Section("Where it errs", tuple(blocks), tuple(parts))


def _of_classes(findings: Findings, kept: Predictions) -> list[Section]:
    true, outputs = kept.true[kept.part], kept.outputs[kept.final][kept.part]
    names = kept.class_names
    counts = scores.confusion(true, outputs.argmax(axis=1), len(names))
    pairs = diagnostics.most_confused(counts)
    told = "; ".join(f"{names[t]} taken for {names[p]} {n} times" for t, p, n in pairs[:3]) or "none"
    blocks = _picture(findings, "confusion", f"Confusion matrix of {len(names)} classes; most often confused: {told}")
    if pairs:
        rows = tuple((names[t], names[p], number(n)) for t, p, n in pairs)
        blocks.append(Table("Most often confused", ("true class", "taken for", "times"), rows, is_folded=True))
    each = diagnostics.by_class(counts)[:MOST_CLASSES]
    rows = tuple((names[i], *(number(float(v)) for v in row[:3]), number(int(row[3]))) for i, row in enumerate(each))
    header = ("class", "precision", "recall", "F1", "examples")
    classes = Section("Classes", (*blocks, Table("Every class", header, rows, is_folded=len(names) > 12)))
    errors = {name: calibration.calibration_error(parts[kept.part], true)
              for name, parts in kept.outputs.items()}  # fmt: skip
    told = "; ".join(f"{name} {error:.4f}" for name, error in errors.items())
    words = f"Expected calibration error, the mean distance of confidence and accuracy: {told}."
    picture = _picture(findings, "reliability", f"Accuracy against confidence, with the calibration error: {told}")
    found = [classes, Section("How far its confidence can be trusted", (Text(words), *picture))]
    return [*found, *_worst(findings, kept)]


def _of_numbers(findings: Findings, kept: Predictions) -> list[Section]:
    errors = kept.outputs[kept.final][kept.part] - kept.true[kept.part]
    low, middle, high = (number(float(value)) for value in np.quantile(errors, [0.25, 0.5, 0.75]))
    words = f"Half of the errors lie between {low} and {high}, in the units of the targets; the middle one is {middle}."
    picture = _picture(findings, "residuals", f"Predicted against true values, and the errors. {words}")
    return [Section("Errors", (Text(words), *picture)), *_worst(findings, kept)]


def _worst(findings: Findings, kept: Predictions) -> list[Section]:
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
        header = ("true class", "predicted", "confidence", "of the true one")
    blocks = _picture(findings, "mistakes", f"The {len(rows)} mistakes with the highest confidence, as small pictures")
    words = f"The {len(rows)} largest errors" if not kept.is_classification else f"The {len(rows)} surest mistakes"
    table = Table(f"{words} on the {found.part} part", ("example", *header, *found.columns), tuple(rows), bool(blocks))
    return [Section("Worst mistakes", (*blocks, table))]


def _spending(findings: Findings) -> Section | None:
    spent = costs(findings.outcomes.values())
    if not spent:
        return None
    rows = [(stage, number(steps), f"{seconds:.1f}") for stage, (steps, seconds) in spent.items()]
    trained = sum(seconds for _, seconds in spent.values())
    rows.append(("together", number(sum(steps for steps, _ in spent.values())), f"{trained:.1f}"))
    words = []
    if "seconds" in findings.result:
        rest = max(findings.result["seconds"] - trained, 0.0)
        words = [Text(f"Of a budget of {findings.result['budget']}, {findings.result['seconds']:.0f} s were spent; "
                      f"{rest:.0f} s of them not on training but on choosing, drawing and saving.")]  # fmt: skip
    told = ", ".join(f"{stage} {steps} steps" for stage, (steps, _) in spent.items())
    picture = _picture(findings, "spending", f"Shares of the stages in steps and in seconds: {told}")
    table = Table("Spent", ("stage", "steps", "seconds"), tuple(rows))
    return Section("What was spent where", (*words, *picture, table))


def _recipe(findings: Findings) -> Section | None:
    if findings.recipe is None:
        return None
    rows = tuple((name, number(value)) for name, value in _flat(findings.recipe.to_dict()))
    blocks = [Table("The recipe", ("setting", "value"), rows)]
    if findings.flagfile:
        path = shlex.quote(os.path.join(findings.where, "best.flags"))
        own = "" if "\n--data=" in findings.flagfile else " --data=... --model=..."
        blocks += [
            Text("To train it again:"),
            Code(f"kerastune train --flagfile={path}{own} --output_dir=again-out"),
            Text("with this flagfile:"),
            Code(findings.flagfile),
        ]
    return Section("Recipe", tuple(blocks))


def _data(findings: Findings) -> Section | None:
    about = findings.about
    if not about:
        return None
    parts = [(f"{part} examples", number(count)) for part, count in about["parts"].items() if count]
    rows = [("data", about["data"]), ("kind", about["kind"]), *parts]
    if about["class_names"]:
        rows.append(("classes", number(len(about["class_names"]))))
    rows += [("parameters of the model", number(about["parameters"])), ("objective", about["objective"])]
    blocks = [Table("What was learnt", ("", "value"), tuple(rows))]
    if about["notes"]:
        blocks += [Text("What was done to the data:"), Items(tuple(about["notes"]))]
    blocks.append(Table("Surroundings", ("", "value"), tuple(about["environment"].items())))
    return Section("Data and surroundings", tuple(blocks))


def _picture(findings: Findings, name: str, alt: str) -> list[Picture]:
    return [Picture(name, alt, findings.pictures[name])] if name in findings.pictures else []


def _called(name: str) -> str:
    """A figure of merit as people call it."""
    return {"macro_f1": "macro-F1", "mae": "MAE", "rmse": "RMSE", "r2": "R2"}.get(name, name.replace("_", " "))
