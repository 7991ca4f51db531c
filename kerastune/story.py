"""What TensorBoard shows of a search: every trial's curves, and every decision with its picture (P3)."""

from __future__ import annotations

import shutil
from typing import Any

from kerastune import boards, figures
from kerastune.recipe import Recipe
from kerastune.report_markdown import escaped
from kerastune.rundirs import RunDir
from kerastune.stages.base import Decision
from kerastune.trial import Outcome

# What the HParams dashboard shows of a recipe, besides the model's own hyperparameters.
COMPARED = ("stage", "optimizer", "learning_rate", "momentum", "batch_size", "decay", "total_steps")


class Story:
    """Writes the TensorBoard runs of one output directory.

    What is there is written anew from the study when a search goes on, so the runs always tell what the study holds.

    Args:
        run_dir: the output directory.
    """

    def __init__(self, run_dir: RunDir):
        self._run_dir = run_dir
        self.pictures: dict[str, bytes] = {}  # of the decisions, by stage

    def rewrite(self, outcomes: dict[str, Outcome], decisions: list[Decision], recipe: Recipe, metric: str) -> None:
        """Writes all runs from the start; `metric` is the validation value that the HParams dashboard compares."""
        shutil.rmtree(self._run_dir.tensorboard, ignore_errors=True)
        board = boards.Board(self._run_dir.tensorboard)
        metrics = dict.fromkeys([f"validation/{metric}", "validation/loss"])
        board.experiment([*COMPARED, *_named(recipe.hyperparameters)], metrics)
        board.close()
        for outcome in outcomes.values():
            self.segment(outcome, start=0)
        for decision in decisions:
            self.decision(decision, outcomes)

    def segment(self, outcome: Outcome, start: int) -> None:
        """Adds what a trial has from step `start` on: its whole outcome with 0. A single step is no curve."""
        if outcome.steps <= 1:
            return
        board = boards.Board(self._run_dir.trial_board(outcome.spec.trial))
        if start == 0:
            spec = outcome.spec
            values = {**spec.recipe.to_dict(), "stage": spec.stage}
            compared = {name: values[name] for name in COMPARED}
            board.hyperparameters(spec.trial, {**compared, **_named(spec.recipe.hyperparameters)})
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
            f"| {name} | {escaped(_shown(old))} | {escaped(_shown(new))} |"
            for (name, old), new in zip(decision.before.to_dict().items(), decision.after.to_dict().values())
            if old != new
        ]
        table = "\n".join(["", "| changed | from | to |", "|---|---|---|", *changes]) if changes else ""
        board.text(f"reason/{decision.stage}", f"{escaped(decision.reason)}\n{table}")
        if (picture := figures.of_decision(decision, outcomes)) is not None:
            board.image(f"figure/{decision.stage}", picture)
            self.pictures[decision.stage] = picture
        board.close()

    def result(self, pictures: dict[str, bytes]) -> None:
        """Adds the pictures of what the search came to, by name; those of an earlier time go."""
        shutil.rmtree(self._run_dir.result_board, ignore_errors=True)
        board = boards.Board(self._run_dir.result_board)
        for name, picture in pictures.items():
            board.image(f"result/{name}", picture)
        board.close()


def _named(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The model's own hyperparameters under names that can't be those of a recipe."""
    return {f"hp/{name}": value for name, value in hyperparameters.items()}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
