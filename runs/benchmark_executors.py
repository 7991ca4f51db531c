"""Measures how much more several workers train in the same time: python runs/benchmark_executors.py.

`processes` trains the built-in cnn on Fashion-MNIST with one worker and with two, one thread each, in turn in every
round, so that a noisy machine troubles both alike; what is told is the median of the ratios. Workers have started and
traced before. `simulated` has workers that sleep, as threads behind the same crew, playbook and study on disk, so that
nothing but the driver and the waiting for the last segment of a wave can cost anything.
"""

import contextlib
import os
import queue
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from kerastune.budget import Budget
from kerastune.executors.crew import DONE, READY, STEPS, Crew, Message, Workers
from kerastune.playbook import Playbook
from kerastune.recipe import Recipe
from kerastune.scores import Objective
from kerastune.stages.base import Decision, Facts, Stage
from kerastune.study import Study
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
            TrialSpec(f"wave-{i}", self.name, recipe.replace(seed=i), 0, steps) for i, steps in enumerate(lengths)
        ]

    def propose(self, recipe, facts, outcomes):
        return [spec for spec in self._specs if spec.trial not in outcomes]

    def decide(self, recipe, facts, outcomes):
        return Decision(self.name, recipe, recipe, "The wave is over.", ())


class Sleepers(Workers):
    """Threads that sleep as long as their segment is, give or take a fifth."""

    def __init__(self, seconds_per_step):
        self._seconds, self._said, self._orders = seconds_per_step, queue.Queue(), {}
        self._random = random.Random(1)
        self.worked = 0.0
        self._state = State(0, [np.zeros(WEIGHTS, np.float32)], [np.zeros(WEIGHTS, np.float32)])

    def start(self):
        number = len(self._orders) + 1
        self._orders[number] = queue.Queue()
        threading.Thread(target=self._work, args=(number,), daemon=True).start()
        self._said.put(Message(number, READY))
        return number

    def send(self, worker, order):
        seconds = order.spec.until * self._seconds * self._random.uniform(0.8, 1.2)
        self.worked += seconds
        self._orders[worker].put((order, seconds))

    def receive(self, timeout):
        said = []
        with contextlib.suppress(queue.Empty):
            said.append(self._said.get(timeout=timeout) if timeout else self._said.get_nowait())
            while True:
                said.append(self._said.get_nowait())
        return said

    def end(self, worker):
        self._orders[worker].put(None)

    def close(self):
        for worker in self._orders:
            self.end(worker)

    def _work(self, number):
        while (given := self._orders[number].get()) is not None:
            order, seconds = given
            for _ in range(order.spec.until // 50):
                time.sleep(seconds * 50 / order.spec.until)
                self._said.put(Message(number, STEPS, order.attempt, 50))
            losses = np.random.default_rng(order.spec.recipe.seed).random(order.spec.until, np.float32)
            outcome = Outcome(order.spec, {"loss": losses}, seconds=seconds, seconds_per_step=self._seconds)
            self._said.put(Message(number, DONE, order.attempt, (outcome, self._state, None)))


def seconds_of(team, lengths, recipe):
    """Seconds that a crew takes for a wave, with the study on disk."""
    with tempfile.TemporaryDirectory() as directory:
        with Study(Path(directory) / "study.sqlite", Path(directory) / "lock") as study:
            facts, budget = Facts(6400, 400, ACCURACY, 0), Budget(steps=sum(lengths))
            search = Playbook(study, [Wave(lengths, recipe)], recipe, facts, budget)
            began = time.perf_counter()
            for result in team.run(search, lambda spec: None):
                search.record(result.outcome, result.last, result.best, result.alone)
            return time.perf_counter() - began


def report_simulated():
    """Prints a row per number of workers."""
    print("| workers | segments | seconds | share of ideal | driver, of a core |\n|---|---|---|---|---|")
    for count in map(int, FLAGS.workers):
        lengths = [LENGTHS[i % len(LENGTHS)] for i in range(FLAGS.segments * count)]
        workers = Sleepers(FLAGS.seconds / statistics.mean(LENGTHS))
        with Crew(workers, count) as team:
            before = time.process_time()
            seconds = seconds_of(team, lengths, Recipe())
            busy = (time.process_time() - before) / seconds
        share = workers.worked / (count * seconds)
        print(f"| {count} | {len(lengths)} | {seconds:.1f} | {share:.3f} | {busy:.2f} |", flush=True)


def report_processes():
    """Prints a row per round, and the median of the ratios."""
    from kerastune import data, hypermodels
    from kerastune.building import Builder
    from kerastune.executors.outfit import Outfit
    from kerastune.executors.processes import Processes
    from kerastune.samplers import keras_tuner
    from kerastune.training import Trainer

    task = data.load("fashion_mnist")
    builder = Builder(hypermodels.load("cnn", task), keras_tuner.HyperParameters())
    outfit = Outfit.of(Trainer(task, builder, ACCURACY))
    recipe, lengths = Recipe(batch_size=64, decay="none"), [FLAGS.steps] * 4
    # Both share the cores as two workers do: one thread each on two cores.
    with Crew(Processes(outfit, 2), 1) as one, Crew(Processes(outfit, 2), 2) as two:
        for team in (one, two):
            seconds_of(team, lengths, recipe)
        print("| round | steps a second, 1 job | 2 jobs | ratio |\n|---|---|---|---|", flush=True)
        ratios = []
        for index in range(FLAGS.rounds):
            rates = [sum(lengths) / seconds_of(team, lengths, recipe) for team in (one, two)]
            ratios.append(rates[1] / rates[0])
            print(f"| {index + 1} | {rates[0]:.1f} | {rates[1]:.1f} | {ratios[-1]:.2f} |", flush=True)
    median = statistics.median(ratios)
    print(f"median ratio {median:.2f}, {median / 2:.2f} of ideal")


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for part in FLAGS.parts:
        print(f"\n{part}", flush=True)
        {"processes": report_processes, "simulated": report_simulated}[part]()


if __name__ == "__main__":
    flags.DEFINE_list("parts", ["processes", "simulated"], "What to measure.")
    flags.DEFINE_integer("rounds", 5, "Rounds of real training.", 1)
    flags.DEFINE_integer("steps", 400, "Steps of each of the four segments of a round.", 50)
    flags.DEFINE_list("workers", ["1", "2", "4", "8", "16", "32", "64"], "Numbers of simulated workers.")
    flags.DEFINE_integer("segments", 12, "Simulated segments for each worker.", 1)
    flags.DEFINE_float("seconds", 5.0, "Mean seconds of a simulated segment.", 0.0)
    sys.exit(app.run(main))
