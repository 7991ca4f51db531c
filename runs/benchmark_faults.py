"""Prints what hit a search and what it survived, as a table: python runs/benchmark_faults.py.

A search with the fake trainer of the tests runs in memory, a fault hits it, and it is taken up
again. It survived if it ended by itself or in one line, when all that it had been told was recorded
is still there, and when it comes to the very end of a search that nothing hit. With --writes,
--disks, --real_kills and --signals the commands themselves train: tune on digits, others on wine;
weights, predictions, figures, recipe, flags and the list of files must be those of a command that
nothing hit.
"""

import io
import itertools
import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parent.parent
LEAVES = 2.0  # seconds in which a stopped command is gone
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
BUDGET = "--budget=1500steps"
EXITING = 4  # flag of a process that has called exit, in Linux's /proc/PID/stat


# Commands that train or write models, each small; `BEFORE` is what another one begins with.
GIVEN = ("--data=wine", "--model=mlp", "--batch_size=16", "--learning_rate=0.03")
STEPS = "--total_steps=100"
COMMANDS = {
    "tune": ("tune", "--data=digits", "--model=mlp", BUDGET, "--noensemble", "--notta"),
    "ensemble": ("ensemble", *GIVEN, STEPS, "--members=3", "--notta"),
    "crossval": ("crossval", *GIVEN, STEPS, "--folds=2"),
    "prune": ("prune", *GIVEN, STEPS, "--sparsity=0.5"),
    "export": ("export",),
}
BEFORE = {"export": ("train", *GIVEN, STEPS)}
# Kills the command at one of its renames, by which every file comes to its name.
AT_WRITE = """
import atexit, os, sys
at, when, told = int(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1)
count = 0
def killing(rename):
    def renamed(*arguments, **named):
        global count
        count += 1
        if count == at and when == "before":
            os.kill(os.getpid(), 9)
        rename(*arguments, **named)
        if count == at and when == "after":
            os.kill(os.getpid(), 9)
    return renamed
os.replace, os.rename = killing(os.replace), killing(os.rename)
atexit.register(lambda: open(told, "w").write(str(count)))
from kerastune.cli import entry
sys.exit(entry.program())
"""


def start(name, output_dir, said, at=None, told=os.devnull):
    """A command, begun; what it says goes to a file.

    Args:
        name: of the command, a key of `COMMANDS` or `BEFORE`.
        output_dir: of the command.
        said: an open file.
        at: number of the rename at which it is killed, from 1 on, and `"before"` or `"after"` it.
        told: file that the number of all renames is written to.
    """
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    number, when = at or (0, "before")
    program = ["-c", AT_WRITE, str(number), when, str(told)]
    line = [
        sys.executable,
        *program,
        *COMMANDS.get(name, BEFORE.get(name[1:])),
        f"--output_dir={output_dir}",
    ]
    return subprocess.Popen(line, env={**os.environ, "PYTHONPATH": paths}, stdout=said, stderr=said)


def found(output_dir):
    """All that a command left but for times: decisions, figures, recipe, flags, weights,
    predictions, and the names of files.
    """
    state = {}
    for path in sorted(output_dir.rglob("*")):
        name = re.sub(r"events\.out.*", "events", str(path.relative_to(output_dir)))
        if path.is_dir() or path.suffix in (".log", ".lock", ".sqlite"):
            continue
        if path.suffix in (".json", ".jsonl", ".flags", ".csv"):
            text = path.read_text().replace(str(output_dir), "")
            state[name] = re.sub(r'"(other_)?seconds": [0-9.e-]+|,[0-9.]+,[0-9.]+$', "", text)
        elif path.suffix == ".keras":
            state[name] = weights(path)
        elif path.suffix == ".npz":
            with np.load(path) as file:
                state[name] = {key: file[key].tobytes() for key in file.files}
        else:
            state[name] = "there"
    # A row a trial, with its seconds.
    state.pop("trials.csv", None)
    return _of_last_version(state)


def _of_last_version(state):
    """Of an exported model only the latest version, since a finished export is made once more."""
    number = re.compile(r"(export/[^/]+)/(\d+)/")
    last = max((int(each[2]) for each in map(number.match, state) if each), default=0)
    others = {name for name in state if (each := number.match(name)) and int(each[2]) != last}
    return {
        number.sub(r"\1/latest/", name): held for name, held in state.items() if name not in others
    }


def weights(path):
    """The weights of a saved model, by their place in it."""
    held = {}
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(
            lambda name, each: (
                held.update({name: each[()].tobytes()})
                if isinstance(each, h5py.Dataset) and "optimizer" not in name
                else None
            )
        )
    return held


def differing(one, other):
    """Names of what differs between two commands' ends."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def prepared(name, directory, said):
    """A directory in which a command can begin; another's results are in it where it needs them."""
    output_dir = directory / f"{time.monotonic_ns()}" / f"{name}-out"
    output_dir.parent.mkdir()
    if name in BEFORE:
        first = directory / f"before-{name}-out"
        if not first.exists():
            start(f"={name}", first, said).wait()
        shutil.copytree(first, output_dir)
    return output_dir


def whole(name, directory, said):
    """What a command leaves that nothing hits, its seconds, and its number of renames."""
    output_dir, told = prepared(name, directory, said), directory / "count"
    began = time.monotonic()
    start(name, output_dir, said, told=told).wait()
    return found(output_dir), time.monotonic() - began, int(told.read_text())


def last_words(said):
    """The end of what was said."""
    said.seek(0)
    return said.read()[-1000:]


