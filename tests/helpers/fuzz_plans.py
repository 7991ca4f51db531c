"""Random plans of searches for `test_fuzz.py`, each of one seed."""

from __future__ import annotations

import dataclasses
import functools
import random
from typing import Any

import numpy as np
from fake_trainer import CHUNK, FakeClock, FakeModels, FakeTrainer, facts

from kerastune.analysis import calibration
from kerastune.budget import Budget
from kerastune.playbook.driver import Playbook
from kerastune.playbook.ensemble_values import Validation
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Setup
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import TrialSpec

COUNT = 60  # examples that ensembles and views are judged on
TRUE = np.arange(COUNT) % 3
WIDTHS = (8, 16, 32, 64, 128)
UNIMPORTANT = {
    "seed": 1,
    "learning_rate": 1.0,
    "total_steps": 1,
    "decay": "none",
    "decay_start": 0,
    "decay_interval": 1,
}


@dataclasses.dataclass
class FuzzTrainer(FakeTrainer):
    """Trains by formula, where every setting matters and some can't be trained.

    Args:
        salt: of what is good, what fails and what is stopped.
        matters: by how much more than the floor the loss of a setting ends, at most, as a share of
            it.
        gap: by how much training is better than validation.
        broken: share of networks that can't be trained, from their first or from a later segment
            on.
        most_batch: batch size above which stage `batch` runs out of memory.
        stopped: share of the segments that a callback of the user's ends early.
    """

    salt: int = 0
    matters: float = 1.0
    gap: float = 0.25
    broken: float = 0.0
    most_batch: int = 10**6
    stopped: float = 0.0

    def run(self, spec, state=None):
        if (error := self.failure(spec)) is not None:
            raise error
        outcome, last, best = super().run(spec, state)
        accuracy = np.clip(1 - (0.35 - self.gap) * outcome.curves["loss"], 0, 1)
        values = {**outcome.curves, "accuracy": accuracy}
        curves = dataclasses.replace(outcome.curves, values=values)
        return dataclasses.replace(outcome, curves=curves), last, best

    def failure(self, spec: TrialSpec) -> Exception | None:
        """What a segment always raises, wherever and however often it is trained."""
        if spec.stage == "batch" and spec.recipe.batch_size > self.most_batch:
            return MemoryError("OOM when allocating")
        network = (repr(spec.recipe.hyperparameters), spec.start > 0)
        if (
            spec.stage == "model"
            and spec.trial != "model-0"
            and self._chance(network) < self.broken
        ):
            return ValueError("no such layer")
        return None

    def losses(self, recipe, steps):
        floor = self.floor * (
            1 + self.matters * self._chance(recipe.replace(**UNIMPORTANT).to_json())
        )
        return FakeTrainer.losses(dataclasses.replace(self, floor=floor), recipe, steps)

    def _end(self, spec, diverged_at):
        end = super()._end(spec, diverged_at)
        if spec.eval_every and self._chance((spec.trial, spec.start)) < self.stopped:
            return min(end, spec.start + spec.eval_every)
        return end

    def _chance(self, of: Any) -> float:
        return random.Random(f"{self.salt} {of}").random()


@dataclasses.dataclass(frozen=True)
class Plan:
    """A search: the same plan finds the same, whatever happens to it.

    Args:
        stages: by name.
        budget: in steps, or in seconds of a clock that the training moves on.
        recipe: that the first stage starts from.
        known: facts.
        problem: settings of a `FuzzTrainer`.
        keep: weights that the study keeps besides those in use.
        members: of an ensemble.
        searched: hyperparameters of the model.
        has_locks: whether the disk has locks.
    """

    stages: tuple[str, ...]
    budget: str
    recipe: Recipe
    known: dict[str, Any]
    problem: dict[str, Any]
    keep: int
    members: int
    searched: tuple[str, ...]
    has_locks: bool

    @property
    def is_timed(self) -> bool:
        """Whether what is found depends on what happens: time is spent again on what was lost."""
        return Budget.parse(self.budget).steps is None

    def settings(self) -> dict[str, Any]:
        """What must stay the same when the search goes on."""
        return {
            "budget": self.budget,
            "stages": list(self.stages),
            "keep": self.keep,
            **self.recipe.to_dict(),
        }

    def trainer(self, clock: FakeClock) -> FuzzTrainer:
        """What trains its segments, moving a clock on."""
        return FuzzTrainer(**self.problem, clock=clock)

    def playbook(self, study: Study, **others) -> Playbook:
        """Its playbook over a study."""
        models = FakeModels(
            lambda: Validation(TRUE, lambda trial: guesses(study, trial), figures),
            lambda: looks(study),
            lambda trial: study.checkpoint(trial, "best").model,
        )
        setup = Setup(
            CHUNK,
            self.recipe.decay,
            searched=self.searched,
            sample=self._sample,
            models=models,
            members=self.members,
        )
        made = registry.make(self.stages, setup)
        return Playbook(
            study,
            made,
            self.recipe,
            facts(allowance=0, **self.known),
            Budget.parse(self.budget),
            **others,
        )

    def _sample(self, tried, guided):
        known = [values["units"] for values, _ in tried]
        left = [units for units in WIDTHS if units not in known]
        # Of the scores, too: an oracle that is told others proposes others.
        chosen = random.Random(f"{self.problem['salt']} {tried}")
        return {"units": chosen.choice(left)} if left else None


