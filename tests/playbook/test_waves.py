"""Waves: whoever comes first, and whenever the driver is killed, the same is decided."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_trainer import CHUNK, FakeClock, FakeTrainer, canonical, facts, memory
from places import HELPERS

from kerastune.budget import Budget
from kerastune.playbook import step_time, waves
from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision
from kerastune.playbook.driver import Playbook
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.base import Stage
from kerastune.playbook.stages.stage_setup import Setup
from kerastune.recipe import Recipe
from kerastune.study.database import Study
from kerastune.trial import TrialSpec

NAMES = ("start", "baseline", "lr", "batch", "decay", "weights", "train")
BUDGET = "60000steps"


def opened(directory, **arguments):
    return Study(directory / "study.sqlite", directory / "lock", **arguments)


def searching(study, budget=BUDGET, stages=None):
    stages = stages or registry.make(NAMES, Setup(CHUNK))
    return Playbook(study, stages, Recipe(), facts(allowance=0), Budget.parse(budget))


def trainer(**changes):
    return FakeTrainer(tau=30, **changes)


def crowd(search, jobs, seed, trains=None, pause=0.0):
    """Trains up to `jobs` segments at once, which end in a random order; gives the most."""
    generator, trains, in_flight, most = random.Random(seed), trains or trainer(), [], 0
    while True:
        for spec in search.ready()[: jobs - len(in_flight)]:
            search.begin(spec)
            in_flight.append((spec, search.state(spec)))
        if not in_flight:
            return most
        most = max(most, len(in_flight))
        spec, state = in_flight.pop(generator.randrange(len(in_flight)))
        time.sleep(pause)
        search.record(*trains.run(spec, state), alone=not in_flight)


def found(directory, jobs=1, seed=0, pause=0.0):
    directory.mkdir(exist_ok=True)
    with opened(directory) as study:
        search = searching(study)
        most = crowd(search, jobs, seed, pause=pause)
        return canonical(study), list(search.outcomes), most


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return found(tmp_path_factory.mktemp("waves"))


@pytest.mark.parametrize("jobs", [2, 4, 64])
def test_any_number_of_jobs_and_any_order_of_results_decide_the_same(whole, tmp_path, jobs):
    for seed in range(2):
        again = found(tmp_path / str(seed), jobs, seed)
        assert again[:2] == whole[:2]
        assert min(jobs, 4) <= again[2] <= jobs


def test_what_stages_see_is_in_the_order_of_the_wave_in_a_search_that_goes_on_too(whole, tmp_path):
    found(tmp_path / "a", jobs=64, seed=1)
    with opened(tmp_path / "a") as study:
        assert list(study.outcomes()) != whole[1]  # as they came
        assert list(searching(study).outcomes) == whole[1]


def killed_in_waves(directory: Path, least: int) -> None:
    """Kills searches at random moments, goes on with other jobs, and compares their ends."""
    generator, kills, searches = random.Random(1), 0, 0
    expected = found(directory / "whole")[0]
    while kills < least:
        path, searches = directory / str(searches), searches + 1
        while True:
            child = os.fork()
            if not child:
                text = found(
                    path, generator.choice([1, 2, 4, 16]), generator.random(), pause=0.001
                )[0]
                (path / "found.json").write_text(text)
                os._exit(0)
            generator.random()
            time.sleep(generator.uniform(0, 0.3))
            os.kill(child, signal.SIGKILL)
            ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if ended not in (0, -signal.SIGKILL):
                raise SystemExit(f"a search that had been killed ended with {ended}")
            kills += ended != 0
            if ended == 0:
                break
        if (path / "found.json").read_text() != expected:
            raise SystemExit(f"search {searches} ended differently after {kills} kills")
    print(kills)


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_in_the_middle_of_waves_change_nothing(kills):
    with memory() as directory:
        code = f"from test_waves import *; killed_in_waves(Path({str(directory)!r}), {kills})"
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=HELPERS, capture_output=True, text=True, timeout=600
        )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= kills


class Wide(Stage):
    """Proposes trials of 1,000 steps at once, four at most and as many as its allowance holds."""

    name, share, compares_seconds = "wide", 1.0, True

    def propose(self, context: Context):
        due = [f"wide-{i}" for i in range(4) if f"wide-{i}" not in context.outcomes]
        room = (context.facts.allowance - 1000 * len(context.outcomes)) // 1000
        return [
            TrialSpec(name, self.name, context.recipe.replace(seed=int(name[-1])), 0, 1000)
            for name in due
        ][:room]

    def decide(self, context: Context):
        return Decision(
            self.name,
            context.recipe,
            context.recipe,
            "Trials side by side",
            f"{len(context.outcomes)} trials",
            tuple(context.outcomes),
        )


def test_a_budget_in_seconds_holds_as_many_more_steps_as_there_are_jobs_if_the_stage_can_use_them(
    tmp_path,
):
    for jobs, expected in ((1, 2), (2, 4), (3, 4)):
        clock = FakeClock()
        directory = tmp_path / str(jobs)
        directory.mkdir()
        with opened(directory, clock=clock) as study:
            search = searching(study, "50s", [Wide()])  # 45 s for trials, 2,250 steps of 20 ms
            search.jobs = jobs
            assert len(search.ready()) == expected


def test_one_training_alone_gets_no_more_steps_for_jobs_that_it_can_not_use(tmp_path):
    with opened(tmp_path, clock=FakeClock()) as study:
        search = searching(study, "50s", registry.make(("train",), Setup(CHUNK)))
        alone = search.ready()
        search.jobs = 8
        assert search.ready() == alone and len(alone) == 1


def test_with_a_budget_in_seconds_the_stage_is_asked_again_whenever_there_is_room(tmp_path):
    clock = FakeClock()
    with opened(tmp_path, clock=clock) as study:
        search = searching(study, "50s", [Wide()])
        search.jobs = 2
        for spec in search.ready()[:2]:
            search.begin(spec)
        assert [spec.trial for spec in search.ready()] == ["wide-2", "wide-3"]
        clock.now += 48
        assert (
            search.ready() == [] and search.stage is not None
        )  # nothing is decided while trials are in flight
        for spec in (TrialSpec(f"wide-{i}", "wide", Recipe(seed=i), 0, 1000) for i in range(2)):
            search.record(*trainer().run(spec))
        assert (
            search.ready() == []
            and search.stage is None
            and study.decisions()[0]["numbers"] == "2 trials"
        )


def test_the_first_trial_of_each_kind_runs_alone_where_seconds_are_compared(tmp_path):
    spec = TrialSpec("wide-0", "wide", Recipe(), 0, 1000)
    with opened(tmp_path) as study:
        search = searching(study, "50s", [Wide()])
        assert search.runs_alone(spec)
        assert not search.runs_alone(
            TrialSpec("a", "other", Recipe(), 0, 1000)
        )  # a stage that compares no seconds
        assert not search.runs_alone(TrialSpec("a", "wide", Recipe(), 0, 50))  # too short to be one
        search.record(*trainer().run(spec), alone=False)
        assert search.runs_alone(spec) and study.fact(step_time.name_of(spec.recipe)) is None
        search.record(*trainer().run(TrialSpec("wide-1", "wide", Recipe(seed=1), 0, 1000)))
        assert not search.runs_alone(spec) and study.fact(step_time.name_of(spec.recipe)) > 0
    (tmp_path / "steps").mkdir()
    with opened(tmp_path / "steps") as study:
        assert not searching(study, "5000steps", [Wide()]).runs_alone(spec)


def test_a_segment_given_back_is_handed_out_again(tmp_path):
    with opened(tmp_path) as study:
        search = searching(study, "10000steps", [Wide()])
        first = search.ready()
        search.begin(first[0])
        assert search.ready() == first[1:]
        search.give_back(first[0])
        assert search.ready() == first
        assert waves.recorded(study) == [first]
