"""What the page of a search shows before its sections: the result at a glance, stages, trials."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastune.objective import Objective
from kerastune.playbook import wording
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.report import (
    gain_steps,
    metric_names,
    metric_sections,
    search_sections,
    trial_tables,
)
from kerastune.report.blocks import Picture, Section, Table, pictured
from kerastune.report.search_sections import Findings
from kerastune.report.summaries import (
    alternatives,
    extended,
    stage_rows,
    training_loss,
    verdict,
    why,
)
from kerastune.report.summaries.alternatives import Alternative, Compared
from kerastune.runtime.number_format import number
from kerastune.trial import Outcome, TrialSpec

MOST_COMPARED = 12  # rows of a card's table
LINES_OF_PANEL = 5  # lines of words beside a panel, with which it leaves little room empty
ELSEWHERE = ("Result", "Decisions", "Cost")  # sections that the page shows in another form


@dataclasses.dataclass(frozen=True)
class Share:
    """Seconds that went into something, with the words beside it."""

    name: str
    seconds: float
    words: str


@dataclasses.dataclass(frozen=True)
class Card:
    """One stage.

    Args:
        name: of the stage.
        question: that it answers.
        headline: of its decision.
        numbers: of its decision.
        seconds: that it took, in words.
        gain: what it gained, in words; empty without.
        picture: its figure; `None` without.
        compared: what it compared; `None` without.
        not_chosen: why the others were not, or the whole decision, a sentence each.
        details: further blocks, folded.
        is_explained: whether the table tells why; else the numbers stand below it.
        is_skipped: whether it compared nothing, so that it takes one line.
    """

    name: str
    question: str
    headline: str
    numbers: str
    seconds: str
    gain: str
    picture: Picture | None
    compared: Table | None
    not_chosen: tuple[str, ...]
    details: tuple[Any, ...]
    is_explained: bool
    is_skipped: bool

    @property
    def is_beside(self) -> bool:
        """Whether the picture stands beside the words, which are about as long; else below them,
        its panels side by side.
        """
        if self.picture is None:
            return False
        rows = len(self.compared.rows) if self.compared else 0
        panels = self.picture.drawing.svg.count("<svg")
        return panels == 1 or rows + 2 * len(self.not_chosen) >= LINES_OF_PANEL * panels


@dataclasses.dataclass(frozen=True)
class Page:
    """The page of a search but for its sections.

    Args:
        verdict: one sentence.
        tone: of the verdict.
        figures: of the final model against the baseline, a sentence.
        recipe: as a sentence.
        further: what else was gained, a sentence each.
        use: lines of Python that predict with the model; empty while there is none.
        curves: of the final model and the baseline; `None` without.
        spending: where the seconds went.
        seconds: of all.
        cards: of the stages.
        trials: all of them.
        trials_note: what their training losses include; empty where they are the loss alone.
        progress: how far a running search is, in a sentence; empty of another.
        stopped: what the page says in its place once the search has stopped before its end; empty
            of a finished one.
        going_on: the command that goes on with it; empty where it is not known.
        before: that the result is of the time before an extension that has not ended; else empty.
        written: seconds since the epoch.
        curves_title: heading of the picture.
        recipe_title: heading of the recipe.
        use_title: heading of the lines that use the model.
        no_curves: why there is no picture, where there might be one.
    """

    verdict: str
    tone: str
    figures: str
    recipe: str
    further: tuple[str, ...]
    use: str
    curves: Picture | None
    spending: tuple[Share, ...]
    seconds: str
    cards: tuple[Card, ...]
    trials: Table
    trials_note: str = ""
    progress: str = ""
    stopped: str = ""
    going_on: str = ""
    before: str = ""
    written: int = 0
    curves_title: str = "Learning curves"
    recipe_title: str = "The recipe"
    use_title: str = "How to use it"
    no_curves: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the search goes on, so that the page loads itself again."""
        return bool(self.progress)


def of(findings: Findings) -> Page:
    """The page of what was found so far."""
    found = verdict.of(findings.result)
    result, kept = findings.result, findings.predictions
    further = [*gain_steps.further_gains(result), gain_steps.exported(result)]
    further += [metric_sections.sentence(result), extended.sentence(result)]
    shares = spending(findings)
    outcomes = findings.outcomes
    alt = "Training and validation of the final model and the baseline by step"
    return Page(
        verdict=found.words,
        tone=found.tone,
        figures=verdict.figures(result, kept),
        recipe=verdict.recipe_in_words(findings.recipe) if findings.recipe else "",
        recipe_title=_recipe_title(result),
        further=tuple(filter(None, further)),
        use=findings.use,
        curves=next(iter(pictured(findings.pictures, "learning", alt)), None),
        spending=shares,
        seconds=f"{sum(each.seconds for each in shares):.0f}",
        cards=tuple(card(findings, decision) for decision in findings.decisions),
        trials=trial_tables.table(trial_tables.records(outcomes), "All trials"),
        trials_note=training_loss.of_many(_specs(outcomes)),
        progress=findings.standing.progress,
        stopped=findings.standing.stopped,
        going_on=findings.standing.going_on,
        before=findings.standing.before,
        written=int(time.time()),
        no_curves=search_sections.undrawn(findings) if result else "",
    )


