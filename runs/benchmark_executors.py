"""Measures how much more several workers train in the same time: python
runs/benchmark_executors.py.

`processes` trains the built-in cnn on Fashion-MNIST with one worker and with two, one thread each,
in turn in every round, so that a noisy machine troubles both alike; what is told is the median of
the ratios. Workers have started and traced before. `simulated` has workers that only say when they
are done, in simulated time, behind the same pool, playbook and study: what costs anything is the
processor's time of the driver, which is added to the clock, and the waiting for the last segment of
a wave; not the waiting for the disk.
"""

import heapq
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from kerastune.budget import Budget
from kerastune.executors.worker_pool import WorkerPool
from kerastune.executors.workers import DONE, READY, STEPS, Message, Workers
from kerastune.objective import Objective
from kerastune.playbook.context import Context, Facts
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages.base import Stage
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import Outcome, State, TrialSpec

FLAGS = flags.FLAGS
ACCURACY = Objective("accuracy", "max")
LENGTHS = (50, 100, 150, 200)  # steps of simulated segments, in turn
WEIGHTS = 100_000  # of a simulated network


class Wave(Stage):
    """Proposes segments of these lengths at once."""

    name, share = "wave", 1.0

    def __init__(self, lengths, recipe):
        self._specs = [
            TrialSpec(f"wave-{i}", self.name, recipe.replace(seed=i), 0, steps)
            for i, steps in enumerate(lengths)
        ]

    def propose(self, context: Context):
        return [spec for spec in self._specs if spec.trial not in context.outcomes]

    def decide(self, context: Context):
        return self.decision(context, "The wave is over", "All of it was trained.")


class Simulated(Workers):
    """Workers whose training takes no time here: a clock jumps to whatever ends next, and what the
    driver's own code costs the processor is added to it."""

    def __init__(self, seconds_per_step):
        self._seconds, self._random = seconds_per_step, random.Random(1)
        self._events, self._started = [], 0
        self._now, self._counted = 0.0, time.process_time()
        self.worked = self.driven = 0.0
        self._state = State(0, [np.zeros(WEIGHTS, np.float32)], [np.zeros(WEIGHTS, np.float32)])

    def clock(self):
        """Simulated seconds."""
        used = time.process_time() - self._counted
        self._counted += used
        self._now, self.driven = self._now + used, self.driven + used
        return self._now

    def start(self):
        self._started += 1
        self._later(0.0, Message(self._started, READY))
        return self._started

    def send(self, worker, assignment):
        steps = assignment.spec.until
        seconds = steps * self._seconds * self._random.uniform(0.8, 1.2)
        self.worked += seconds
        for done in range(50, steps + 1, 50):
            self._later(seconds * done / steps, Message(worker, STEPS, assignment.attempt, 50))
        losses = np.random.default_rng(assignment.spec.recipe.seed).random(steps, np.float32)
        outcome = Outcome(
            assignment.spec, {"loss": losses}, seconds=seconds, seconds_per_step=self._seconds
        )
        self._later(
            seconds, Message(worker, DONE, assignment.attempt, (outcome, self._state, None))
        )

    def receive(self, timeout):
        now = self.clock()
        if self._events and self._events[0][0] <= now + timeout:
            now = max(now, self._events[0][0])
        else:
            now += timeout
        self._now, said = now, []
        while self._events and self._events[0][0] <= now:
            said.append(heapq.heappop(self._events)[-1])
        return said

    def end(self, worker):
        pass

    def close(self):
        self._events.clear()

    def _later(self, seconds, message):
        heapq.heappush(self._events, (self.clock() + seconds, self._random.random(), message))


def seconds_of(pool, lengths, recipe, clock=time.perf_counter):
    """Seconds that a worker pool takes for a wave, with the study on disk."""
    with tempfile.TemporaryDirectory() as directory:
        with Study(Path(directory) / "study.sqlite", Path(directory) / "lock") as study:
            facts, budget = Facts(6400, 400, ACCURACY, 0), Budget(steps=sum(lengths))
            search = Playbook(study, [Wave(lengths, recipe)], recipe, facts, budget)
            began = clock()
            for result in pool.run(search, lambda spec: None):
                search.record(result.outcome, result.last, result.best, result.alone)
            return clock() - began


