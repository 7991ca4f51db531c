"""Random stage plans under random schedules of faults: a few seeds by default, as many as a minute holds with `-m slow`.

What is checked, and how a seed is run again, says `fuzz_harness`.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kerastune.stages import order

HERE = Path(__file__).parent
STARTED = 2000  # where the seeds of `-m slow` begin


def fuzzed(*arguments):
    """Runs seeds in a process of their own, which has no TensorFlow; gives how many, and how often each fault hit."""
    paths = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "fuzz_harness.py"), *map(str, arguments)]
    ran = subprocess.run(command, env=paths, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_searches_survive_what_a_few_seeds_do_to_them():
    hits = fuzzed(*SEEDS)
    assert hits["seeds"] == len(SEEDS)
    assert {"crash", "killed", "stopped", "disk", "damage", "worker lost", "crew"} <= set(hits)


@pytest.mark.slow
def test_searches_survive_what_a_minute_of_seeds_does_to_them():
    hits = fuzzed(f"{STARTED}+", 60)
    assert hits["seeds"] >= 10
