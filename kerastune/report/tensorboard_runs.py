"""What TensorBoard shows of a search: curves of trials, decisions with figures (P3)."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.playbook.decision import Decision
from kerastune.recipe import Recipe
from kerastune.report.figures import decision_figures
from kerastune.report.markdown import escaped
from kerastune.report.picture_time import PictureTime
from kerastune.runtime import tensorboard_writer
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome

# What the HParams dashboard shows of a recipe, besides the model's own hyperparameters.
COMPARED = ("stage", "optimizer", "learning_rate", "momentum", "batch_size", "decay", "total_steps")
# First steps of a trial that are all shown; of twice as many every second one, and so on.
WHOLE = 5000
# Trials that are shown, besides those that keep their weights: TensorBoard is slow with more.
MOST_TRIALS = 1000

logger = logging.getLogger("kerastune")


class Story:
    """Writes the TensorBoard runs of one output directory.

    What is there is written anew from the study when a search goes on, so the runs always tell what
    the study holds. What can't be written is told once, and the search goes on without it: nothing
    is decided by these files. Their size is bounded: of a long trial ever fewer steps are shown,
    and of very many trials the first ones.

    Args:
        run_dir: the output directory.
        time: that pictures of decisions may take; without it all are drawn.
    """

    def __init__(self, run_dir: RunDir, time: PictureTime | None = None):
        self._run_dir, self._time = run_dir, time or PictureTime(None, lambda: 0.0)
        self.pictures: dict[str, bytes] = {}  # of the decisions, by stage
        self._shown: set[str] = set()
        self._is_told = False

    def _write(self, log_dir: Path, fill: Callable[[tensorboard_writer.Board], None]) -> None:
        try:
            board = tensorboard_writer.Board(log_dir)
            try:
                fill(board)
            finally:
                board.close()
        # TensorBoard writes through TensorFlow where that is loaded, whose errors are of its own
        # kinds.
        except Exception as error:
            if not self._is_told:
                first_line = (str(error).splitlines() or [type(error).__name__])[0]
                logger.warning(
                    "TensorBoard files can't be written (%s): the search continues without them.",
                    first_line,
                )
            self._is_told = True

    def rewrite(
        self, outcomes: dict[str, Outcome], decisions: list[Decision], recipe: Recipe, metric: str
    ) -> None:
        """Writes all runs from the start.

        `metric` is the validation value that the HParams dashboard compares.
        """
        shutil.rmtree(self._run_dir.tensorboard, ignore_errors=True)
        metrics = dict.fromkeys([f"validation/{metric}", "validation/loss"])
        columns = [*COMPARED, *_named(recipe.hyperparameters)]
        self._write(self._run_dir.tensorboard, lambda board: board.experiment(columns, metrics))
        for outcome in outcomes.values():
            self.segment(outcome, start=0)
        for decision in decisions:
            self.decision(decision, outcomes)

    def segment(self, outcome: Outcome, start: int) -> None:
        """Adds what a trial has from step `start` on; its whole outcome with 0.

        A single step is no curve.
        """
        spec = outcome.spec
        if outcome.steps <= 1 or not (
            spec.trial in self._shown or spec.keep_best or len(self._shown) < MOST_TRIALS
        ):
            return
        self._shown.add(spec.trial)
        # Read from the study here: what goes wrong with that is no matter of TensorBoard's.
        outcome = dataclasses.replace(outcome, curves=outcome.curves.load())
        self._write(
            self._run_dir.trial_board(spec.trial), lambda board: _add_segment(board, outcome, start)
        )

    def decision(self, decision: Decision, outcomes: dict[str, Outcome]) -> None:
        """Adds a decision: its headline, numbers and recipe as text, its figure as an image."""
        changes = [
            f"| {name} | {escaped(_shown(old))} | {escaped(_shown(new))} |"
            for (name, old), new in zip(
                decision.before.to_dict().items(), decision.after.to_dict().values(), strict=True
            )
            if old != new
        ]
        table = (
            "\n".join(["", "| changed | from | to |", "|---|---|---|", *changes]) if changes else ""
        )
        picture = self._drawn(decision, outcomes)

        def fill(board: tensorboard_writer.Board) -> None:
            words = f"**{escaped(decision.headline)}**\n\n{escaped(decision.numbers)}\n{table}"
            board.text(f"decision/{decision.stage}", words)
            if picture is not None:
                board.image(f"figure/{decision.stage}", picture)

        self._write(self._run_dir.decision_board(decision.stage), fill)

    def _drawn(self, decision: Decision, outcomes: dict[str, Outcome]) -> bytes | None:
        """The picture of a decision, if it has one and there is time for it."""
        if not self._time.is_enough():
            return None
        with self._time.drawing():
            picture = decision_figures.of_decision(decision, outcomes)
        if picture is not None:
            self.pictures[decision.stage] = picture
        return picture

    def result(self, pictures: dict[str, bytes]) -> None:
        """Adds the pictures of what the search came to, by name; those of an earlier time go."""
        shutil.rmtree(self._run_dir.result_board, ignore_errors=True)

        def fill(board: tensorboard_writer.Board) -> None:
            for name, picture in pictures.items():
                board.image(f"result/{name}", picture)

        self._write(self._run_dir.result_board, fill)


def are_shown(steps: np.ndarray) -> np.ndarray:
    """Which steps TensorBoard is given: all below `WHOLE`, then ever fewer.

    Then every second, fourth and so on.

    A trial of `n` steps has at most `WHOLE * (1 + log2(n / WHOLE) / 2)` and one of any other length
    the same first ones.

    Args:
        steps: whole numbers `>= 0` `[n]`.

    Returns:
        `[n]` of truth values.

    Example:
        >>> are_shown(np.array([4999, 5000, 5001, 10000, 10002, 10004]))
        array([ True,  True, False,  True, False,  True])
    """
    return steps % 2 ** np.ceil(np.log2(steps // WHOLE + 1)).astype(int) == 0


def _add_segment(board: tensorboard_writer.Board, outcome: Outcome, start: int) -> None:
    spec = outcome.spec
    if start == 0:
        values = {**spec.recipe.to_dict(), "stage": spec.stage}
        compared = {name: values[name] for name in COMPARED}
        board.hyperparameters(spec.trial, {**compared, **_named(spec.recipe.hyperparameters)})
    curves, numbers = outcome.curves, np.arange(start, outcome.steps)
    for step in numbers[are_shown(numbers)]:
        board.scalars(step, {f"step/{name}": values[step] for name, values in curves.items()})
    for values in outcome.evals:
        if values["step"] > start:
            scalars = {
                f"validation/{name}": value for name, value in values.items() if name != "step"
            }
            board.scalars(values["step"], scalars)
    norms = zip(outcome.norm_steps, outcome.update_norms, outcome.weight_norms, strict=True)
    for (step, update, weight), is_shown in zip(norms, are_shown(outcome.norm_steps), strict=True):
        if step >= start and is_shown:
            board.scalars(step, tensorboard_writer.ratios(outcome.layers, update, weight))


def _named(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The model's own hyperparameters under names that can't be those of a recipe."""
    return {f"hp/{name}": value for name, value in hyperparameters.items()}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
