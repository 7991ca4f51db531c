"""Worker processes: whatever becomes of them, they change and leave nothing."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_trainer import CHUNK, OF_A_TEST, FakeTrainer, canonical, memory
from fake_worker_setup import FakeWorkerSetup, Unloadable
from places import HELPERS
from test_waves import opened, searching
from test_worker_pool import driven

from kerastune.executors import capacity, processes, shared_memory, worker_pool, workers
from kerastune.executors.base import ExecutorUnavailable, Inline
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Setup

BUDGET = "6000steps"
STAGES = ("start", "baseline", "lr", "train")


def begun(study):
    return searching(study, BUDGET, registry.make(STAGES, Setup(CHUNK)))


def pool_of(setup, jobs, **patience):
    return worker_pool.WorkerPool(
        processes.Processes(setup, jobs or 2), jobs, patience=workers.Patience(**patience)
    )


def found(directory, setup, jobs, between=lambda pool: None, **patience):
    with opened(directory) as study, pool_of(setup, jobs, **patience) as pool:
        search, counts = begun(study), {}
        for result in pool.run(search, lambda spec: None):
            if result.error is not None:
                raise result.error
            search.record(result.outcome, result.last, result.best, result.alone)
            key = (result.spec.trial, result.spec.start)
            counts[key] = counts.get(key, 0) + 1
            between(pool)
        assert set(counts.values()) == {1}
        assert all(
            outcome.notes == ("sum 10000",) for outcome in search.outcomes.values()
        )  # mapped, not copied
        return canonical(study)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("whole")) as study:
        driven(Inline(FakeTrainer(tau=30)), begun(study))
        return canonical(study)


def are_gone(pids, seconds=2.0):
    """Whether processes have ended; one that nobody waited for yet counts as gone."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if all(_state(pid) in ("", "Z") for pid in pids):
            return True
        time.sleep(0.02)
    return False


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_processes_decide_what_inline_decides_and_are_gone_afterwards(whole, tmp_path, jobs):
    pids = set()
    assert (
        found(
            tmp_path,
            FakeWorkerSetup(str(tmp_path)),
            jobs,
            lambda pool: pids.update(pool._workers.pids),
        )
        == whole
    )
    assert 1 <= len(pids) <= jobs and are_gone(pids)


def test_a_worker_that_is_killed_stopped_or_starved_in_a_trial_changes_nothing(whole, tmp_path):
    folder = tmp_path / "asked"
    folder.mkdir()
    for name in (
        "lr-0.01.kill-1",
        "lr-0.01.kill-2",
        "lr-0.001.stop",
        "lr-0.003.memory",
        "baseline.kill",
    ):
        (folder / name).touch()
    pids = set()
    setup = FakeWorkerSetup(str(folder), 0.01)
    assert (
        found(
            tmp_path,
            setup,
            2,
            lambda pool: pids.update(pool._workers.pids),
            least=1,
            factor=1,
            first=5,
        )
        == whole
    )
    assert not list(folder.iterdir()) and are_gone(pids)


def killed_at_random(directory: Path, least: int) -> None:
    """Kills workers with SIGKILL at random moments of searches, and compares the ends."""
    generator, kills, searches, startled = random.Random(2), 0, 0, None
    with opened(directory) as study:
        driven(Inline(FakeTrainer(tau=30)), begun(study))
        expected = canonical(study)

    def kill_one(pool):
        nonlocal kills, startled
        members = pool._members
        # Three workers in a row that do not start end a search, as they should: one at a time is
        # killed before it could.
        may_startle = not pool._failed_starts and startled not in members
        victims = [worker for worker, member in members.items() if member.ready or may_startle]
        if victims and generator.random() < 0.5:
            time.sleep(generator.uniform(0, 0.02))
            victim = generator.choice(victims)
            startled = startled if members[victim].ready else victim
            os.kill(pool._workers._processes[victim].process.pid, signal.SIGKILL)
            kills += 1

    while kills < least:
        path, searches = directory / str(searches), searches + 1
        path.mkdir()
        if found(path, FakeWorkerSetup(str(path), 0.01), 3, kill_one) != expected:
            raise SystemExit(f"search {searches} ended differently after {kills} kills")
    print(kills)


