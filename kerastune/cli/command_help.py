"""What `kerastune` and `kerastune COMMAND` print when they are asked for help."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from kerastune.cli.command_flags import GROUPS
from kerastune.cli.commands import Command
from kerastune.cli.flag import Flag

WIDTH = 100
COLUMN = 30  # where the words on a flag begin
HARD_SPACE = "\N{NO-BREAK SPACE}"
IN_PLACE = {"integer": "N", "number": "NUMBER", "number or none": "NUMBER|none"}  # of a value


def overview(commands: Iterable[Command]) -> str:
    """All commands, a line each."""
    return "\n".join(
        [
            "usage: kerastune COMMAND [--flag=value ...] [--flagfile=FILE]",
            "",
            "commands:",
            *(f"  {command.name:10}{command.help}" for command in commands),
            "",
            "kerastune COMMAND --help shows its flags, kerastune --version the version.",
        ]
    )


def of_command(command: Command) -> str:
    """One command: its flags in groups, and examples."""
    lines = [
        f"kerastune {command.name}: {command.help}",
        "",
        f"usage: kerastune {command.name} [--flag=value ...] [--flagfile=FILE]",
        "Defaults are in brackets; later flags win over earlier ones.",
    ]
    own = {flag.name: flag for flag in command.own}
    for title, group in GROUPS.items():
        shown = [own.get(flag.name, flag) for flag in group if flag.name in command.flags]
        if shown:
            lines += ["", f"{command.titles.get(title, title)}:"]
            lines += [line for flag in shown for line in _lines(flag)]
    return "\n".join([*lines, "", "Examples:", *(f"  {each}" for each in command.examples)])


def _lines(flag: Flag) -> list[str]:
    written, default = f"  {_written(flag)}", _default(flag)
    # A default that fits on a line stays on one.
    default = default.replace(" ", HARD_SPACE) if len(default) < COLUMN else default
    words = textwrap.wrap(f"{flag.help} {default}", WIDTH - COLUMN)
    words = [line.replace(HARD_SPACE, " ") for line in words]
    if len(written) > COLUMN - 2:
        return [written, *(" " * COLUMN + line for line in words)]
    first, *others = words
    return [f"{written:{COLUMN}}{first}", *(" " * COLUMN + line for line in others)]


def _written(flag: Flag) -> str:
    """A flag as it is typed.

    Example:
        >>> _written(Flag("keep", "Weights to keep.", 20, "integer", "models"))
        '--keep=N'
    """
    if flag.kind == "switch":
        return f"--[no]{flag.name}"
    if flag.kind == "choice":
        return f"--{flag.name}={'|'.join(filter(None, flag.choices))}"
    return f"--{flag.name}={IN_PLACE.get(flag.kind) or flag.unit}"


def _default(flag: Flag) -> str:
    """The default in words and with its unit, where there is one.

    Example:
        >>> _default(Flag("keep", "Weights to keep.", 20, "integer", "models"))
        '[20 models]'
    """
    if flag.unset:
        return f"[{flag.unset}]"
    if flag.kind == "switch":
        return "[on]" if flag.default else "[off]"
    if flag.kind == "list":
        return f"[{','.join(flag.default)}]"
    if flag.default in ("", ()):
        return ""
    if flag.kind not in IN_PLACE or flag.default is None:
        return f"[{'none' if flag.default is None else flag.default}]"
    unit = flag.unit.removesuffix("s") if flag.default == 1 else flag.unit
    return f"[{flag.default:g} {unit}".rstrip() + "]"
