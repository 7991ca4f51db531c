"""Random stage plans under random schedules of faults.

What is checked, and how a seed is run again, says `fuzz_harness`.
"""

import json
import os
import random
import subprocess
import sys

import pytest
from places import HELPERS, ROOT

from kerastune.playbook.stages import registry

# Every stage and every fault is among them, and each of eight ways to break the driver is noticed
# by one of them.
SEEDS = (2, 4, 5, 8, 19, 27, 42, 43, 49, 50, 53, 61, 79, 88, 113)
FIRST = 2000  # of the seeds that a minute holds


def felt(*arguments):
    """Runs seeds in a process without TensorFlow; gives how many, and how often each fault hit."""
    command = [sys.executable, str(HELPERS / "fuzz_harness.py"), *map(str, arguments)]
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, env=paths, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_searches_survive_what_a_few_seeds_do_to_them():
    found = felt(*SEEDS)
    assert found["seeds"] == len(SEEDS)
    assert {"crash", "killed_at", "stopped_at", "worker lost"} <= set(found)


@pytest.mark.slow
def test_searches_survive_what_a_minute_of_seeds_does_to_them():
    found = felt(FIRST, "--seconds=60")
    assert found["seeds"] >= 10
    assert {
        "crash",
        "killed_at",
        "stopped_at",
        "worker lost",
        "damage",
        "disk",
        "size",
        "held",
    } <= set(found)


def test_stages_are_taken_in_the_order_of_the_playbook_and_refused_in_one_line_otherwise():
    luck, known, taken = random.Random(1), registry.names(), 0
    for _ in range(3000):
        names = (
            luck.choices((*known, "lrr"), k=luck.randint(0, 3))
            if luck.random() < 0.5
            else list(known)
        )
        names = [name for name in names if luck.random() < 0.5]
        last = [name for name in names if name in ("ensemble", "tta", "distill", "prune")]
        right = names == sorted(set(names) & set(known), key=known.index)
        right &= last[-1:] not in (["distill"], ["prune"]) or len(last) == 1
        try:
            registry.check(names)
        except ValueError as error:
            assert not right and str(error).startswith("`stages` ") and "\n" not in str(error), (
                names
            )
        else:
            assert right, names
            taken += 1
    assert 100 < taken < 2900