@pytest.mark.slow
def test_workers_killed_at_random_change_nothing(kills=200):
    with memory() as directory:
        code = f"from test_processes import *; killed_at_random(Path({str(directory)!r}), {kills})"
        guarded = f"if __name__ == '__main__':\n    {code}"
        ran = subprocess.run(
            [sys.executable, "-c", guarded],
            cwd=HELPERS,
            capture_output=True,
            text=True,
            timeout=800,
        )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= kills


def driver(directory):
    """A search that never ends by itself; tells the workers' ids when they are at work."""
    code = (
        "from test_processes import *\n"
        "if __name__ == '__main__':\n"
        f"    path = Path({str(directory)!r})\n"
        "    def tell(workers): print(*workers.pids, flush=True)\n"
        "    with opened(path) as study, pool_of(FakeWorkerSetup(str(path), 0.2), 2) as pool:\n"
        "        search = begun(study)\n"
        "        for result in pool.run(search, lambda spec: tell(pool._workers)):\n"
        "            search.record(result.outcome, result.last, result.best)\n"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=HELPERS,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(pids := started.stdout.readline().split()) < 2:
        assert started.poll() is None
    return started, [int(pid) for pid in pids]


def in_memory():
    """What is kept in shared memory, but for what tests beside this one keep there."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith(OF_A_TEST)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_is_killed_or_interrupted_leaves_no_process_and_no_memory(tmp_path, number):
    before = in_memory()
    started, pids = driver(tmp_path)
    assert all(_state(pid) not in ("", "Z") for pid in pids)
    if number == signal.SIGINT:
        os.killpg(started.pid, number)  # as a terminal does
    else:
        started.kill()
    began = time.monotonic()
    assert are_gone([started.pid, *pids]) and time.monotonic() - began < 2
    started.wait()
    assert in_memory() <= before
    with opened(tmp_path) as study:
        assert study.outcomes()  # and it goes on from there


def test_what_a_model_raises_in_a_worker_is_raised_here_and_says_where(tmp_path):
    (tmp_path / "baseline.error").touch()
    with pytest.raises(ValueError, match="the model of baseline") as raised:
        found(tmp_path, FakeWorkerSetup(str(tmp_path)), 1)
    assert any("fake_worker_setup.py" in note for note in raised.value.__notes__)


def test_a_setup_that_can_not_be_taken_up_says_why(tmp_path):
    with pytest.raises(
        ExecutorUnavailable, match=r"can't be set up \(ImportError: no module of that name here\)"
    ):
        found(tmp_path, Unloadable(str(tmp_path)), 2)


def test_how_many_fit_follows_from_memory_and_cores(tmp_path):
    seconds = []
    measured = processes.pool(FakeWorkerSetup(str(tmp_path)), 0, lambda steps: None, seconds.append)
    with opened(tmp_path) as study, measured as pool:
        driven(pool, begun(study))
        assert pool.jobs == capacity.cores()  # a megabyte each
    assert 0.1 < sum(seconds) < 30  # while the first one started


def test_arrays_are_shared_once_read_only_and_aligned():
    large, small = np.arange(10_000, dtype=np.float32).reshape(100, 100).T, np.arange(3)
    shared = shared_memory.SharedArrays(
        {"a": large, "again": [large], "small": small, "text": np.array(["x", None], object)}
    )
    assert len(shared.data) < 2000
    known = shared_memory.opened(shared.data, shared.file.fileno())
    shared.close()
    assert (
        np.array_equal(known["a"], large)
        and np.array_equal(known["small"], small)
        and known["text"][0] == "x"
    )
    assert not known["a"].flags.writeable and known["a"].ctypes.data % 64 == 0
    assert known["again"][0].ctypes.data == known["a"].ctypes.data
    assert isinstance(pickle.loads(pickle.dumps(known["small"])), np.ndarray)
