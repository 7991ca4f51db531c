"""Prints what the driver of a search takes, whatever the number of trials: python
runs/benchmark_driver.py.

A fake trainer hands in trials of 1,000 recorded steps with loss, accuracy and norms of five layers,
each the network's own event in the study. Printed are time and memory while they arrive, what the
finished study takes to be opened, and its size; then the load of one core when the trials come from
many workers. Times are of the process, so that a busy machine does not count, but for those called
wall.
"""

import logging
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from kerastune.analysis.trial_curves import Curves
from kerastune.budget import Budget
from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, TrialSpec

FLAGS = flags.FLAGS
LAYERS = 5
NORMS_EVERY = 10


class Many(Stage):
    """Asks for a number of trials, one after another."""

    name, share = "many", 1.0

    def __init__(self, trials, steps):
        self.trials, self.steps = trials, steps

    def propose(self, context: Context):
        number = len(context.outcomes)
        if number >= self.trials:
            return []
        rate = context.recipe.learning_rate * (1 + number / self.trials)
        return [
            TrialSpec(
                f"many-{number:05}",
                self.name,
                context.recipe.replace(learning_rate=rate),
                0,
                self.steps,
                self.steps,
            )
        ]

    def decide(self, context: Context):
        return self.decision(context, "All came in", f"{len(context.outcomes)} trials came in.")


def result(spec, noise):
    """What a worker would hand in."""
    clean = 2.3 * np.exp(-np.arange(spec.until) / 200)
    losses = (clean * noise[spec.trial.encode()[-1] % len(noise)]).astype(np.float32)
    measured = np.arange(0, spec.until, NORMS_EVERY)
    norms = np.outer(losses[measured], np.ones(LAYERS, np.float32))
    evals = ({"step": spec.until, "loss": float(losses[-1]), "accuracy": 0.5},)
    layers = tuple(f"dense_{number}" for number in range(LAYERS))
    curves = Curves({"loss": losses, "accuracy": 1 - losses / 3}, measured, norms, norms)
    return Outcome(spec, curves, evals, layers, seconds=1.0, seconds_per_step=1e-3)


def search(study, trials, steps):
    """The driver of a search of that many trials."""
    facts = Facts(6400, 400, Objective("accuracy", "max"), 0, 10)
    return Playbook(
        study, [Many(trials, steps)], Recipe(), facts, Budget(steps=10 * trials * steps)
    )


def resident():
    """Megabytes of memory in use now."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def row(trials, directory):
    """What came of one number of trials, by title."""
    noise = [1 + 0.05 * np.random.default_rng(seed).normal(size=FLAGS.steps) for seed in range(10)]
    before, handed_in = resident(), 0.0
    began, wall = time.process_time(), time.monotonic()
    with Study(directory / "study.sqlite", directory / "lock") as study:
        driver = search(study, trials, FLAGS.steps)
        while (spec := driver.next()) is not None:
            at = time.process_time()
            outcome = result(spec, noise)
            handed_in += time.process_time() - at
            driver.record(outcome, None, None)
        seconds = time.process_time() - began - handed_in
        wall = time.monotonic() - wall
        memory = resident() - before
    del driver
    at, at_wall = time.process_time(), time.monotonic()
    with Study(directory / "study.sqlite", directory / "lock") as study:
        finished = search(study, trials, FLAGS.steps).next() is None
        opened, opened_wall = time.process_time() - at, time.monotonic() - at_wall
    if not finished:
        sys.exit("benchmark_driver: the finished study asks for more trials.")
    size = (directory / "study.sqlite").stat().st_size / 2**20
    return seconds, wall, memory, opened, opened_wall, size


def apart(trials):
    """`row` in a process of its own, whose memory is that of this number of trials alone."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        with (
            tempfile.TemporaryDirectory(dir=FLAGS.directory or None) as directory,
            open(write, "w") as stream,
        ):
            print(*row(trials, pathlib.Path(directory)), file=stream)
        os._exit(0)
    os.close(write)
    with open(read) as stream:
        found = [float(word) for word in stream.read().split()]
    if os.waitpid(child, 0)[1]:
        sys.exit(f"benchmark_driver: the run of {trials} trials failed.")
    return found


def main(argv):
    logging.getLogger("kerastune").setLevel(logging.WARNING)
    titles = (
        "trials | driver, s | ms a trial | wall ms a trial | memory, MB | opening, s | opening, "
        "wall s | disk, MB"
    )
    print(f"| {titles} |\n{'|---' * 8}|")
    for trials in map(int, FLAGS.trials):
        seconds, wall, memory, opened, opened_wall, size = apart(trials)
        each, each_wall = 1000 * seconds / trials, 1000 * wall / trials
        cells = [f"{seconds:.2f}", f"{each:.2f}", f"{each_wall:.2f}", f"{memory:.0f}"]
        cells += [f"{opened:.2f}", f"{opened_wall:.2f}", f"{size:.0f}"]
        print(f"| {trials} | {' | '.join(cells)} |", flush=True)
    share = FLAGS.workers * seconds / trials / FLAGS.trial_seconds
    print(
        f"\n{FLAGS.workers} workers, a trial every {FLAGS.trial_seconds:g} s each, keep "
        f"{share:.0%} of one core busy."
    )


if __name__ == "__main__":
    flags.DEFINE_list("trials", ["1000", "2000", "5000", "10000"], "Numbers of trials.")
    flags.DEFINE_integer("steps", 1000, "Recorded steps of every trial.", 50)
    flags.DEFINE_integer("workers", 1000, "Workers of the simulated cluster.", 1)
    flags.DEFINE_float("trial_seconds", 10, "That a worker takes for a trial.", 0.001)
    flags.DEFINE_string(
        "directory", "", "Where studies are written; the system's temporary directory by default."
    )
    sys.exit(app.run(main))