def report_simulated():
    """Prints a row per number of workers."""
    print(
        "| workers | segments | seconds | share of ideal | driver, of a core "
        "|\n|---|---|---|---|---|"
    )
    for count in map(int, FLAGS.workers):
        lengths = [LENGTHS[i % len(LENGTHS)] for i in range(FLAGS.segments * count)]
        workers = Simulated(FLAGS.seconds / statistics.mean(LENGTHS))
        with WorkerPool(workers, count, clock=workers.clock) as pool:
            seconds = seconds_of(pool, lengths, Recipe(), workers.clock)
        share, busy = workers.worked / (count * seconds), workers.driven / seconds
        print(
            f"| {count} | {len(lengths)} | {seconds:.1f} | {share:.3f} | {busy:.2f} |", flush=True
        )


def processor_seconds(pids):
    """Processor time of processes, which other programs disturb less than the clock."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def report_processes():
    """Prints a row per round, and the median of the ratios."""
    from kerastune.data import loading
    from kerastune.executors.processes import Processes
    from kerastune.executors.worker_setup import WorkerSetup
    from kerastune.models import hypermodels
    from kerastune.training.trainer import Trainer
    from kerastune.tuner.builder import Builder
    from kerastune.tuner.samplers import keras_tuner

    task = loading.load("fashion_mnist")
    builder = Builder(hypermodels.load("cnn", task), keras_tuner.HyperParameters())
    setup = WorkerSetup.of(Trainer(task, builder, ACCURACY))
    recipe, lengths = Recipe(batch_size=64, decay="none"), [FLAGS.steps] * 4
    # Both share the cores as two workers do: one thread each on two cores.
    workers = [Processes(setup, 2) for _ in range(2)]
    with WorkerPool(workers[0], 1) as one, WorkerPool(workers[1], 2) as two:
        for pool in (one, two):
            seconds_of(pool, lengths, recipe)
        print(
            "| round | steps a second, 1 job | 2 jobs | ratio | processor's ms a step, 1 job | 2 "
            "jobs |"
        )
        print("|---|---|---|---|---|---|", flush=True)
        ratios, costs = [], []
        for index in range(FLAGS.rounds):
            rates, cost = [], []
            for pool, processes in zip((one, two), workers):
                before = processor_seconds(processes.pids)
                rates.append(sum(lengths) / seconds_of(pool, lengths, recipe))
                cost.append(1000 * (processor_seconds(processes.pids) - before) / sum(lengths))
            ratios.append(rates[1] / rates[0])
            costs.append(cost[1] / cost[0])
            row = [
                index + 1,
                *(f"{each:.1f}" for each in rates),
                f"{ratios[-1]:.2f}",
                *(f"{each:.1f}" for each in cost),
            ]
            print(f"| {' | '.join(map(str, row))} |", flush=True)
    median, cost = statistics.median(ratios), statistics.median(costs)
    print(
        f"median ratio {median:.2f}, {median / 2:.2f} of ideal; a step costs the processor "
        f"{cost:.2f} times as much"
    )


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for part in FLAGS.parts:
        print(f"\n{part}", flush=True)
        {"processes": report_processes, "simulated": report_simulated}[part]()


if __name__ == "__main__":
    flags.DEFINE_list("parts", ["processes", "simulated"], "What to measure.")
    flags.DEFINE_integer("rounds", 5, "Rounds of real training.", 1)
    flags.DEFINE_integer("steps", 400, "Steps of each of the four segments of a round.", 50)
    flags.DEFINE_list(
        "workers", ["1", "2", "4", "8", "16", "32", "64"], "Numbers of simulated workers."
    )
    flags.DEFINE_integer("segments", 16, "Simulated segments for each worker.", 1)
    flags.DEFINE_float("seconds", 5.0, "Mean seconds of a simulated segment.", 0.0)
    sys.exit(app.run(main))
