"""A trainer without TensorFlow: loss curves are formulas of learning rate, step and seed.

What a segment gives depends on the state that it went on from, so a search that goes on from a
wrong state ends differently.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kerastune.analysis.trial_curves import Curves
from kerastune.budget import Budget
from kerastune.objective import Objective, best_evaluation
from kerastune.playbook.context import Facts
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages.baseline import Baseline
from kerastune.playbook.stages.learning_rate import LearningRate
from kerastune.playbook.stages.start import Start
from kerastune.playbook.stages.train import Train
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec

CHUNK = 50
ACCURACY = Objective("accuracy", "max")
FIRST_LOSS = 2.3


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class FakeTrainer:
    """Trains by formula.

    Args:
        best_rate: of SGD; Adam's is a thirtieth of it. Lower rates are slower in proportion, higher
            ones end higher.
        tau: steps in which the best rate's loss falls to 1/e.
        floor: loss where the best rate ends.
        noise: standard deviation of a step's loss, as a share of the loss.
        diverges_above: rates above this times the best give NaN after a few steps.
        num_validation: examples whose scores are kept.
        seconds_per_step: by which the clock is moved on.
        clock: a `FakeClock`.
        deadline: training stops at the first chunk at which it gives `True`.
        stops_at: trial name to the step at which a callback of the user's stops it.
        segments: specs that were run, in their order.
    """

    best_rate: float = 0.03
    tau: float = 200.0
    floor: float = 0.05
    noise: float = 0.05
    diverges_above: float = 8.0
    num_validation: int = 400
    seconds_per_step: float = 0.001
    clock: FakeClock | None = None
    deadline: object = staticmethod(lambda: False)
    stops_at: dict[str, int] = dataclasses.field(default_factory=dict)
    segments: list[TrialSpec] = dataclasses.field(default_factory=list)

    def run(
        self, spec: TrialSpec, state: State | None = None
    ) -> tuple[Outcome, State, State | None]:
        """The outcome of one segment, its last state and its best weights, like `Trainer.run`."""
        if (state.step if state else 0) != spec.start:
            raise ValueError(f"segment from {spec.start}, state of {state and state.step}")
        self.segments.append(spec)
        losses, diverged_at = self.losses(spec.recipe, spec.until)
        until = self._end(spec, diverged_at)
        state = state or State(
            0, [np.zeros(3, np.float32)], [np.zeros(2, np.float32)], float(losses[0])
        )
        evals, best, scores, weights = [], None, None, state.model[0]
        for step in range(spec.start + 1, until + 1):
            weights = np.float32(0.9) * weights + np.float32(losses[step - 1]) * np.array(
                [1, 2, 3], np.float32
            )
            if spec.eval_every and (step % spec.eval_every == 0 or step == until):
                evals.append(self._evaluation(spec.recipe, step, losses, weights))
                if (
                    spec.keep_best
                    and diverged_at is None
                    and best_evaluation(evals, ACCURACY) is evals[-1]
                ):
                    best, scores = State(step, [weights], []), self._scores(evals[-1]["accuracy"])
        measured = np.arange(spec.start, until, 10)
        # Updates of Adam are as large at a thirtieth of the learning rate.
        size = spec.recipe.learning_rate * self._relative(spec.recipe)
        outcome = Outcome(
            spec,
            Curves(
                {"loss": losses[spec.start : until]},
                norm_steps=measured,
                update_norms=np.outer(losses[measured], size).astype(np.float32),
                weight_norms=np.full([len(measured), 1], 20, np.float32),
            ),
            tuple(evals),
            layers=("dense",),
            diverged_at=diverged_at if diverged_at is not None and diverged_at < until else None,
            seconds=(until - spec.start) * self.seconds_per_step,
            seconds_per_step=self.seconds_per_step,
            example_scores=scores,
        )
        last = State(until, [weights], [weights[:2] * 2], state.first_loss)
        return outcome, last, best

    def losses(self, recipe: Recipe, steps: int) -> tuple[np.ndarray, int | None]:
        """True losses by formula, and the step at which they stop being numbers."""
        relative = recipe.learning_rate / self.best_rate * self._relative(recipe)
        step = np.arange(steps)
        speed = min(relative, 1.0)
        floor = self.floor * (1 + max(relative - 1, 0.0))
        if recipe.decay == "linear":
            floor = floor * (1 - 0.5 * step / recipe.total_steps)
        clean = floor + (FIRST_LOSS - floor) * np.exp(-step * speed / self.tau)
        generator = np.random.default_rng([recipe.seed, int(recipe.learning_rate * 1e9)])
        losses = (clean * (1 + self.noise * generator.normal(size=steps))).astype(np.float32)
        if relative <= self.diverges_above:
            return losses, None
        lost = int(200 / relative)
        losses[lost:] = np.nan
        return losses, lost if lost < steps else None

    @staticmethod
    def _relative(recipe: Recipe) -> float:
        return 30.0 if recipe.optimizer == "adam" else 1.0

    def _end(self, spec: TrialSpec, diverged_at: int | None) -> int:
        stop = self.stops_at.get(spec.trial, spec.until)
        for begin in range(spec.start, spec.until, CHUNK):
            end = min(begin + CHUNK, spec.until)
            if self.clock is not None:
                self.clock.now += (end - begin) * self.seconds_per_step
            if end >= stop or (diverged_at is not None and diverged_at < end) or self.deadline():
                break
        return end

    def _evaluation(
        self, recipe: Recipe, step: int, losses: np.ndarray, weights: np.ndarray
    ) -> dict[str, float]:
        fitted = float(losses[max(0, step - 50) : step].mean())
        luck = np.random.default_rng([recipe.seed, step]).normal() * 0.003 + 1e-4 * float(
            weights[0]
        )
        accuracy = np.clip(1 - 0.35 * fitted + luck, 0, 1)
        return {
            "step": step,
            "loss": 0.1 + fitted,
            "accuracy": float(np.round(accuracy * self.num_validation) / self.num_validation),
        }

    def _scores(self, accuracy: float) -> np.ndarray:
        difficulty = np.random.default_rng(7).permutation(self.num_validation) / self.num_validation
        return (difficulty < accuracy).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class FakeModels:
    """Answers stages that choose among trained models, as a test says."""

    validation: Callable | None = None
    look: Callable | None = None
    weights: Callable | None = None
    left_out: Callable | None = None


def facts(**changes) -> Facts:
    """What a search of a middling problem knows."""
    known = {
        "num_train": 6400,
        "num_validation": 400,
        "objective": ACCURACY,
        "allowance": 10**6,
        "num_classes": 10,
    }
    return Facts(**{**known, **changes})


def playbook(
    study: Study, budget: str = "20000steps", recipe: Recipe | None = None, **others
) -> Playbook:
    """The playbook over a study, but for the probe, whose rules are tested with it."""
    stages = [Start(), Baseline(CHUNK), LearningRate(CHUNK), Train(CHUNK)]
    return Playbook(
        study, stages, recipe or Recipe(), facts(allowance=0), Budget.parse(budget), **others
    )


def advance(search: Playbook, trainer: FakeTrainer) -> None:
    """Trains until every stage has decided."""
    while (spec := search.next()) is not None:
        search.record(*trainer.run(spec, search.state(spec)))


def tune(
    directory: Path,
    trainer: FakeTrainer | None = None,
    budget: str = "20000steps",
    make_study: Callable[..., Study] = Study,
) -> str:
    """One search from wherever it stands to its end; gives all that it found as canonical JSON."""
    with make_study(directory / "study.sqlite", directory / "lock") as study:
        study.settings({"budget": budget})
        search = playbook(study, budget)
        advance(search, trainer or FakeTrainer())
        return canonical(study)


def canonical(study: Study) -> str:
    """Every decision, every curve and every kept weight of a study as one text."""
    trials = {}
    for name, outcome in study.outcomes().items():
        best = study.checkpoint(name, "best")
        trials[name] = {
            "spec": outcome.spec.to_dict(),
            "losses": outcome.losses.tobytes().hex(),
            "norms": [
                outcome.norm_steps.tolist(),
                outcome.update_norms.tolist(),
                outcome.weight_norms.tolist(),
            ],
            "evals": outcome.evals,
            "diverged_at": outcome.diverged_at,
            "scores": None
            if outcome.example_scores is None
            else outcome.example_scores.tobytes().hex(),
            "best": None
            if best is None
            else [best.step, *[value.tolist() for value in best.model]],
        }
    return json.dumps({"decisions": study.decisions(), "trials": trials}, sort_keys=True)


OF_A_TEST = "of-a-test-"


@contextlib.contextmanager
def memory():
    """A directory in memory where the system has one, else on disk."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=OF_A_TEST, dir=place) as directory:
        yield Path(directory)
