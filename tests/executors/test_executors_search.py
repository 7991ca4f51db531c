"""Whole searches with real training: inline and in processes, some of them killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "kerastune", "tune", "--data=digits", "--budget=3000steps"]


def tune(output_dir, *flags, meanwhile=lambda process: None):
    command = [*COMMAND, f"--output_dir={output_dir}", *flags]
    # How many threads share a sum changes how it is rounded: as many for all.
    variables = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    meanwhile(process)
    _, told = process.communicate()
    assert process.returncode == 0, told
    return decisions(output_dir)


def decisions(output_dir):
    """What was decided, but for seconds."""
    lines = (Path(output_dir) / "decisions.jsonl").read_text().splitlines()
    return [_timeless(json.loads(line)) for line in lines]


def _timeless(value):
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items() if name != "seconds"}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    return tune(tmp_path_factory.mktemp("inline") / "out")


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_processes_decide_what_inline_decides(inline, tmp_path, jobs):
    assert tune(tmp_path / "out", "--executor=processes", f"--jobs={jobs}") == inline


def workers_of(process):
    """Ids of the driver's children that train; another one keeps book for `multiprocessing`."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(each) for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()
    ]


def killing(log, number, seed):
    """Kills a worker so many times while the search goes on; gives what does so."""
    generator, killed = random.Random(seed), []

    def meanwhile(process):
        while process.poll() is None and len(killed) < number:
            time.sleep(generator.uniform(0.2, 1.5))
            at_work = (
                log.exists()
                and "probe: " in log.read_text()
                and "Stage train" not in log.read_text()
            )
            workers = workers_of(process) if at_work and process.poll() is None else []
            if workers:
                os.kill(generator.choice(workers), signal.SIGKILL)
                killed.append(workers)
                time.sleep(8)  # until another has started

    return meanwhile, killed


def test_a_worker_killed_in_the_middle_changes_nothing(inline, tmp_path):
    total = 0
    for seed in range(5):
        out = tmp_path / str(seed)
        meanwhile, killed = killing(out / "kerastune.log", 2, seed)
        assert tune(out, "--executor=processes", "--jobs=2", meanwhile=meanwhile) == inline
        total += len(killed)
    assert total >= 5