def _recipe_title(result: Mapping[str, Any]) -> str:
    if not result:
        return "Recipe so far"
    return "The recipe, not tuned" if result.get("not_tuned") else "The recipe"


def below(findings: Findings) -> list[Section]:
    """The sections under the stages and trials."""
    sections = search_sections.sections(findings)
    metrics = [
        dataclasses.replace(each, title="Metrics", blocks=each.blocks[1:])
        for each in sections
        if each.title == "Result" and any(isinstance(block, Table) for block in each.blocks)
    ]
    return metrics + [each for each in sections if each.title not in ELSEWHERE]


def spending(findings: Findings) -> tuple[Share, ...]:
    """Where the seconds went, stage by stage, and what no stage has."""
    costs = search_sections.costs(findings.outcomes.values())
    seconds = {stage: spent for stage, (_, spent) in costs.items() if spent > 0}
    if other := findings.result.get("other_seconds"):
        seconds["choosing, figures, saving"] = other
    total = max(sum(seconds.values()), 1e-9)
    return tuple(
        Share(name, round(each, 3), f"{each:.1f} s ({100 * each / total:.0f} %)")
        for name, each in seconds.items()
    )


def card(findings: Findings, decision: Decision) -> Card:
    """The card of one decision."""
    stage = registry.find(decision.stage)
    objective, measure = findings.objective, findings.measure
    found = alternatives.of_decision(decision, findings.outcomes, objective)
    seen = {
        name: findings.outcomes[name] for name in decision.evidence if name in findings.outcomes
    }
    spent = search_sections.costs(
        each for each in findings.outcomes.values() if each.spec.stage == decision.stage
    )
    seconds = sum(each for _, each in spent.values())
    alt = f"Results of stage {decision.stage}: {', '.join(seen) or 'its numbers'}"
    return Card(
        name=decision.name,
        question=stage.question if stage else "",
        headline=decision.headline,
        numbers=decision.numbers,
        seconds=f"{seconds:.1f} s" if seconds else "",
        gain=stage_rows.gained(decision.values, measure),
        picture=next(iter(pictured(findings.pictures, f"stage-{decision.key}", alt)), None),
        compared=compared_table(found, objective, measure, training_loss.noted(_specs(seen))),
        not_chosen=(
            *search_sections.not_in_force(findings, decision),
            *why.not_chosen(found, measure, why.examples_of(findings.outcomes)),
        ),
        details=tuple(search_sections.details(decision, seen)),
        is_explained=not any(
            row.is_chosen and row.gain and row.gain.low <= 0 for row in found.rows
        ),
        is_skipped=not seen and not found.rows,
    )


def _specs(trials: Mapping[str, Outcome]) -> dict[str, TrialSpec]:
    return {name: each.spec for name, each in trials.items()}


def compared_table(
    found: Compared, objective: Objective, measure: str, note: str = ""
) -> Table | None:
    """What a stage compared as a small table; `None` where there is nothing to compare.

    Args:
        found: what it compared.
        objective: the validation value that chooses.
        measure: what models are compared by, as `Facts.scored_by`.
        note: what the training losses include, as `training_loss.noted`.
    """
    if not found.rows or (len(found.rows) < 2 and found.rows[0].gain is None):
        return None
    rows = found.rows[:MOST_COMPARED]
    columns: dict[str, list[str]] = {
        "setting": [f"{each.words}{' ✓' * each.is_chosen}" for each in rows],
        "steps": [number(each.steps) if each.steps else "" for each in rows],
        f"training loss at step {found.common:,}{note}": [_loss(each) for each in rows],
        f"validation {metric_names.called(objective.name)}": [
            "" if each.value is None else number(each.value) for each in rows
        ],
        "difference (95 % CI)": ["" if not each.gain else _gain(each, measure) for each in rows],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    more = len(found.rows) - len(rows)
    caption = f"✓ chosen; difference {found.reference}{f'; {more} more left out' if more else ''}"
    return Table(caption, tuple(filled), tuple(zip(*filled.values(), strict=True)))


def _loss(each: Alternative) -> str:
    return each.note or ("" if each.loss is None else number(each.loss))


def _gain(each: Alternative, measure: str) -> str:
    ends = wording.interval(each.gain.low, each.gain.high, measure)
    return f"{wording.gained(each.gain.gain, measure).split(' of ')[0]} ({ends})"


def use(path: Path, model: Path, about: Mapping[str, Any]) -> str:
    """Lines of Python that predict with a saved model: those of `predict.py`, where it is there.

    Args:
        path: of `predict.py`.
        model: the saved model.
        about: what was recorded of the data.
    """
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if not model.is_file():
        return ""
    lines = ["import keras", "", f"model = keras.saving.load_model({str(model)!r})"]
    lines += ["outputs = model.predict(x)  # x: inputs as you gave them to the search"]
    if about.get("kind") == "classification":
        lines.append("classes = outputs.argmax(axis=1)")
    return "\n".join(lines)