def judged(tally, name, output_dir, expected, said):
    """Takes a command up again until it ends by itself, and compares what it leaves."""
    status = start(name, output_dir, said).wait()
    other = differing(found(output_dir), expected)
    note = (
        f"{name}: status {status}, {other[:5]} differ: {last_words(said)}"
        if status or other
        else ""
    )
    tally.count(note, lost=bool(other))


def real(directory, tally, hit, least, name="tune"):
    """A command with real training that is hit at random moments until it is done."""
    generator = np.random.default_rng(1)
    with open(directory / "said", "w+") as said:
        expected, seconds, _ = whole(name, directory, said)
        while tally.tried < least:
            output_dir = prepared(name, directory, said)
            while True:
                process = start(name, output_dir, said)
                try:
                    process.wait(generator.uniform(0, seconds))
                except subprocess.TimeoutExpired:
                    hit(process, tally)
                    continue
                break
            other = differing(found(output_dir), expected)
            if process.returncode or other:
                tally.count(f"{name}: {other[:5]} differ: {last_words(said)}", lost=1)


def at_writes(directory, tally, name, least):
    """A command that is killed before or after files come to their names, all over its end."""
    with open(directory / "said", "w+") as said:
        expected, _, count = whole(name, directory, said)
        for place, at in enumerate(np.unique(np.linspace(1, count, least).round().astype(int))):
            output_dir = prepared(name, directory, said)
            when = ("before", "after")[place % 2]
            start(name, output_dir, said, (at, when)).wait()
            judged(tally, name, output_dir, expected, said)


def on_full_disks(directory, tally, name, sizes):
    """A command on a disk that is full: it ends in one line, and goes on once there is room."""
    from fault_harness import small_disk

    with open(directory / "said", "w+") as said:
        expected, _, _ = whole(name, directory, said)
        for kilobytes in sizes:
            place = directory / f"disk-{kilobytes}"
            with small_disk(place, f"{kilobytes}k") as remount:
                before = said.tell()
                status = start(name, place / "run-out", said).wait()
                said.seek(before)
                words = said.read()
                if status not in (0, 2) or "Traceback" in words:
                    tally.count(f"{name}, {kilobytes} kB: status {status}: {words[-1000:]}")
                    continue
                remount("size=256m")
                judged(tally, name, place / "run-out", expected, said)


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


def simulated():
    """The tallies of searches with the fake trainer, one after another."""
    from fault_harness import (
        WHERE,
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


def trained():
    """The tallies of commands that really train, one after another."""
    from fault_harness import Tally, may_mount

    for name in FLAGS.commands if FLAGS.writes else ():
        tally = Tally(f"kill -9 as {name} writes its files")
        in_directory(at_writes, tally, name, FLAGS.writes)
        yield tally
    training = [name for name in FLAGS.commands if name not in BEFORE]
    for name in training if FLAGS.disks and may_mount() else ():
        tally = Tally(f"full disk (tmpfs) while {name} runs")
        sizes = np.geomspace(100, 3000, FLAGS.disks).round().astype(int)
        in_directory(on_full_disks, tally, name, sizes)
        yield tally
    for name in FLAGS.commands if FLAGS.real_kills else ():
        tally = Tally(f"kill -9 at random moments of {name}")
        in_directory(real, tally, kill, FLAGS.real_kills, name)
        yield tally
    for name in FLAGS.commands if FLAGS.signals else ():
        tally = Tally(f"SIGINT, SIGTERM, SIGHUP, once and twice, while {name} runs")
        in_directory(real, tally, stop, FLAGS.signals, name)
        yield tally


def main(argv):
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # for the harness
    signal.signal(
        signal.SIGHUP, signal.SIG_DFL
    )  # `nohup` has it ignored, by commands that are stopped here, too
    logging.getLogger("kerastune").addHandler(logging.NullHandler())
    logging.getLogger("kerastune").propagate = False
    print("| fault | tried | survived | lost |\n|---|---|---|---|", flush=True)
    lost, began = 0, time.monotonic()
    for tally in itertools.chain(simulated() if FLAGS.simulated else (), trained()):
        print(f"| {tally.fault} | {tally.tried} | {tally.survived} | {tally.lost} |", flush=True)
        for note in tally.notes:
            print(note, file=sys.stderr, flush=True)
        lost += tally.tried - tally.survived + tally.lost
    print(f"\n{time.monotonic() - began:.0f} s.")
    return int(lost > 0)


if __name__ == "__main__":
    flags.DEFINE_integer("kills", 200, "Kills at random moments, with the fake trainer.", 0)
    flags.DEFINE_boolean("simulated", True, "Whether searches with the fake trainer are hit, too.")
    flags.DEFINE_list(
        "commands", list(COMMANDS), "Commands that are hit while they really train or write."
    )
    flags.DEFINE_integer(
        "real_kills", 2, "Kills at random moments of each command, up to a minute each.", 0
    )
    flags.DEFINE_integer("writes", 4, "Kills of each command as a file comes to its name.", 0)
    flags.DEFINE_integer("disks", 3, "Sizes of a disk that is full, with real training.", 0)
    flags.DEFINE_integer("signals", 3, "Signals to stop at random moments, with real training.", 0)
    flags.DEFINE_integer(
        "every", 1, "Of so many transactions, errors of the disk and sizes of it only one.", 1
    )
    flags.DEFINE_integer("cut_every", 7, "Of so many lengths that a study is cut off at one.", 1)
    flags.DEFINE_integer("flips", 2000, "Studies with flipped bytes.", 0)
    sys.exit(app.run(main))
