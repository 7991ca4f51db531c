"""What is asked of a training run, and what came of it: values that travel."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np

from kerastune.analysis import sparsity
from kerastune.analysis.trial_curves import Curves
from kerastune.objective import Objective, kept_evaluation
from kerastune.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """One segment of one trial: train `recipe` from step `start` to step `until`.

    Args:
        trial: name of the trial, for example `"lr-03"`; the same for all its segments.
        stage: name of the stage that asked for it.
        recipe: how to train.
        start: steps that are done already; a checkpoint at this step comes with the spec when it is
            not 0.
        until: step at which the segment ends, `> start`.
        eval_every: steps between two evaluations on the validation part; 0 for none.
        keep_best: whether to keep the weights of the best evaluation (of the last one, where it
            prunes).
        after: name of the trial from whose kept weights this one sets out; empty for a fresh start.
        sparsity: fraction of zeros, in `[0, 1)`, to which kernels are pruned in the first half of
            the trial.
        mix: fraction of a teacher in the loss, in `[0, 1]`; 0 for none.
        temperature: that softens what the teacher says, `> 0`.
        folds: parts that the training part is cut into, at least 2, to leave one out; 0 for none.
        left_out: number of that part, from 1; 0 for none.
        repeat: number of the cut of training and validation part together, from 1: it learns from
            all folds of it but one, and is evaluated on that one; 0 where the training part is cut.
        follows_clock: whether it ends when the time of a budget does: the total steps of its recipe
            follow how fast it goes, so that its learning rate decays to its end.

    Raises:
        ValueError: when the steps or the folds do not fit together, or the sparsity is none.
    """

    trial: str
    stage: str
    recipe: Recipe
    start: int
    until: int
    eval_every: int = 0
    keep_best: bool = False
    after: str = ""
    sparsity: float = 0.0
    mix: float = 0.0
    temperature: float = 1.0
    folds: int = 0
    left_out: int = 0
    repeat: int = 0
    follows_clock: bool = False

    def __post_init__(self):
        sparsity.check(self.sparsity)
        if not 0 <= self.start < self.until:
            raise ValueError(
                f"`until` ({self.until}) must be > `start` ({self.start}), and `start` >= 0."
            )
        if self.folds == 1 or not bool(self.folds) <= self.left_out <= self.folds:
            raise ValueError(
                f"`left_out` ({self.left_out}) must be one of `folds` ({self.folds}), which are 0 "
                "or >= 2."
            )
        if self.repeat < 0 or (self.repeat and not self.folds):
            raise ValueError(f"`repeat` ({self.repeat}) must be >= 0, and 0 without `folds`.")
        parts = (
            [step % self.eval_every for step in (self.start, self.until)] if self.eval_every else []
        )
        if any(parts) and not self.follows_clock:
            raise ValueError(
                f"`eval_every` ({self.eval_every}) must divide `start` ({self.start}) and `until` "
                f"({self.until})."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        return {**vars(self), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrialSpec:
        """The spec of what `to_dict` gave."""
        return cls(**{**values, "recipe": Recipe.from_dict(values["recipe"])})


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial so far: its curves from the first step, and what it cost.

    Args:
        spec: the last segment that was run.
        curves: `Curves` or, of a study, `LazyCurves`. A dict by name stands for curves without
            norms.
        evals: one dict per evaluation: `"step"` and the validation values by name (`"loss"`,
            `"accuracy"` …).
        layers: names of the layers whose norms were measured.
        diverged_at: step at which the loss was not finite or exploded; `None` when it never was.
        seconds: wall time of all segments.
        seconds_per_step: median over chunks of steps, evaluation and tracing left out; 0 when
            nothing was timed. Stages see one value for all trials of the same network, batch size
            and kind of optimizer (`playbook.step_time`).
        peak_memory: bytes, of the process (CPU) or of the device (GPU).
        example_scores: score of every validation example with the best weights, larger is better
            `[n]`, when they were kept; else `None`. Those of a trial with a `repeat` are of the
            fold that it left out, and not to be compared with others.
        mirrored_scores: the same of the mean over each image and its mirror image `[n]`, where the
            recipe flips them.
        notes: what a reader of the outcome must know.
        out_of_time: whether the end of the budget stopped it, and not what it showed.
        weights_kept: whether the best weights that came with the scores are still there
            (`playbook.retention`).
        error: what kept the network from being built or trained, in one line; `diverged_at` is 0
            then. Empty otherwise.
    """

    spec: TrialSpec
    curves: Curves
    evals: tuple[dict[str, float], ...] = ()
    layers: tuple[str, ...] = ()
    diverged_at: int | None = None
    seconds: float = 0.0
    seconds_per_step: float = 0.0
    peak_memory: int = 0
    example_scores: np.ndarray | None = None
    mirrored_scores: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    out_of_time: bool = False
    error: str = ""
    weights_kept: bool = True

    def __post_init__(self):
        if isinstance(self.curves, dict):
            object.__setattr__(self, "curves", Curves(self.curves))

    @classmethod
    def failed(cls, spec: TrialSpec, error: Exception) -> Outcome:
        """The outcome of a network that could not be built or trained.

        Example:
            >>> spec = TrialSpec("a", "model", Recipe(), 0, 50)
            >>> Outcome.failed(spec, MemoryError("too large")).error
            'MemoryError: too large'
        """
        first_line = next(iter(str(error).splitlines()), "")
        why = f"{type(error).__name__}: {first_line}"
        return cls(spec, {"loss": np.zeros(0, np.float32)}, diverged_at=spec.start, error=why)

    @property
    def steps(self) -> int:
        """Number of steps trained so far."""
        return self.curves.steps

    @property
    def losses(self) -> np.ndarray:
        """True training loss of every step, float32 `[steps]`."""
        return self.curves["loss"]

    @property
    def norm_steps(self) -> np.ndarray:
        """Steps at which norms were measured, int64 `[k]`."""
        return self.curves.load().norm_steps

    @property
    def update_norms(self) -> np.ndarray:
        """L2 norm of each layer's update, float32 `[k, layers]`."""
        return self.curves.load().update_norms

    @property
    def weight_norms(self) -> np.ndarray:
        """L2 norm of each layer's weights before the update, float32 `[k, layers]`."""
        return self.curves.load().weight_norms

    def timed(self, seconds_per_step: float) -> Outcome:
        """The same outcome with other seconds per step."""
        return dataclasses.replace(self, seconds_per_step=seconds_per_step)

    def kept_evaluation(self, objective: Objective) -> dict[str, float] | None:
        """The evaluation whose weights are kept (`kept_evaluation`), or `None`."""
        return kept_evaluation(self.evals, objective, self.spec.sparsity > 0)

    def after(self, earlier: Outcome | None) -> Outcome:
        """This segment's outcome joined to what the trial had before it."""
        if earlier is None:
            return self
        if self.error:
            # Nothing was trained, and whoever failed knows of no layers: the curves stay those of
            # before.
            return dataclasses.replace(
                earlier, spec=self.spec, diverged_at=self.diverged_at, error=self.error
            )
        return dataclasses.replace(
            self,
            curves=self.curves.load().after(earlier.curves.load()),
            evals=earlier.evals + self.evals,
            seconds=earlier.seconds + self.seconds,
            seconds_per_step=earlier.seconds_per_step or self.seconds_per_step,
            peak_memory=max(earlier.peak_memory, self.peak_memory),
            example_scores=earlier.example_scores
            if self.example_scores is None
            else self.example_scores,
            mirrored_scores=earlier.mirrored_scores
            if self.example_scores is None
            else self.mirrored_scores,
            notes=earlier.notes + tuple(note for note in self.notes if note not in earlier.notes),
        )


