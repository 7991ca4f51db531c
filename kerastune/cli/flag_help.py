"""What `--help` shows: the commands, or the flags of one command in groups."""

from __future__ import annotations

import shutil
import textwrap

from kerastune.cli.command_flags import BY_NAME, Flag
from kerastune.cli.commands import COMMANDS, Command

HEADINGS = {
    "data": "Data",
    "model": "Model",
    "budget": "Budget",
    "search": "Search",
    "ensemble": "Ensemble and test-time augmentation",
    "folds": "Folds",
    "pruning": "Pruning",
    "distillation": "Distillation",
    "export": "Export",
    "output": "Output",
    "execution": "Execution",
    "recipe": "Recipe (where a search starts, or what is trained)",
}
WIDTH = 34  # of the column of flags
MOST_WIDTH = 110


def of_all() -> str:
    """The commands, a line each."""
    lines = ["usage: kerastune COMMAND [--flag=value ...] [--flagfile=FILE]", "", "commands:"]
    lines += [f"  {command.name:10}{command.help}" for command in COMMANDS.values()]
    lines += ["", "kerastune COMMAND --help shows the flags of a command; kerastune --version."]
    return "\n".join(lines)


def of_command(command: Command) -> str:
    """The flags that a command uses, in groups, with their defaults, and two examples."""
    width = min(shutil.get_terminal_size().columns, MOST_WIDTH)
    lines = [f"kerastune {command.name}: {command.help}"]
    for group, heading in HEADINGS.items():
        rows = [flag for flag in BY_NAME.values() if flag.group == group]
        rows = [flag for flag in rows if flag.name in command.flags]
        if rows:
            lines += ["", f"{heading}:"]
            for flag in rows:
                lines += _lines(flag, command, width)
    lines += ["", "  --flagfile=FILE".ljust(WIDTH) + "Reads flags from a file; later flags win."]
    lines += ["", "Examples:", *(f"  {example}" for example in command.examples)]
    return "\n".join(lines)


def _lines(flag: Flag, command: Command, width: int) -> list[str]:
    value = "|".join(choice for choice in flag.choices if choice) or flag.value
    shown = f"  --[no]{flag.name}" if flag.kind == "bool" else f"  --{flag.name}={value}"
    text = f"{flag.help} {_default(flag)}".rstrip()
    if flag.name in command.needs:
        text = f"{flag.help.partition(';')[0].rstrip('.')}. Required."
    start = shown.ljust(WIDTH) if len(shown) < WIDTH else f"{shown}\n{' ' * WIDTH}"
    wrapped = textwrap.wrap(text, max(width - WIDTH, 30))
    return [start + wrapped[0], *(" " * WIDTH + line for line in wrapped[1:])]


def _default(flag: Flag) -> str:
    if flag.default in ("", None, []):
        return "Default: none." if flag.kind == "optional float" else ""
    if flag.kind == "bool":
        return f"Default: {'yes' if flag.default else 'no'}."
    default = flag.default
    return f"Default: {','.join(default) if isinstance(default, list) else default}."
