"""A command that is told to stop: it leaves soon whatever it is at, with its status and a word."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from places import ROOT

from kerastune.runtime import environment, signals

BEGINNING = """
import hashlib, os, signal, sys, threading, time
from kerastune.runtime import signals
def leave(status):
    signals.leave(status, f"left with {status}")
def main():
    with signals.listening(leave):
        print("ready", flush=True)
        {work}
try:
    main()
except signals.Stopped as stopped:
    leave(stopped.status)
"""
WORK = {
    "sleeping": "time.sleep(60)",
    "inside C for long": "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)",
    "in a destructor": "exec('class A:\\n def __del__(self): time.sleep(0.4)\\nwhile True: A()')",
    "waiting for a thread": (
        "t = threading.Thread(target=time.sleep, args=(60,)); t.start(); t.join()"
    ),
    "swallowing it": "exec('while True:\\n try: time.sleep(1)\\n except BaseException: pass')",
}


def begun(work):
    process = subprocess.Popen(
        [sys.executable, "-c", BEGINNING.replace("{work}", work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


INTERRUPT, END = signal.SIGINT, signal.SIGTERM
CASES = [(work, (INTERRUPT,)) for work in WORK]
CASES += [
    ("sleeping", (INTERRUPT, INTERRUPT)),
    ("swallowing it", (INTERRUPT, END)),
    ("inside C for long", (END,)),
]


def test_it_leaves_within_two_seconds_with_its_status():
    processes = {case: begun(WORK[case[0]]) for case in CASES}
    began, seconds = {}, {}
    for (work, numbers), process in processes.items():
        began[work, numbers] = time.monotonic()
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.02)
    while len(seconds) < len(CASES) and time.monotonic() < max(began.values()) + 30:
        ended = [
            case
            for case, process in processes.items()
            if case not in seconds and process.poll() is not None
        ]
        seconds |= {case: time.monotonic() - began[case] for case in ended}
        time.sleep(0.01)
    for case, process in processes.items():
        process.kill()
        _, error = process.communicate()
        status = 128 + case[1][0]
        assert process.returncode == status and f"left with {status}" in error, case
        assert seconds[case] < 2 and "Traceback" not in error, (case, error)


def test_an_interrupt_after_the_command_ends_the_process_too():
    code = (
        "atexit.register(lambda: (print('leaving', flush=True), time.sleep(20))); "
        "sys.exit(entry.program(['help']))"
    )
    code = f"import atexit, sys, time; from kerastune.cli import entry; {code}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert any(line == "leaving\n" for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT


def test_a_terminal_that_is_gone_is_no_reason_to_stay():
    process = begun(WORK["sleeping"])
    process.stderr.close()
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=10) == 129


def test_what_was_lost_in_the_last_moment_is_told_at_the_end():
    with pytest.raises(signals.Stopped) as raised:
        with signals.listening(lambda status: None):
            with contextlib.suppress(signals.Stopped):  # as a destructor does
                signal.raise_signal(signal.SIGTERM)
    assert raised.value.status == 143
    with signals.listening(lambda status: None):
        pass


def test_an_error_that_arose_while_it_left_does_not_hide_it():
    with pytest.raises(ValueError) as raised:
        try:
            raise signals.Stopped(signal.SIGINT)
        finally:
            with contextlib.closing(open(os.devnull)):
                raise ValueError("can't be closed in the middle")
    assert signals.behind(raised.value).status == 130
    assert signals.behind(signals.Stopped(signal.SIGTERM)).status == 143
    assert signals.behind(ValueError("alone")) is None


def test_what_nohup_ignores_stays_ignored_and_all_is_put_back():
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    }
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(signals.Stopped) as stopped, signals.listening(lambda status: None):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        assert stopped.value.status == 143
    finally:
        signal.signal(signal.SIGHUP, earlier)
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    "arguments, command",
    [
        (["kerastune", "tune", "--data", "a.npz"], "kerastune tune --data a.npz --output_dir=/o"),
        (["/x/kerastune/__main__.py", "tune", "--output_dir=b"], "kerastune tune --output_dir=b"),
        (["kerastune", "tune", "-overwrite", "--output_dir", "b"], "kerastune tune --output_dir b"),
        (
            ["kerastune", "tune", "--overwrite=true", "--output_dir=b"],
            "kerastune tune --output_dir=b",
        ),
        (
            ["kerastune", "tune", "--flagfile=f", "--output_dir=b"],
            "kerastune tune --flagfile=f --output_dir=b --nooverwrite",
        ),
        (["runs/tune.py", "--overwrite"], "python runs/tune.py --output_dir=/o"),
        (["a script.py", "--overwrite"], "python 'a script.py' --overwrite"),
        ([], "kerastune --output_dir=/o"),
    ],
)
def test_the_command_that_goes_on_never_begins_anew(arguments, command):
    assert signals.resuming_command(arguments, "/o") == command


def test_a_stopped_process_dies_with_its_parent():
    child = (
        "import os, signal, sys, time\nfrom kerastune.runtime import signals\n"
        "signals.die_with_parent()\nprint(os.getpid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(60)"
    )
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as running:
        number = int(running.stdout.readline())
        wait_for(lambda: state_of(number) == "T")
        running.kill()
    wait_for(lambda: state_of(number) in ("", "Z"))


def state_of(number):
    """As Linux has it: T for a stopped process, Z for one that nobody has waited for."""
    try:
        with open(f"/proc/{number}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_for(is_so):
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_files_that_tensorflow_wrote_for_this_process_are_removed(tmp_path):
    named, other = tmp_path / "__autograph_generated_file1.py", tmp_path / "mine.py"
    for path in (named, other):
        path.write_text("")
    modules = {path.stem: types.SimpleNamespace(__file__=str(path)) for path in (named, other)}
    environment.remove_generated(modules)
    assert not named.exists() and other.exists()
