"""A command that is told to stop leaves within two seconds and says how to go on.

It may leave at any moment: what the study holds is whole after every event, so nothing needs to be
put in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kerastune.runtime import environment

AGAIN_SECONDS = 0.5  # after which what was not heard is raised again
# That Python has to leave what it is doing; TensorFlow may hold it for longer.
LEAVE_SECONDS = 1.0
# Names of the program, as installed and for `python -m kerastune`.
OURS = ("kerastune", "__main__.py")
_SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl
RUNS = "runs"  # folder of scripts that take the same flags


class Stopped(BaseException):
    """A signal arrived that ends the process; `status` is the exit status that tells so.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextlib.contextmanager
def listening(leave: Callable[[int], None]) -> Iterator[None]:
    """Raises `Stopped` in the main thread when a signal to stop arrives.

    Calls `leave` when it does not get out soon.

    What was raised and lost, in a destructor, is raised again at the end: who was told to stop says
    that it did.

    SIGHUP is left alone where it is ignored already, as `nohup` has it.

    Args:
        leave: called with the exit status, from another thread, `LEAVE_SECONDS` after the first
            signal; it should end the process.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    heard, told = socket.socketpair()
    told.setblocking(False)
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda each, frame: _raise(each, caught))
        for number in numbers
    }
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    # Python writes a signal's number here as it arrives, also while the main thread is inside
    # TensorFlow.
    descriptor = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    hook, sys.unraisablehook = sys.unraisablehook, lambda lost: _tell_of_others(lost, hook)
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(heard, numbers, over, leave), daemon=True)
    watch.start()
    try:
        yield
        if caught:
            raise Stopped(caught[0])
    finally:
        over.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(descriptor)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        watch.join()
        heard.close()


def behind(error: BaseException) -> Stopped | None:
    """The `Stopped` in whose handling an error arose.

    Such as a file that can't be closed in the middle of writing it.

    Example:
        >>> behind(ValueError("of its own")) is None
        True
    """
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error


def _raise(number: int, caught: list[int]) -> None:
    caught.append(number)

    def again(alarm: int, frame) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        raise Stopped(number)

    # Python drops what is raised in a destructor.
    signal.signal(signal.SIGALRM, again)
    again(number, None)


def _tell_of_others(lost, hook: Callable) -> None:
    if not isinstance(lost.exc_value, Stopped):
        hook(lost)


def _watch(
    heard: socket.socket,
    numbers: Sequence[int],
    over: threading.Event,
    leave: Callable[[int], None],
) -> None:
    while received := heard.recv(1):
        if received[0] in numbers:
            if not over.wait(LEAVE_SECONDS):
                leave(128 + received[0])
            return


def die_with_parent() -> None:
    """Has Linux kill this process when its parent ends, also one that is stopped (SIGSTOP).

    Elsewhere a process notices the end of its parent by itself, while it runs.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended meanwhile
            os._exit(0)


def leave(status: int, words: str) -> None:
    """Ends the process at once, with a last word.

    TensorFlow's threads are still at work, and nothing is left to write.

    Further signals are not heard: it is leaving already.
    """
    with contextlib.suppress(ValueError):  # from another thread than the main one
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
    # The terminal may be gone.
    with contextlib.suppress(OSError, ValueError):
        # The cursor, which a display may have hidden.
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{shown}\n{words}\n")
        sys.stderr.flush()
    environment.remove_generated()
    os._exit(status)


def resuming_command(arguments: Sequence[str], output_dir: str | os.PathLike = "") -> str:
    """The command that goes on with what a command had begun.

    What would begin anew is left out, and the output directory is named where the command left it
    open.

    Args:
        arguments: of the command, its program first, as `sys.argv` has them.
        output_dir: that it wrote to.

    Example:
        >>> resuming_command(
        ...     ["/usr/bin/kerastune", "tune", "--data=my data.npz", "--overwrite"], "/a/b-out"
        ... )
        "kerastune tune '--data=my data.npz' --output_dir=/a/b-out"
        >>> resuming_command(["study.py", "3"], "/a/b-out")
        'python study.py 3'
    """
    program, *rest = arguments or ["kerastune"]
    if Path(program).name not in OURS and Path(program).parent.name != RUNS:
        return shlex.join(["python", program, *rest])
    kept = [each for each in rest if not _names(each, "overwrite")]
    if any(_names(each, "flagfile") for each in kept):
        kept.append("--nooverwrite")  # the flagfile may have it
    if output_dir and not any(_names(each, "output_dir") for each in kept):
        kept.append(f"--output_dir={output_dir}")
    first = ["kerastune"] if Path(program).name in OURS else ["python", program]
    return shlex.join([*first, *kept])


def _names(argument: str, flag: str) -> bool:
    return argument.startswith("-") and argument.lstrip("-").partition("=")[0] == flag
