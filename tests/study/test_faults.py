"""Whatever hits a search: it ends in one line, and what was recorded is never lost.

Faults are those of `fault_harness`; a few of each by default, all of them with `-m slow`.
"""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_trainer import FakeTrainer, advance, canonical, playbook
from fault_harness import SMALL, Tally, tallies
from places import HELPERS, ROOT

from kerastune.playbook.context import Context
from kerastune.playbook.decision import Decision
from kerastune.playbook.stages.base import Stage
from kerastune.report.tensorboard_runs import Story
from kerastune.study.database import Study, StudyError
from kerastune.study.run_directory import RunDir

FEW = {
    "kills_at_random, 25": 25,
    "stops_at_random, 25": 25,
    "crashes_everywhere, 'before', every=8": 3,
    "crashes_everywhere, 'inside', every=4": 6,
    "crashes_everywhere, 'after', every=4": 6,
    "journals_lost, every=10": 3,
    "disk_errors, kinds=('write', 'fsync', 'replace'), numbers=(28,), every=15": 6,
    "full_databases, every=16": 2,
    "truncations, every=4001": 14,
    "flips, 80": 80,
}
MANY = {
    "kills_at_random, 200, seed=2": 200,
    "stops_at_random, 200, seed=2": 200,
    "crashes_everywhere, 'before'": 24,
    "crashes_everywhere, 'inside'": 24,
    "crashes_everywhere, 'after'": 24,
    "journals_lost": 23,
    "disk_errors": 188,
    "full_databases": 40,
    "truncations": 40_000,
    "flips, 2000, seed=3": 2000,
}
MOUNTED = {"full_disks, every=300": 1, "read_only_disks": 4}


def tallied(calls):
    """The tallies of faults, by call."""
    found = tallies([f"in_memory({call})" for call in calls], [HELPERS, ROOT])
    return dict(zip(calls, found, strict=True))


@pytest.fixture(scope="module")
def few():
    return tallied(FEW)


@pytest.mark.parametrize("call", FEW)
def test_a_search_survives(few, call):
    few[call].check()
    assert few[call].tried >= FEW[call]


@pytest.mark.slow
@pytest.mark.parametrize("call", MANY)
def test_a_search_survives_them_all(call):
    tally = tallied([call])[call]
    tally.check()
    assert tally.tried >= MANY[call]


@pytest.mark.parametrize("call", MOUNTED)
def test_a_search_survives_disks_that_are_full_or_read_only(call):
    may_mount = subprocess.run(
        [
            sys.executable,
            "-c",
            "import fault_harness, sys; sys.exit(not fault_harness.may_mount())",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HELPERS), str(ROOT)])},
    )
    if may_mount.returncode:
        pytest.skip("this process may not mount a file system in memory")
    tally = tallied([call])[call]
    tally.check()
    assert tally.tried >= MOUNTED[call]


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="only Linux tells that a process has exited"
)
def test_a_process_that_has_exited_is_not_stopped_and_not_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "runs"))
    import benchmark_faults

    tally = Tally("stop")
    for code in ("import time; time.sleep(60)", "pass"):
        process = subprocess.Popen([sys.executable, "-c", code])
        if code == "pass":
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert benchmark_faults.has_exited(process) is (code == "pass")
        benchmark_faults.stop(process, tally)
        assert tally.tried == tally.survived == 1 and process.returncode is not None


@pytest.mark.slow
@pytest.mark.parametrize("hit", ["kill", "stop"])
def test_real_training_survives_ten_kills_and_six_signals(hit, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "runs"))
    import benchmark_faults

    tally = Tally(hit)
    benchmark_faults.real(
        tmp_path, tally, getattr(benchmark_faults, hit), {"kill": 10, "stop": 6}[hit]
    )
    tally.check()


# what the harness is worth: it must notice when the care that it tests is taken away


