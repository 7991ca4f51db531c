"""The door: finds the command, reads and checks its flags, and tells errors in one line. Nothing
heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from absl import flags

import kerastune
from kerastune.cli import command_flags, command_help, flag_checks, typed_words
from kerastune.cli.commands import COMMANDS, Command, users_of
from kerastune.runtime import naming, signals
from kerastune.study import run_directory

HELP = ("help", "--help", "-h", "-help", "--helpfull", "--helpshort")
# Flags that may begin with `~`, which a shell leaves alone behind an equals sign.
PATHS = (
    *("data", "validation_data", "test_data", "output_dir", "pretrained", "teacher", "trained"),
    *("export_dir", "predictions", "against"),
)
PIPE_CLOSED = 141  # exit status of a program that a closed pipe ends, in a shell


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0, 2 for what the user must mend, 130 or 143 when it
    was stopped.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if (status := _answer(arguments)) is not None:
        return status
    command = COMMANDS[arguments[0]]
    rest = _named(command, arguments[1:])
    flag_values = flags.FlagValues()
    command_flags.define(flag_values)

    def leave(status: int) -> None:
        if _is_passing(command, flag_values):
            shutil.rmtree(flag_values.output_dir, ignore_errors=True)
            signals.leave(status, "kerastune was stopped.")
        if flag_values.is_parsed() and flag_values.output_dir:
            run_directory.mark_stopped(run_directory.RunDir(flag_values.output_dir).report)
        going_on = signals.resuming_command(["kerastune", *arguments], flag_values.output_dir)
        signals.leave(status, f"kerastune was stopped. Continue with:\n  {going_on}")

    try:
        with signals.listening(leave):
            return run(command, rest, flag_values)
    except signals.Stopped as stopped:
        return leave(stopped.status)
    except Exception as error:
        if (stopped := signals.behind(error)) is not None:
            return leave(stopped.status)
        if isinstance(error, BrokenPipeError) and _is_pipe_closed():
            raise
        _tell(command, error, flag_values)
        _remove_new(flag_values)
        return 2


def program(argv: Sequence[str] | None = None) -> int:
    """`main` for a process of its own, which an interrupt ends also in its last moments, and which
    ends quietly when nobody reads what it prints, as with `| head`.

    While Python takes leave it would print an interrupt and end with status 0, as if nobody had
    told it to stop.
    """
    try:
        status = main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_pipe_closed():
            raise
        # Python flushes once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = PIPE_CLOSED
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def run(command: Command, arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Parses and checks the flags, and runs a command.

    Raises:
        absl.flags.Error: for an unknown flag or a value that it does not take.
        ValueError: for settings or data that can't be used, and for a flag that other commands
            take.
    """
    given, flagfiles = _split(arguments)
    flag_checks.flagfiles(flagfiles)
    _refuse_unused(command, given)
    command_flags.parse(flag_values, [*_flags_of_trained(command, arguments), *arguments])
    for name in PATHS:
        flag_values[name].value = os.path.expanduser(flag_values[name].value)
    for check in command.checks:
        check(flag_values)
    for name in flag_values:
        if name not in command.flags:
            flag_values[name].unparse()  # a flagfile had it for another command
    with contextlib.ExitStack() as passing:
        if _is_passing(command, flag_values):
            place = tempfile.TemporaryDirectory(prefix="kerastune-")
            flag_values.output_dir = passing.enter_context(place)
        named = flag_values.output_dir or run_directory.new()
        flag_values.output_dir = str(Path(named).resolve())
        lines = command.run(flag_values, command.stages(flag_values))
    print(*lines, sep="\n", end="\n" if lines else "")
    return 0


