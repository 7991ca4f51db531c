"""What worker processes of tests train with: formulas, so that they start within a moment."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
from fake_trainer import FakeTrainer


class PacedTrainer(FakeTrainer):
    """Takes a moment for every segment; what a folder asks of a trial happens to it once.

    A file `<trial>.<what>` is taken away and done: `kill` (the worker ends itself), `stop` (it
    stops itself), `memory` (it runs out of it), `error`.
    """

    def __init__(self, folder, seconds, array):
        super().__init__(tau=30)
        self.folder, self.seconds, self.array = Path(folder), seconds, array
        self.on_steps = lambda count: None

    def run(self, spec, state=None):
        self.on_steps(1)
        time.sleep(self.seconds)
        for asked in sorted(self.folder.glob(f"{spec.trial}.*")):
            asked.unlink()
            what = asked.suffix.split("-")[0][1:]
            if what in ("kill", "stop"):
                os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGSTOP)
            raise (
                MemoryError("no more")
                if what == "memory"
                else ValueError("the model of " + spec.trial)
            )
        outcome, *states = super().run(spec, state)
        notes = (
            ()
            if self.array.flags.owndata or self.array.flags.writeable
            else (f"sum {self.array.sum():.0f}",)
        )
        return dataclasses.replace(outcome, notes=notes, peak_memory=10**6), *states


@dataclasses.dataclass
class FakeWorkerSetup:
    """Stands for a `WorkerSetup`, without TensorFlow."""

    folder: str
    seconds: float = 0.0
    array: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(10_000))
    callbacks: tuple = ()

    @staticmethod
    def prepare_process(gpu, threads, memory_limit):
        os.environ["THREADS"] = str(threads)

    def trainer(self):
        return PacedTrainer(self.folder, self.seconds, self.array)


class Unloadable(FakeWorkerSetup):
    """Can be sent, but not made a trainer of."""

    def trainer(self):
        raise ImportError("no module of that name here")
