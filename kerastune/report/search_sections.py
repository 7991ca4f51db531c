"""What a report says, in sections, from plain values: each section is there when its data are."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from typing import Any

from kerastune.analysis import error_analysis
from kerastune.analysis.comparison import Comparison
from kerastune.objective import Objective
from kerastune.playbook import extending, wording
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report import (
    data_sections,
    error_sections,
    gain_steps,
    metric_names,
    metric_sections,
    trial_tables,
)
from kerastune.report.blocks import Code, Drawing, Section, Table, Text, pictured
from kerastune.report.predictions import Predictions
from kerastune.report.status import Standing
from kerastune.report.summaries import extended, verdict, why
from kerastune.runtime.number_format import figure, number
from kerastune.trial import Outcome

RARE = "rare_class"  # in `result.json`: figures of the rarer of two classes


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
        pictures: PNG bytes by name: `"stage-lr"` …, `"result"`, `"steps"`, `"spending"`,
            `"confusion"`, `"reliability"`, `"mistakes"`, `"residuals"`, `"learning"`.
        objective: the validation value that chooses.
        use: lines of Python that predict with the model.
        standing: how a search stands that is not finished.
        built_on: numbers of the extensions that led to the result, as `extensions.built_on`.
    """

    decisions: list[Decision]
    outcomes: dict[str, Outcome]
    result: dict[str, Any]
    about: dict[str, Any]
    recipe: Recipe | None
    flagfile: str = ""
    where: str = ""
    predictions: Predictions | None = None
    pictures: dict[str, Drawing] = dataclasses.field(default_factory=dict)
    objective: Objective = Objective("loss", "min")
    use: str = ""
    standing: Standing = Standing()
    built_on: frozenset[int] = frozenset({0})

    @property
    def measure(self) -> str:
        """What models are compared by, as `Facts.scored_by`."""
        return self.result.get("scored_by") or self.about.get("scored_by", "accuracy")


def title(findings: Findings) -> str:
    """The heading of the whole."""
    done = "trained" if findings.result.get("not_tuned") else "tuned"
    return f"{findings.about.get('data') or 'A search'}, {done} by kerastune"


def sections(findings: Findings) -> list[Section]:
    """All sections that there are data for, in their order."""
    made = (_result, _rare_class, _steps, _decisions, _mistakes, _spending, _recipe, _data)
    return [section for make in made if (section := make(findings)) is not None]


