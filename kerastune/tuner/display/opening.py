"""The first lines of a search: what it has, and where to look."""

from __future__ import annotations

from kerastune.playbook.context import Facts
from kerastune.playbook.driver import Playbook
from kerastune.playbook.rules import untuned
from kerastune.problem import Problem
from kerastune.report.summaries import ending
from kerastune.study.run_directory import RunDir


def lines(
    problem: Problem, playbook: Playbook, facts: Facts, run_dir: RunDir
) -> list[tuple[str, str]]:
    """The lines, each with its style on a terminal.

    Args:
        problem: that is learnt.
        playbook: before its first stage.
        facts: of data and model.
        run_dir: the output directory.
    """
    found = []
    if playbook.is_short:
        words = untuned.sentence(playbook.budget, playbook.stages, {})
        found.append((words, "bold yellow"))
    parts = [("training", facts.num_train), ("validation", facts.num_validation)]
    parts += [("test", 0 if problem.test is None else len(problem.test))]
    counted = ", ".join(f"{count:,} {part}" for part, count in parts if count)
    classes = f"; {facts.num_classes} classes" if facts.num_classes else ""
    data = f"{problem.name}: {counted} examples{classes}."
    where = f"{facts.num_parameters:,} parameters. Budget {playbook.budget}. "
    where += f"Live report: {ending.shown(run_dir.report)}"
    return [*found, (data, ""), (where, "")]