def guesses(study: Study, trial: str, view: str = "") -> np.ndarray:
    """Probabilities from the kept weights of a trial, `[examples, classes]`."""
    weights = study.checkpoint(trial, "best").model[0]
    return _guesses(f"{weights.tobytes().hex()}{view}")


@functools.cache
def _guesses(name: str) -> np.ndarray:
    luck = random.Random(name)
    shares = (
        np.array([[luck.random() for _ in range(3)] for _ in range(COUNT)])
        + (0.7 * np.eye(3))[TRUE]
    )
    return shares / shares.sum(axis=1, keepdims=True)


def looks(study: Study) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, dict]]:
    """What the model that was chosen last says of each view, as `StageModels.look` has it."""
    chosen = (
        decision["values"]["trial"]
        for decision in reversed(study.decisions())
        if "trial" in decision["values"]
    )
    if (trial := next(chosen, None)) is None:
        return {}, TRUE, {}
    views = ("identity", "flip", "shift")
    said = {view: guesses(study, trial, view * (view != "identity")) for view in views}
    return said, TRUE, {view: {"view": view} for view in views}


def figures(predictions: np.ndarray) -> dict[str, float]:
    """Figures of merit of predictions."""
    return {
        "accuracy": float(np.mean(predictions.argmax(axis=1) == TRUE)),
        **calibration.figures(predictions, TRUE),
    }


def names_at_random(luck: random.Random) -> tuple[str, ...]:
    """Stages that `--stages` takes: any of them, in the order of the playbook."""
    while True:
        share = luck.choice([0.3, 0.6, 0.9])
        names = tuple(name for name in registry.names() if luck.random() < share)
        try:
            registry.check(names)
        except ValueError:
            continue
        if names:
            return names


def plan_at_random(seed: int) -> Plan:
    """The plan of a seed."""
    luck = random.Random(f"plan {seed}")
    names = names_at_random(luck)
    levels = luck.randint(2, 8)
    loaded = luck.randint(0, levels - 1) if "finetune" in names else 0
    recipe = Recipe(
        optimizer=luck.choice(["sgd", "sgd", "adam"]),
        learning_rate=luck.choice([0.001, 0.01, 0.1]),
        batch_size=luck.choice([32, 64, 256]),
        total_steps=luck.choice([200, 500, 1000]),
        decay=luck.choice(["linear", "linear", "none", "exponential"]),
        regularizers=luck.choice(["off", "on"]),
        seed=luck.randint(0, 9),
        frozen=loaded,
        head=max(levels - loaded, 1),
        hyperparameters={"units": 16},
    )
    known = {
        "num_train": luck.choice([500, 6400, 60_000]),
        "imbalanced": luck.random() < 0.5,
        "num_parameters": luck.choice([0, 10**6]),
        "regularized": luck.random() < 0.3,
        "levels": levels if loaded else 0,
        "pretrained": loaded,
        "unusable": {"flip": "no input is an image"} if luck.random() < 0.3 else {},
    }
    problem = {
        "salt": luck.randrange(10**6),
        "tau": luck.choice([10, 30, 100, 1000]),
        "best_rate": luck.choice([0.003, 0.03, 0.3, 1e-7]),
        "floor": luck.choice([0.05, 0.5]),
        "noise": luck.choice([0.01, 0.05, 0.3]),
        "diverges_above": luck.choice([1.5, 8.0, 100.0]),
        "matters": luck.choice([0.0, 1.0, 5.0]),
        "gap": luck.choice([0.0, 0.25]),
        "broken": luck.choice([0.0, 0.5]),
        "most_batch": luck.choice([64, 10**6]),
        "stopped": luck.choice([0.0, 0.0, 0.2]),
        "seconds_per_step": 0.01,
    }
    return Plan(
        names,
        luck.choice(["1000steps", "2000steps", "4000steps", "8000steps"] * 2 + ["20s", "60s"]),
        recipe,
        known,
        problem,
        keep=luck.randint(0, 3),
        members=luck.randint(2, 4),
        searched=("units",) if luck.random() < 0.8 else (),
        has_locks=luck.random() < 0.8,
    )
