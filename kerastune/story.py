"""What TensorBoard shows of a search: every trial's curves, and every decision with its picture (P3)."""

from __future__ import annotations

import shutil

from kerastune import boards, figures
from kerastune.rundirs import RunDir
from kerastune.stages.base import Decision
from kerastune.trial import Outcome


class Story:
    """Writes the TensorBoard runs of one output directory.

    What is there is written anew from the study when a search goes on, so the runs always tell what the study holds.

    Args:
        run_dir: the output directory.
    """

    def __init__(self, run_dir: RunDir):
        self._run_dir = run_dir

    def rewrite(self, outcomes: dict[str, Outcome], decisions: list[Decision]) -> None:
        """Writes all runs from the start."""
        shutil.rmtree(self._run_dir.tensorboard, ignore_errors=True)
        for outcome in outcomes.values():
            self.segment(outcome, start=0)
        for decision in decisions:
            self.decision(decision, outcomes)

    def segment(self, outcome: Outcome, start: int) -> None:
        """Adds what a trial has from step `start` on: its whole outcome with 0."""
        board = boards.Board(self._run_dir.trial_board(outcome.spec.trial))
        if start == 0:
            values = outcome.spec.recipe.to_dict()
            board.hyperparameters({**values.pop("hyperparameters"), **values, "stage": outcome.spec.stage})
        board.curves(start, {f"step/{name}": values[start:] for name, values in outcome.curves.items()})
        for values in outcome.evals:
            if values["step"] > start:
                scalars = {f"validation/{name}": value for name, value in values.items() if name != "step"}
                board.scalars(values["step"], scalars)
        for step, update, weight in zip(outcome.norm_steps, outcome.update_norms, outcome.weight_norms):
            if step >= start:
                board.scalars(step, boards.ratios(outcome.layers, update, weight))
        board.close()

    def decision(self, decision: Decision, outcomes: dict[str, Outcome]) -> None:
        """Adds a decision: its reason and recipe as text, its figure as an image."""
        board = boards.Board(self._run_dir.decision_board(decision.stage))
        changes = [
            f"| {name} | {old} | {new} |"
            for (name, old), new in zip(decision.before.to_dict().items(), decision.after.to_dict().values())
            if old != new
        ]
        table = "\n".join(["", "| changed | from | to |", "|---|---|---|", *changes]) if changes else ""
        board.text(f"decision/{decision.stage}", f"{decision.reason}\n{table}")
        if (picture := figures.of_decision(decision, outcomes)) is not None:
            board.image(f"decision/{decision.stage}", picture)
        board.close()