MUTANTS = {
    "no synchronization of files": (
        "study/run_directory.py",
        "        os.fsync(stream.fileno())\n",
        "",
        "study/test_run_directory.py -k durable",
    ),
    "no synchronization of their names": (
        "study/run_directory.py",
        "    sync(path.parent)\n",
        "",
        "study/test_run_directory.py -k durable",
    ),
    "a file is written in its place": (
        "study/run_directory.py",
        "    temporary = _unfinished(path)\n",
        "    temporary = path\n",
        "study/test_run_directory.py -k durable",
    ),
    "no synchronization of the database": (
        "study/database.py",
        "synchronous = FULL",
        "synchronous = OFF",
        "study/test_database.py -k synchronized",
    ),
    "no transaction": (
        "study/database.py",
        ('"BEGIN IMMEDIATE"', '"COMMIT"'),
        '"SELECT 1"',
        "study/test_faults.py -m slow -k inside",
    ),
    "no digest": (
        "study/reader.py",
        "!= digest:",
        "!= digest and False:",
        "study/test_database.py -k refused",
    ),
    "no sum of the rows": (
        "study/database.py",
        "or found != rows",
        "",
        "study/test_faults.py -m slow -k journals_lost",
    ),
    "no lock": (
        "runtime/locks.py",
        "fcntl.flock(stream, kind | fcntl.LOCK_NB)",
        "pass",
        "study/test_database.py -k second",
    ),
    "weights go after their decision": (
        "playbook/driver.py",
        "to_dict(), forget, of_stage)",
        "to_dict(), (), of_stage)",
        "playbook/test_retention.py -k forgets",
    ),
    "what a stage proposed at once is not recorded": (
        "playbook/waves.py",
        "    study.put_fact(_name(index), [spec.to_dict() for spec in wave])",
        "    pass",
        "playbook/test_waves.py -k order",
    ),
    "what a stage may spend is not recorded": (
        "playbook/allowances.py",
        "            self._study.put_fact(name, known)\n",
        "            pass\n",
        "playbook/test_fuzz.py -k few",
    ),
    "what a worker says of an attempt before is taken": (
        "executors/worker_pool.py",
        "attempt is None or message.attempt != attempt.number",
        "attempt is None",
        "playbook/test_fuzz.py -k few",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_without_its_care_a_test_fails(tmp_path, name):
    file, old, new, tests = MUTANTS[name]
    for folder in ("kerastune", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    changed = (tmp_path / "kerastune" / file).read_text()
    for each in (old,) if isinstance(old, str) else old:
        assert each in changed
        changed = changed.replace(each, new)
    (tmp_path / "kerastune" / file).write_text(changed)
    first, *others = tests.split()
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", f"tests/{first}", *others]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1, ran.stdout[-2000:]
    assert "= FAILURES =" in ran.stdout


# a search as such


@pytest.mark.filterwarnings("ignore:overflow")
def test_all_rates_diverging_is_explained_and_comes_to_an_end(tmp_path):
    for at, losses in (("first step", np.nan), ("infinite", np.inf), ("huge", 3e38)):
        (tmp_path / at).mkdir()
        with Study(tmp_path / at / "s", tmp_path / at / "l") as study:
            driver, trainer = playbook(study, SMALL), FakeTrainer()
            whole = trainer.losses

            def lost(recipe, steps, whole=whole, value=losses):
                return np.full_like(whole(recipe, steps)[0], value), 0

            trainer.losses = lost
            advance(driver, trainer)
            assert [decision.stage for decision in driver.decisions] == [
                "start",
                "baseline",
                "lr",
                "train",
            ]
            assert driver.decisions[-1].values.trial is None
            assert "diverged" in driver.decisions[2].reason
            assert canonical(study)


class Foolish(Stage):
    """Decides differently at every look, or not at all."""

    name, share = "foolish", 0.0
    looks = 0

    def propose(self, context: Context):
        return []

    def decide(self, context: Context):
        type(self).looks += 1
        if self.looks == 1:
            raise ZeroDivisionError("a bug")
        return Decision(
            self.name,
            context.recipe,
            context.recipe.replace(batch_size=self.looks),
            f"Batch size {self.looks}",
            f"look {self.looks}",
        )


def test_a_stage_that_raises_stops_the_search_and_what_it_decides_later_stays_decided(tmp_path):
    def run():
        with Study(tmp_path / "s", tmp_path / "l") as study:
            driver = playbook(study, SMALL)
            driver.stages.append(Foolish())
            advance(driver, FakeTrainer(tau=30))
            return canonical(study)

    with pytest.raises(ZeroDivisionError):
        run()
    first = run()
    assert run() == first and "look 2" in first and Foolish.looks == 2


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    def run(name):
        (tmp_path / name).mkdir()
        with Study(tmp_path / name / "s", tmp_path / name / "l") as study:
            driver, trainer = playbook(study, SMALL), FakeTrainer(tau=30)
            while (spec := driver.next()) is not None:
                driver.record(*trainer.run(spec, driver.state(spec)))
            assert 0 <= study.seconds() < 60
            return canonical(study)

    whole, steady, jumps = run("steady"), time.time, iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: steady() + (-1) ** next(jumps) * 86_400)
    assert run("jumping") == whole


def test_two_hundred_trials_leak_no_file_no_thread_and_no_memory(tmp_path):
    def used():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        counts = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]
        return np.array([*counts, pages * os.sysconf("SC_PAGESIZE") / 2**20])

    story = Story(RunDir(tmp_path))
    with Study(tmp_path / "s", tmp_path / "l") as study:
        outcome, last, _ = FakeTrainer(tau=30).run(
            dataclasses.replace(playbook(study, SMALL).next(), until=50)
        )
        for number in range(200):
            spec = dataclasses.replace(outcome.spec, trial=f"t{number}")
            study.add_segment(dataclasses.replace(outcome, spec=spec), last, None)
            if number % 4 == 0:
                story.segment(study.outcome(spec.trial), start=0)
            if number == 50:
                before = used()
        files, threads, megabytes = used() - before
    assert files <= 2 and threads <= 2 and megabytes < 8


def test_a_study_that_another_process_holds_is_refused_however_it_holds_it(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from kerastune.study.database import Study\n"
        "study = Study(Path(sys.argv[1]) / 's', Path(sys.argv[1]) / 'l')\n"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout.readline() == "held\n"
    for stopped in (False, True):
        if stopped:
            holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(StudyError, match=f"in use by process {holder.pid} on"):
            Study(tmp_path / "s", tmp_path / "l")
        assert time.monotonic() - began < 1
    holder.kill()
    holder.communicate()
    Study(tmp_path / "s", tmp_path / "l").close()