def models(result: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of every model in a result, by model and part, the baseline first."""
    found = {
        name: value
        for name, value in result.items()
        if name != RARE and isinstance(value, dict) and value.keys() & {"validation", "test"}
    }
    first = [name for name in ("baseline", *gain_steps.MODELS) if name in found]
    return {name: found[name] for name in (*first, *(name for name in found if name not in first))}


def costs(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, float]]:
    """Steps and seconds of every stage, in the order in which they began."""
    found: dict[str, tuple[int, float]] = {}
    for outcome in outcomes:
        steps, seconds = found.get(outcome.spec.stage, (0, 0.0))
        found[outcome.spec.stage] = (steps + outcome.steps, seconds + outcome.seconds)
    return found


def _result(findings: Findings) -> Section:
    sentences = [verdict.figures(findings.result, findings.predictions)]
    sentences += [*gain_steps.further_gains(findings.result), gain_steps.exported(findings.result)]
    sentences += [metric_sections.sentence(findings.result), extended.sentence(findings.result)]
    blocks = [
        Text(verdict.of(findings.result).words, is_lead=True),
        *(Text(words) for words in sentences if words),
    ]
    figures = models(findings.result)
    parts = {part: None for values in figures.values() for part in values}
    blocks += pictured(findings.pictures, "result", _result_alt(findings))
    if words := undrawn(findings):
        blocks.append(Text(words))
    names = gain_steps.in_order(
        name for values in figures.values() for each in values.values() for name in each
    )
    of_outputs = metric_names.by_output(names)
    names = [name for name in names if not any(name in each for each in of_outputs.values())]
    rows = [
        (model, part, *(metric_sections.shown(values[part], name) for name in names))
        for part in parts
        for model, values in figures.items()
        if part in values
    ]
    if rows:
        header = ("model", "part", *(metric_names.called(name) for name in names))
        blocks.append(Table("Metrics of all models", header, tuple(rows)))
        blocks += metric_sections.by_output(
            figures, of_outputs, "test" if "test" in parts else "validation"
        )
        how = (
            "The test part was used at the end alone, for these metrics"
            if "test" in parts
            else "There is no test part"
        )
        blocks.append(Text(f"{how}. Validation metrics are optimistic: they chose the settings."))
    if "refit" in figures:
        blocks.append(Text(f"refit: {gain_steps.MODELS['refit']}."))
    return Section("Result", tuple(blocks))


def _rare_class(findings: Findings) -> Section | None:
    return metric_sections.rare_class(findings.result)


def undrawn(findings: Findings) -> str:
    """How to have the result drawn, where there was no time for that; else nothing."""
    of_result = [name for name in findings.pictures if not name.startswith("stage-")]
    if of_result not in ([], ["learning"]):
        return ""
    drawing = f"kerastune report --output_dir={shlex.quote(findings.where)}"
    which = " of the result" if findings.pictures else ""
    which = "Some figures are missing" if of_result else f"No figures{which}"
    return f"{which}: the budget was too short. To draw them: {drawing}"


def _result_alt(findings: Findings) -> str:
    kept = findings.predictions
    if kept is None:
        return ""
    found = {
        name: error_analysis.with_interval(
            parts[kept.part], kept.true[kept.part], measure(kept, findings.result)
        )
        for name, parts in kept.outputs.items()
    }
    told = "; ".join(
        f"{name} {figure(v)}, interval {figure(low)} to {figure(high)}"
        for name, (v, low, high) in found.items()
    )
    return f"{measure(kept, findings.result)} on the {kept.part} part with 95 % intervals: {told}"


def measure(kept: Predictions, result: dict[str, Any]) -> str:
    """What single models are compared by in the first picture."""
    if not kept.is_classification:
        return "mean absolute error"
    measured = result.get("scored_by")
    return measured if measured in wording.SHARES else "accuracy"


def _steps(findings: Findings) -> Section | None:
    in_force = extending.in_force(findings.decisions, findings.built_on)
    found = gain_steps.rungs(in_force, findings.result)
    if len(found) < 2:
        return None
    measure, named = findings.result["scored_by"], gain_steps.shown(found)
    compared = [("gain", measure)] * (measure != "loss") + [("loss_gain", "loss")]
    header = ("step", "kept", *(f"change of {words} (95 % interval)" for _, words in compared))
    rows = []
    for rung in found:
        changes = (_change(getattr(rung, which), words) for which, words in compared)
        figures = (figure(rung.figures[name]) if name in rung.figures else "-" for name, _ in named)
        rows.append((rung.name, "yes" if rung.is_kept else "left out", *changes, *figures))
    words = gain_steps.how_compared(found, in_force)
    table = Table(
        "From the final model to the exported model",
        (*header, *(words for _, words in named)),
        tuple(rows),
    )
    alt = "Gain of each step with its 95 % interval: " + "; ".join(
        ", ".join(row[:3]) for row in rows[1:]
    )
    return Section(
        "Gains by step", (Text(words), *pictured(findings.pictures, "steps", alt), table)
    )


def _change(gain: Comparison | None, measure: str) -> str:
    if gain is None:
        return "-"
    ends = wording.interval(gain.low, gain.high, measure)
    return f"{wording.gained(gain.gain, measure).split(' of ')[0]} ({ends})"


def _mistakes(findings: Findings) -> Section | None:
    kept = findings.predictions
    if kept is None:
        return None
    return error_sections.section(
        kept, findings.pictures, f"Model: {kept.final}. Part: {kept.part}."
    )


def _decisions(findings: Findings) -> Section | None:
    if not findings.decisions:
        return None
    parts = tuple(_decision(findings, decision) for decision in findings.decisions)
    return Section("Decisions", (), parts)


def _decision(findings: Findings, decision: Decision) -> Section:
    stage = registry.find(decision.stage)
    seen = {
        name: findings.outcomes[name] for name in decision.evidence if name in findings.outcomes
    }
    blocks = [Text(f"{decision.headline}.", is_lead=True), Text(decision.numbers)]
    blocks += [Text(words) for words in not_in_force(findings, decision)]
    alt = f"Results of stage {decision.stage}: {', '.join(seen) or 'its numbers'}"
    blocks += pictured(findings.pictures, f"stage-{decision.key}", alt)
    blocks += details(decision, seen)
    heading = f"{decision.name}: {stage.question}" if stage else decision.name
    return Section(heading, tuple(blocks))


def not_in_force(findings: Findings, decision: Decision) -> list[str]:
    """That the models which are handed out are not of a decision, where that is so."""
    has_models = "final" in findings.result and decision.extension not in findings.built_on
    return [why.NOT_IN_FORCE] * has_models


def details(decision: Decision, seen: dict[str, Outcome]) -> list[Any]:
    """Blocks that tell more of a decision: changes, trials, numbers.

    Args:
        decision: of a stage.
        seen: the trials that it looked at.
    """
    changes = [
        (name, number(old), number(new))
        for (name, old), new in zip(
            decision.before.to_dict().items(), decision.after.to_dict().values(), strict=True
        )
        if old != new
    ]
    blocks: list[Any] = []
    if changes:
        blocks.append(Table("Changes to the recipe", ("setting", "from", "to"), tuple(changes)))
    if seen:
        blocks.append(trial_tables.trials(seen))
    if (numbers := trial_tables.numbers(decision.values)) is not None:
        blocks.append(numbers)
    return blocks


def _spending(findings: Findings) -> Section | None:
    spent = costs(findings.outcomes.values())
    if not spent:
        return None
    rows = [(stage, number(steps), f"{seconds:.1f}") for stage, (steps, seconds) in spent.items()]
    trained = sum(seconds for _, seconds in spent.values())
    rows.append(("total", number(sum(steps for steps, _ in spent.values())), f"{trained:.1f}"))
    words = []
    if "seconds" in findings.result:
        seconds, rest = findings.result["seconds"], findings.result["other_seconds"]
        spending = f"{seconds:.0f} s of a budget of {findings.result['budget']} were used, "
        spending += f"{rest:.0f} s of them outside training (choosing, drawing, saving)."
        words = [Text(spending)]
    told = ", ".join(f"{stage} {steps} steps" for stage, (steps, _) in spent.items())
    picture = pictured(findings.pictures, "spending", f"Steps and seconds by stage: {told}")
    table = Table("Cost by stage", ("stage", "steps", "seconds"), tuple(rows))
    return Section("Cost", (*words, *picture, table))


def _recipe(findings: Findings) -> Section | None:
    if findings.recipe is None:
        return None
    rows = tuple(
        (name, number(value)) for name, value in trial_tables.flat(findings.recipe.to_dict())
    )
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
    return data_sections.section(findings.about) if findings.about else None