def _answer(arguments: Sequence[str]) -> int | None:
    """The exit status where help, the version or a hint is all there is to say."""
    name, *rest = arguments or ["help"]
    if name == "--version":
        print(f"kerastune {kerastune.__version__}")
        return 0
    if name in HELP and rest and rest[0] in COMMANDS:
        name, rest = rest[0], ["--help"]
    if name in HELP:
        print(command_help.overview(COMMANDS.values()))
        return 0
    if name not in COMMANDS:
        hint = naming.did_you_mean(name, COMMANDS) or "."
        print(f"kerastune: unknown command {name!r}{hint}\n", file=sys.stderr)
        print(command_help.overview(COMMANDS.values()), file=sys.stderr)
        return 2
    if any(each in HELP[1:] for each in rest):
        print(command_help.of_command(COMMANDS[name]))
        return 0
    return None


def _named(command: Command, arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, that which may stand alone as the flag that it is.

    Example:
        >>> _named(COMMANDS["why"], ["--output_dir", "digits-out", "dropout"])
        ['--output_dir', 'digits-out', '--about=dropout']
    """
    found: list[str] = []
    for each in arguments:
        follows = bool(found) and found[-1].startswith("-") and "=" not in found[-1]
        is_bare = bool(command.bare) and not each.startswith("-") and not follows
        found.append(f"--{command.bare}={each}" if is_bare else each)
    return found


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is given on the command line itself, and the flagfiles that it names.

    Example:
        >>> _split(["--data=iris", "--flagfile=a", "--flagfile", "b"])
        (['--data=iris'], ['a', 'b'])
    """
    given, flagfiles, rest = [], [], list(arguments)
    while rest:
        name, equals, value = rest[0].partition("=")
        if name not in ("--flagfile", "-flagfile"):
            given.append(rest.pop(0))
            continue
        rest.pop(0)
        flagfiles.append(value if equals or not rest else rest.pop(0))
    return given, flagfiles


def _refuse_unused(command: Command, given: Sequence[str]) -> None:
    flag_values = command_flags.parsed(given)
    for name in flag_values:
        if flag_values[name].present and name not in command.flags:
            raise ValueError(
                f"`--{name}` is not a flag of {command.name}, but of "
                f"{', '.join(users_of(name))}: leave it out."
            )


def _flags_of_trained(command: Command, arguments: Sequence[str]) -> list[str]:
    """The flagfile of the output directory that `--trained` names; flags that are given win over
    it.
    """
    directory = os.path.expanduser(command_flags.parsed(arguments).trained)
    if not directory or "trained" not in command.flags:
        return []
    flag_checks.trained(directory)
    return [f"--flagfile={run_directory.RunDir(directory).flags}"]


def _is_passing(command: Command, flag_values: flags.FlagValues) -> bool:
    """Whether what a command writes goes when it ends."""
    return command.is_passing and not flag_values["output_dir"].present


def _is_pipe_closed() -> bool:
    """Whether nobody reads what is printed any more."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):  # no file, but something in its place
        poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _tell(command: Command, error: Exception, flag_values: flags.FlagValues) -> None:
    """Tells an error in one line; raises what is a bug."""
    # A worker that is lost again and again, a network that no memory holds: our words say it,
    # others' bugs do not.
    is_told = isinstance(error, (RuntimeError, MemoryError)) and _is_ours(error)
    if not (is_told or isinstance(error, (flags.Error, ValueError, OSError, ImportError))):
        raise error
    if not isinstance(error, (flags.Error, OSError)) and not _is_ours(error):
        traceback.print_exception(error)  # of the user's own code, or of a library under it
    is_ours = not isinstance(error, flags.Error) and _is_ours(error)
    words = typed_words.as_flags(str(error), set(flag_values)) if is_ours else str(error)
    print(f"kerastune {command.name}: {words}", file=sys.stderr)


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by kerastune itself, whose message then says all."""
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(where).is_relative_to(Path(__file__).parent.parent)


def _remove_new(flag_values: flags.FlagValues) -> None:
    """Removes an output directory that was made for this run, unless something is in it."""
    is_new = (
        flag_values.is_parsed() and flag_values.output_dir and not flag_values["output_dir"].present
    )
    if is_new:
        with contextlib.suppress(OSError):
            os.rmdir(flag_values.output_dir)
