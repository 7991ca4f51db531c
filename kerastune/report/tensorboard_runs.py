"""What TensorBoard shows of a search: curves of trials, decisions with figures (P3)."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.playbook.decision import Decision
from kerastune.playbook.stages import registry
from kerastune.recipe import Recipe
from kerastune.report.blocks import Drawing
from kerastune.report.figures import decision_figures
from kerastune.report.figures.picture_time import PictureTime
from kerastune.report.markdown import escaped
from kerastune.report.summaries import alternatives, training_loss
from kerastune.runtime import tensorboard_writer
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, TrialSpec

# Columns of the HParams dashboard that come first; in the end constants are left out.
FIRST = ("learning_rate", "optimizer", "batch_size", "momentum", "decay", "total_steps")
# First steps of a trial that are all shown; of twice as many every second one, and so on.
WHOLE = 5000
# Trials of a stage that are shown while it is at work, and once it has decided: TensorBoard is
# slow, and hard to read, with more.
MOST_AT_WORK, MOST_DECIDED = 12, 6

logger = logging.getLogger("kerastune")


class Story:
    """Writes the TensorBoard runs of one output directory.

    One run, `decisions`, has texts and figures in the order of the stages; every trial is a run
    under its stage. TensorBoard sorts tags by name: curves come first, figures (`why/04-lr`) last.

    What is there is written anew from the study when a search goes on, so the runs always tell what
    the study holds. What can't be written is told once, and the search goes on without it: nothing
    is decided by these files. Their size is bounded: of a long trial ever fewer steps are shown,
    and of a stage that has decided the best trials.

    Args:
        run_dir: the output directory.
        time: that pictures of decisions may take; without it all are drawn.
    """

    def __init__(self, run_dir: RunDir, time: PictureTime | None = None):
        self._run_dir, self._time = run_dir, time or PictureTime(None, lambda: 0.0)
        self.pictures: dict[str, Drawing] = {}  # of the decisions, by stage
        self._shown: dict[str, dict[str, Recipe]] = {}  # recipes of trials, by stage and name
        self._metric, self._is_told = "", False
        self.seconds = 0.0  # that it took so far

    def _write(self, log_dir: Path, fill: Callable[[tensorboard_writer.Board], None]) -> None:
        began = time.monotonic()
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
        self.seconds += time.monotonic() - began

    def rewrite(
        self, outcomes: dict[str, Outcome], decisions: list[Decision], recipe: Recipe, metric: str
    ) -> None:
        """Writes all runs from the start.

        `metric` is the validation value that the HParams dashboard compares.
        """
        shutil.rmtree(self._run_dir.tensorboard, ignore_errors=True)
        self._metric = metric
        names = [*_values(recipe)]
        self._experiment(names)
        left_out = {name for each in decisions for name in surplus(each, outcomes, metric)}
        for name, outcome in outcomes.items():
            if name not in left_out:
                self.segment(outcome, start=0)
        for decision in decisions:
            self.decision(decision, outcomes)

    def segment(self, outcome: Outcome, start: int) -> None:
        """Adds what a trial has from step `start` on; its whole outcome with 0.

        A single step is no curve.
        """
        spec = outcome.spec
        shown = self._shown.setdefault(spec.stage, {})
        is_one_more = spec.trial not in shown and len(shown) >= MOST_AT_WORK
        if outcome.steps <= 1 or (is_one_more and not spec.keep_best):
            return
        shown[spec.trial] = spec.recipe
        # Read from the study here: what goes wrong with that is no matter of TensorBoard's.
        outcome = dataclasses.replace(outcome, curves=outcome.curves.load())
        self._write(self._board(spec), lambda board: _add_segment(board, outcome, start))

    def _board(self, spec: TrialSpec) -> Path:
        return self._run_dir.trial_board(numbered(spec.stage), spec.trial)

    def decision(self, decision: Decision, outcomes: dict[str, Outcome]) -> None:
        """Adds a decision: its headline, numbers and recipe as text, its figure as an image.

        Of the trials of its stage the best stay.
        """
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
        began = time.monotonic()
        picture = self._drawn(decision, outcomes)
        self.seconds += time.monotonic() - began
        tag = numbered(decision.stage).replace(decision.stage, decision.key)

        def fill(board: tensorboard_writer.Board) -> None:
            words = f"**{escaped(decision.headline)}**\n\n{escaped(decision.numbers)}\n{table}"
            board.text(tag, words)
            if picture is not None:
                board.image(f"why/{tag}", picture)

        self._write(self._run_dir.decisions_board, fill)
        for name in surplus(decision, outcomes, self._metric):
            if self._shown.get(decision.stage, {}).pop(name, None) is not None:
                shutil.rmtree(self._board(outcomes[name].spec), ignore_errors=True)

    def _drawn(self, decision: Decision, outcomes: dict[str, Outcome]) -> Drawing | None:
        """The picture of a decision, if it has one and there is time for it."""
        if not self._time.is_enough():
            return None
        with self._time.drawing():
            picture = decision_figures.of_decision(decision, outcomes)
        if picture is not None:
            self.pictures[decision.key] = picture
        return picture

    def result(self, pictures: Mapping[str, Drawing]) -> None:
        """Adds the pictures of what the search came to, by name; those of an earlier time go.

        The HParams dashboard gets the columns in which the trials differ.
        """
        shutil.rmtree(self._run_dir.result_board, ignore_errors=True)

        def fill(board: tensorboard_writer.Board) -> None:
            for name, picture in pictures.items():
                board.image(f"why/result/{name}", picture)

        if pictures:
            self._write(self._run_dir.result_board, fill)
        recipes = [recipe for shown in self._shown.values() for recipe in shown.values()]
        if len(recipes) > 1:
            self._experiment(columns([_values(recipe) for recipe in recipes]))

    def _experiment(self, names: Sequence[str]) -> None:
        """Writes the columns of the HParams dashboard, in place of earlier ones."""
        top = self._run_dir.tensorboard
        for earlier in top.glob("events.*") if top.is_dir() else ():
            earlier.unlink(missing_ok=True)
        metrics = dict.fromkeys([f"validation/{self._metric}", "validation/loss"])
        self._write(top, lambda board: board.experiment([*names, "stage"], metrics))


def numbered(stage: str) -> str:
    """A stage's name, with its number in the playbook before it, so that names stand in its order.

    Example:
        >>> numbered("lr"), numbered("fold")
        ('04-lr', 'fold')
    """
    names = registry.names()
    return f"{names.index(stage) + 1:02}-{stage}" if stage in names else stage


def surplus(decision: Decision, outcomes: Mapping[str, Outcome], metric: str) -> list[str]:
    """Trials of a stage that has decided, which are not worth a run: all but the best few.

    Args:
        decision: of the stage.
        outcomes: of all trials by name.
        metric: the validation value that chooses.
    """
    mine = {name: each for name, each in outcomes.items() if each.spec.stage == decision.stage}
    chosen = (*decision.trials, alternatives.chosen_trial(decision, mine))

    def rank(name: str) -> tuple[bool, bool, float]:
        outcome = mine[name]
        end = outcome.evals[-1] if outcome.evals else {}
        value = -end[metric] if metric in end and metric != "loss" else end.get("loss", np.inf)
        return name not in chosen, outcome.diverged_at is not None, value

    return sorted(mine, key=rank)[MOST_DECIDED:]


def columns(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the values in which trials differ.

    Example:
        >>> columns([{"seed": 1, "optimizer": "sgd"}, {"seed": 1, "optimizer": "adam"}])
        ['optimizer']
    """
    names = dict.fromkeys(name for each in values for name in each)
    return [name for name in names if len({str(each.get(name)) for each in values}) > 1]


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
        board.hyperparameters(spec.trial, {**_values(spec.recipe), "stage": spec.stage})
    curves, numbers = outcome.curves, np.arange(start, outcome.steps)
    note = training_loss.noted({spec.trial: spec})
    told = {"step/loss": f"Training loss of each step{note}."} if note and start == 0 else {}
    for step in numbers[are_shown(numbers)]:
        scalars = {f"step/{name}": values[step] for name, values in curves.items()}
        board.scalars(step, scalars, told)
        told = {}
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


def _values(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe, the most important first, as the columns of a dashboard have them.

    The model's own are under names that can't be those of a recipe.
    """
    plain = recipe.to_dict()
    own = plain.pop("hyperparameters")
    first = {f"{place}_{name}": plain.pop(name) for place, name in enumerate(FIRST, 1)}
    return first | plain | {f"hp/{name}": value for name, value in own.items()}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
