"""Prints what hit a search and what it survived, as a table: python runs/benchmark_faults.py.

A search with the fake trainer of the tests runs in memory, a fault hits it, and it is taken up
again. It survived if it ended by itself or in one line, when all that it had been told was recorded
is still there, and when it comes to the very end of a search that nothing hit. With --real_kills
and --signals the command itself trains on digits.
"""

import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parent.parent
LEAVES = 2.0  # seconds in which a stopped command is gone
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
BUDGET = "--budget=1500steps"
EXITING = 4  # flag of a process that has called exit, in Linux's /proc/PID/stat


def command(output_dir):
    """A small search with real training."""
    line = [sys.executable, "-m", "kerastune", "tune", "--data=digits", "--model=mlp", BUDGET]
    return [*line, "--noensemble", "--notta", f"--output_dir={output_dir}"]


def start(output_dir, said):
    """The command, begun; what it says goes to a file."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command(output_dir), env={**os.environ, "PYTHONPATH": paths}, stdout=said, stderr=said
    )


def decided(output_dir):
    """What a finished search decided, and the figures of its model; times left out."""
    text = (output_dir / "decisions.jsonl").read_text() + (output_dir / "result.json").read_text()
    return re.sub(r'"(other_)?seconds": [0-9.e-]+', "", text)


def real(directory, tally, hit, least):
    """Searches with real training that are hit at random moments until they are done."""
    generator = np.random.default_rng(1)
    with open(directory / "said", "w+") as said:
        began = time.monotonic()
        start(directory / "whole-out", said).wait()
        seconds, searches = time.monotonic() - began, 0
        whole = decided(directory / "whole-out")
        while tally.tried < least:
            output_dir, searches = directory / f"{searches}-out", searches + 1
            while True:
                process = start(output_dir, said)
                try:
                    process.wait(generator.uniform(0, seconds))
                except subprocess.TimeoutExpired:
                    hit(process, tally)
                    continue
                break
            if process.returncode or decided(output_dir) != whole:
                said.seek(0)
                tally.count(f"search {searches} ended differently: {said.read()[-1000:]}", lost=1)


def kill(process, tally):
    """SIGKILL."""
    process.kill()
    process.wait()
    tally.count()


def stop(process, tally):
    """A signal to stop, or two of them: the command must be gone soon, with its status."""
    if has_exited(process):
        process.wait()
        return
    number = list(SIGNALS)[tally.tried % len(SIGNALS)]
    began = time.monotonic()
    for _ in range(1 + tally.tried % 2):
        process.send_signal(number)
    status, seconds = process.wait(), time.monotonic() - began
    # Python itself is not there yet in the first moments.
    expected = status in (SIGNALS[number], -number)
    tally.count(
        ""
        if expected and seconds < LEAVES
        else f"signal {number}: status {status} after {seconds:.1f} s"
    )


def has_exited(process):
    """Whether a process has called exit: the kernel still takes its memory apart, and no signal
    reaches it any more.
    """
    try:
        state = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:  # another system
        return process.poll() is not None
    return bool(int(state.rpartition(")")[2].split()[6]) & EXITING)


def in_directory(call, *arguments):
    """Calls with a temporary directory first."""
    with tempfile.TemporaryDirectory() as directory:
        return call(pathlib.Path(directory), *arguments)


def tallies():
    """The tallies asked for, one after another."""
    from fault_harness import (
        WHERE,
        Tally,
        crashes_everywhere,
        disk_errors,
        flips,
        full_databases,
        full_disks,
        in_memory,
        journals_lost,
        kills_at_random,
        may_mount,
        read_only_disks,
        stops_at_random,
        truncations,
    )

    yield in_memory(kills_at_random, FLAGS.kills)
    yield in_memory(stops_at_random, FLAGS.kills)
    for where in WHERE:
        yield in_memory(crashes_everywhere, where, FLAGS.every)
    yield in_memory(journals_lost, FLAGS.every)
    yield in_memory(disk_errors, every=FLAGS.every)
    yield in_memory(full_databases, FLAGS.every)
    if may_mount():
        yield in_memory(full_disks, 16 * FLAGS.every)
        yield in_memory(read_only_disks)
    yield in_memory(truncations, FLAGS.cut_every)
    yield in_memory(flips, FLAGS.flips)
    for tally, hit, least in (
        (Tally("kill -9 while Keras trains"), kill, FLAGS.real_kills),
        (
            Tally("SIGINT, SIGTERM, SIGHUP, once and twice, while the command runs"),
            stop,
            FLAGS.signals,
        ),
    ):
        if least:
            in_directory(real, tally, hit, least)
            yield tally


def main(argv):
    sys.path.insert(0, str(ROOT / "tests"))  # for the harness
    signal.signal(
        signal.SIGHUP, signal.SIG_DFL
    )  # `nohup` has it ignored, by commands that are stopped here, too
    logging.getLogger("kerastune").addHandler(logging.NullHandler())
    logging.getLogger("kerastune").propagate = False
    print("| fault | tried | survived | lost |\n|---|---|---|---|", flush=True)
    lost, began = 0, time.monotonic()
    for tally in tallies():
        print(f"| {tally.fault} | {tally.tried} | {tally.survived} | {tally.lost} |", flush=True)
        for note in tally.notes:
            print(note, file=sys.stderr, flush=True)
        lost += tally.tried - tally.survived + tally.lost
    print(f"\n{time.monotonic() - began:.0f} s.")
    return int(lost > 0)


if __name__ == "__main__":
    flags.DEFINE_integer("kills", 200, "Kills at random moments, with the fake trainer.", 0)
    flags.DEFINE_integer(
        "real_kills", 3, "Kills at random moments, with real training: up to a minute each.", 0
    )
    flags.DEFINE_integer("signals", 3, "Signals to stop at random moments, with real training.", 0)
    flags.DEFINE_integer(
        "every", 1, "Of so many transactions, errors of the disk and sizes of it only one.", 1
    )
    flags.DEFINE_integer("cut_every", 7, "Of so many lengths that a study is cut off at one.", 1)
    flags.DEFINE_integer("flips", 2000, "Studies with flipped bytes.", 0)
    sys.exit(app.run(main))
