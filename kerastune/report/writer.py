"""Writes the report of a search as HTML and Markdown, with its figures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from kerastune.objective import Objective
from kerastune.playbook import extending
from kerastune.playbook.context import Facts
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import baseline, registry
from kerastune.playbook.stages.train import Train
from kerastune.problem import Problem
from kerastune.report import (
    fold_sections,
    gain_steps,
    html,
    markdown,
    page,
    search_sections,
    status,
    trial_tables,
)
from kerastune.report.blocks import Drawing
from kerastune.report.figures import (
    decision_figures,
    fold_figures,
    learning_curves,
    result_figures,
)
from kerastune.report.fold_sections import FoldsFound
from kerastune.report.predictions import Predictions
from kerastune.report.search_sections import Findings
from kerastune.report.status import Standing
from kerastune.runtime import environment
from kerastune.study import extensions, run_directory
from kerastune.study.database import Record
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome

ABOUT = "about"  # name of the fact in the study


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What is drawn already, and what there is time for.

    Args:
        stages: pictures of decisions that are there, by stage; they are not drawn again.
        more_stages: whether those of the other decisions are drawn.
        result: whether the result is drawn.
        learning: whether at least its learning curves are.
        earlier: pictures of the result that stand where it is not drawn, by name.
    """

    stages: Mapping[str, Drawing] = dataclasses.field(default_factory=dict)
    more_stages: bool = True
    result: bool = True
    learning: bool = True
    earlier: Mapping[str, Drawing] = dataclasses.field(default_factory=dict)


def about(problem: Problem, facts: Facts, summary: str = "") -> dict[str, Any]:
    """What a report tells of data, model and surroundings, as plain values to record.

    Args:
        problem: that is learnt.
        facts: of data and model.
        summary: of the model's layers, as Keras prints it.
    """
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
        "scored_by": facts.scored_by,
        "summary": summary,
        "notes": [str(note) for note in problem.notes],
        "columns": [list(row) for row in problem.columns],
        "environment": environment.described(),
    }


def write(
    run_dir: RunDir,
    record: Record,
    drawn: Drawn = Drawn(),
) -> dict[str, Drawing]:
    """Writes the report of what is on disk, anew.

    Args:
        run_dir: the output directory.
        record: its study.
        drawn: what is drawn already, and what there is time for.

    Returns:
        The pictures of the result, by name.
    """
    decisions = [registry.decision(plain) for plain in record.decisions()]
    outcomes = record.outcomes()
    result, is_made = extensions.result(record), extensions.has_result(record)
    built_on = extensions.built_on(record, result.get("extension", 0))
    in_force = extending.in_force(decisions, built_on)
    kept = (
        Predictions.from_bytes(run_dir.predictions.read_bytes())
        if run_dir.predictions.is_file()
        else None
    )
    of_stages = dict(drawn.stages)
    if drawn.more_stages:
        missing = [decision for decision in decisions if decision.key not in of_stages]
        of_stages |= pictures_of_decisions(missing, outcomes)
    rungs = gain_steps.rungs(in_force, result)
    objective = objective_of(record)
    of_result = dict(drawn.earlier)
    if drawn.result:
        costs = search_sections.costs(outcomes.values())
        of_result = result_figures.drawn(result, costs, kept, rungs)
    if drawn.learning:
        of_result |= learning_pictures(decisions, outcomes, objective, result.get("trial"))
    flagfile = run_dir.flags.read_text(encoding="utf-8") if run_dir.flags.is_file() else ""
    known = record.fact(ABOUT) or {}
    findings = Findings(
        decisions=decisions,
        outcomes=outcomes,
        result=result,
        about=known,
        recipe=in_force[-1].after if decisions else None,
        flagfile=flagfile,
        where=str(run_dir.path),
        predictions=kept,
        pictures={f"stage-{stage}": each for stage, each in of_stages.items()} | of_result,
        objective=objective,
        use=page.use(run_dir.path / "predict.py", run_dir.model, known),
        standing=Standing() if is_made else status.standing(status.read(run_dir)),
        built_on=built_on,
    )
    sections = search_sections.sections(findings)
    put_down_pictures(run_dir, findings.pictures)
    write_page(run_dir, findings)
    text = markdown.render(search_sections.title(findings), sections, run_dir.report_pictures.name)
    run_directory.write_text(run_dir.report_markdown, text)
    rows = trial_tables.records(outcomes)
    run_directory.write_text(run_dir.trials_csv, trial_tables.as_csv(rows))
    return of_result


def write_page(run_dir: RunDir, findings: Findings) -> None:
    """Writes the page of what was found so far, whole or not at all."""
    text = html.render(search_sections.title(findings), page.below(findings), page.of(findings))
    run_directory.write_text(run_dir.report, text)


def objective_of(record: Record) -> Objective:
    """The validation value by which a search chooses."""
    name, _, direction = (record.setting("objective") or "loss:min").partition(":")
    return Objective(name, direction)


def learning_pictures(
    decisions: Sequence[Decision],
    outcomes: Mapping[str, Outcome],
    objective: Objective,
    final: str | None,
) -> dict[str, Drawing]:
    """The learning curves of `learning_shown`, by `objective`; empty where nothing was evaluated.

    Args:
        decisions: so far.
        outcomes: of all trials by name.
        objective: the validation value that chooses.
        final: name of the final trial; `None` while there is none.
    """
    drawn = learning_curves.drawn(learning_shown(decisions, outcomes, final), objective)
    return {} if drawn is None else {"learning": drawn}


def learning_shown(
    decisions: Sequence[Decision], outcomes: Mapping[str, Outcome], final: str | None
) -> dict[str, Outcome]:
    """Whose learning curves are shown: the final model, or the latest chosen one, and the baseline.

    Args:
        decisions: so far.
        outcomes: of all trials by name.
        final: name of the final trial; `None` while there is none.

    Returns:
        Outcomes by what a figure calls them.
    """
    # What follows the final training changes no curve of it.
    last = [decision for decision in decisions if decision.stage == Train.name]
    chosen = (name for decision in reversed(last or decisions) for name in decision.trials)
    evaluated = (name for name in chosen if name in outcomes and outcomes[name].evals)
    best, words = final or next(evaluated, None), "final" if final or last else "best so far"
    names = {words: best, "baseline": baseline.TRIAL}
    if best == baseline.TRIAL:
        del names["baseline" if final or last else words]
    return {words: outcomes[name] for words, name in names.items() if name in outcomes}


def write_folds(run_dir: RunDir, record: Record) -> dict[str, Drawing]:
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
    title, sections = fold_sections.title(found), fold_sections.sections(found)
    put_down_pictures(run_dir, found.pictures)
    first_screen = fold_sections.first_screen(found)
    text = html.render(title, fold_sections.below(found), first_screen)
    run_directory.write_text(run_dir.report, text)
    words = markdown.render(title, sections, run_dir.report_pictures.name)
    run_directory.write_text(run_dir.report_markdown, words)
    return dict(found.pictures)


def pictures_of_decisions(
    decisions: list[Decision], outcomes: dict[str, Outcome]
) -> dict[str, Drawing]:
    """The figures of the stages that have one, by stage."""
    drawn = {
        decision.key: decision_figures.of_decision(decision, outcomes) for decision in decisions
    }
    return {stage: png for stage, png in drawn.items() if png is not None}


def put_down_pictures(run_dir: RunDir, pictures: Mapping[str, Drawing]) -> None:
    """Writes pictures as PNG files beside the report."""
    run_dir.report_pictures.mkdir(exist_ok=True)
    for name, png in pictures.items():
        run_directory.write_bytes(run_dir.report_picture(name), png)