@dataclasses.dataclass(frozen=True)
class State:
    """What a trial needs to go on, or a model to be used: a positional list of arrays.

    Args:
        step: steps done.
        model: values of `model.variables` (weights, then random states), in their order.
        optimizer: values of `optimizer.variables`, in their order, then the states of stateful
            layers; empty when only the weights are kept.
        first_loss: loss of the trial's first step, against which an explosion is measured; NaN when
            unknown.

    Example:
        >>> state = State(3, [np.ones(2)], [])
        >>> State.from_bytes(state.to_bytes()).step
        3
    """

    step: int
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    first_loss: float = float("nan")

    def to_bytes(self) -> bytes:
        """An uncompressed `.npz` archive."""
        stream = io.BytesIO()
        arrays = {f"model/{i}": value for i, value in enumerate(self.model)}
        arrays |= {f"optimizer/{i}": value for i, value in enumerate(self.optimizer)}
        np.savez(stream, step=np.int64(self.step), first_loss=np.float64(self.first_loss), **arrays)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> State:
        """The state that `to_bytes` wrote; nothing is unpickled."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            groups = {
                group: [
                    archive[f"{group}/{i}"]
                    for i in range(sum(name.startswith(f"{group}/") for name in archive))
                ]
                for group in ("model", "optimizer")
            }
            return cls(
                int(archive["step"]),
                groups["model"],
                groups["optimizer"],
                float(archive["first_loss"]),
            )
