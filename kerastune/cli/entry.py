"""The door: parses and checks flags, runs a command, and tells what went wrong in one line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from absl import flags

import kerastune
from kerastune.cli import flag_checks, flag_help
from kerastune.cli.command_flags import define, recipe_of
from kerastune.cli.commands import COMMANDS, Command
from kerastune.runtime import naming, signals
from kerastune.study import run_directory

HELP = ("help", "--help", "-h", "-help", "--helpfull")
PIPE_CLOSED = 141  # as the shell has it: 128 and SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0, 2 for what the user must mend, 130 or 143 when it was stopped, 141 when
        nobody reads what it prints any more.
    """
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        # What is still to be written is flushed when Python ends: to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _main(arguments: list[str]) -> int:
    name, rest = arguments[0] if arguments else "help", arguments[1:]
    if name in ("--version", "version"):
        _print(f"kerastune {kerastune.__version__}")
        return 0
    if name in HELP:
        _print(flag_help.of_all())
        return 0
    if name not in COMMANDS:
        hint = naming.did_you_mean(name, COMMANDS)
        told = f"kerastune: there is no command {name!r}{hint}"
        print(f"{told}\n\n{flag_help.of_all()}", file=sys.stderr)
        return 2
    command = COMMANDS[name]
    if any(argument in HELP[1:] for argument in rest):
        _print(flag_help.of_command(command))
        return 0
    return _run_guarded(command, rest)


def _print(text: str) -> None:
    print(text, flush=True)


def _run_guarded(command: Command, arguments: list[str]) -> int:
    flag_values = flags.FlagValues()
    define(flag_values)

    def leave(status: int) -> None:
        words = ["kerastune", command.name, *arguments]
        going_on = signals.resuming_command(words, flag_values.output_dir)
        told = f"kerastune was stopped. It goes on from here with:\n  {going_on}"
        signals.leave(status, told)

    try:
        with signals.listening(leave):
            return run(command, arguments, flag_values)
    except signals.Stopped as stopped:
        return leave(stopped.status)
    except BrokenPipeError:
        raise
    except Exception as error:
        if (stopped := signals.behind(error)) is not None:
            return leave(stopped.status)
        if not _is_told(error):
            raise
        if not isinstance(error, (flags.Error, OSError)) and not _is_ours(error):
            traceback.print_exception(error)  # of the user's own code, or of a library under it
        print(f"kerastune {command.name}: {error}", file=sys.stderr)
        _remove_empty(flag_values)
        return 2


def _is_told(error: Exception) -> bool:
    """Whether an error is told in one line: a worker that is lost again and again, a network that

    no memory holds. A bug is not.
    """
    is_told = isinstance(error, (RuntimeError, MemoryError)) and _is_ours(error)
    return is_told or isinstance(error, (flags.Error, ValueError, OSError, ImportError))


def _remove_empty(flag_values: flags.FlagValues) -> None:
    """Removes an output directory that was made for this run; it stays if something is in it."""
    is_named = not flag_values.is_parsed() or flag_values["output_dir"].present
    if not is_named and flag_values.output_dir:
        with contextlib.suppress(OSError):
            os.rmdir(flag_values.output_dir)


def program(argv: Sequence[str] | None = None) -> int:
    """`main` for a process of its own, which an interrupt ends also in its last moments.

    While Python takes leave it would print an interrupt and end with status 0, as if nobody had
    told it to stop.
    """
    status = main(argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by kerastune itself, whose message then says all."""
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(where).is_relative_to(Path(__file__).parent.parent)


def run(command: Command, arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Parses and checks the flags, and runs a command.

    Raises:
        absl.flags.Error: for an unknown flag or a value that it does not take.
        ValueError: for settings or data that can't be used.
        OSError: for files that are not there or can't be written.
    """
    flag_checks.check_used(command, arguments)
    surplus = flag_values(["kerastune", *_flags_of_trained(arguments), *arguments])[1:]
    if surplus:
        raise ValueError(f"{surplus[0]!r} is not a flag; flags begin with --, as in --data=digits.")
    flag_checks.check_given(command, flag_values)
    if command.is_light:
        return command.run(flag_values, None)
    recipe = recipe_of(flag_values)
    output_dir = Path(flag_values.output_dir or run_directory.new())
    # A null byte is refused by its own name, not by `resolve`.
    output_dir = output_dir if "\0" in str(output_dir) else output_dir.resolve()
    flag_checks.check_output_dir(output_dir)
    flag_values.output_dir = str(output_dir)
    return command.run(flag_values, recipe)


def _flags_of_trained(arguments: Sequence[str]) -> list[str]:
    """The flagfile of the output directory that `--trained` names; given flags win over it."""
    asked = flags.FlagValues()
    define(asked)
    asked(["kerastune", *arguments])
    return [f"--flagfile={run_directory.RunDir(asked.trained).flags}"] if asked.trained else []
