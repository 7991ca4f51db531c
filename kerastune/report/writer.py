"""Writes the report of a search as HTML and Markdown, with its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kerastune.playbook.context import Facts
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.problem import Problem
from kerastune.report import fold_sections, gain_steps, html, markdown, search_sections
from kerastune.report.blocks import Section
from kerastune.report.figures import decision_figures, fold_figures, result_figures
from kerastune.report.fold_sections import FoldsFound
from kerastune.report.predictions import Predictions
from kerastune.report.search_sections import Findings
from kerastune.runtime import environment
from kerastune.study import run_directory
from kerastune.study.database import Record
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome

ABOUT = "about"  # name of the fact in the study


def about(problem: Problem, facts: Facts) -> dict[str, Any]:
    """What a report tells of data, model and surroundings, as plain values to record."""
    objective = facts.objective
    return {
        "data": problem.name,
        "kind": problem.kind,
        "class_names": [str(name) for name in problem.class_names],
        "parts": {
            "training": facts.num_train,
            "validation": facts.num_validation,
            "test": 0 if problem.test is None else len(problem.test),
        },
        "parameters": facts.num_parameters,
        "objective": f"val_{objective.name}, {objective.direction}",
        "notes": [str(note) for note in problem.notes],
        "environment": environment.described(),
    }


def write(
    run_dir: RunDir,
    record: Record,
    stage_pictures: dict[str, bytes] | None = None,
    draws: bool = True,
) -> dict[str, bytes]:
    """Writes the report of what is on disk, anew.

    Args:
        run_dir: the output directory.
        record: its study.
        stage_pictures: of the decisions by stage, where they are drawn already.
        draws: whether what is missing is drawn.

    Returns:
        The pictures of the result, by name.
    """
    decisions = [registry.decision(plain) for plain in record.decisions()]
    outcomes = record.outcomes()
    result = record.fact("result") or {}
    kept = (
        Predictions.from_bytes(run_dir.predictions.read_bytes())
        if run_dir.predictions.is_file()
        else None
    )
    if stage_pictures is None:
        stage_pictures = pictures_of_decisions(decisions, outcomes)
    rungs = gain_steps.rungs(decisions, result)
    of_result = (
        result_figures.drawn(result, search_sections.costs(outcomes.values()), kept, rungs)
        if draws
        else {}
    )
    flagfile = run_dir.flags.read_text(encoding="utf-8") if run_dir.flags.is_file() else ""
    findings = Findings(
        decisions=decisions,
        outcomes=outcomes,
        result=result,
        about=record.fact(ABOUT) or {},
        recipe=decisions[-1].after if decisions else None,
        flagfile=flagfile,
        where=str(run_dir.path),
        predictions=kept,
        pictures={f"stage-{stage}": png for stage, png in stage_pictures.items()} | of_result,
    )
    _put_down(
        run_dir,
        search_sections.title(findings),
        search_sections.sections(findings),
        findings.pictures,
    )
    return of_result


def write_folds(run_dir: RunDir, record: Record) -> dict[str, bytes]:
    """Writes the report of a finished cross-validation; gives its pictures by name.

    From what is on disk, anew.

    Raises:
        ValueError: when it is not finished.
    """
    if not run_dir.crossval.is_file():
        raise ValueError(
            f"not all folds in {run_dir.path} are trained: run the same `kerastune crossval` "
            "again to continue."
        )
    result, outcomes = json.loads(run_dir.crossval.read_text(encoding="utf-8")), record.outcomes()
    kept = (
        Predictions.from_bytes(run_dir.predictions.read_bytes())
        if run_dir.predictions.is_file()
        else None
    )
    pictures = {"folds": fold_figures.per_fold(result), "curves": fold_figures.curves(outcomes)}
    found = FoldsFound(
        result,
        outcomes,
        record.fact(ABOUT) or {},
        run_dir.crossval_flags.read_text(encoding="utf-8"),
        str(run_dir.path),
        kept,
        pictures | (result_figures.of_errors(kept) if kept is not None else {}),
    )
    _put_down(run_dir, fold_sections.title(found), fold_sections.sections(found), found.pictures)
    return dict(found.pictures)


def pictures_of_decisions(
    decisions: list[Decision], outcomes: dict[str, Outcome]
) -> dict[str, bytes]:
    """The figures of the stages that have one, by stage."""
    drawn = {
        decision.stage: decision_figures.of_decision(decision, outcomes) for decision in decisions
    }
    return {stage: png for stage, png in drawn.items() if png is not None}


def _put_down(
    run_dir: RunDir, title: str, sections: Sequence[Section], pictures: Mapping[str, bytes]
) -> None:
    run_dir.report_pictures.mkdir(exist_ok=True)
    for name, png in pictures.items():
        run_directory.write_bytes(run_dir.report_picture(name), png)
    run_directory.write_text(run_dir.report, html.render(title, sections))
    text = markdown.render(title, sections, run_dir.report_pictures.name)
    run_directory.write_text(run_dir.report_markdown, text)
