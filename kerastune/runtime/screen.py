"""What people watch while something runs: lines that stay, and a live bar below them.

On a terminal the bar is drawn anew in its place; without one there are the lines alone; in a
notebook both are one output of the cell, which needs no widgets.
"""

from __future__ import annotations

import contextlib
import html
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kerastune.runtime import logs

PER_SECOND = 4  # updates of a bar
WIDTHS = (11, None, 13, 8)  # of the columns of a row; `None` takes what the others leave
# Of the sixteen colors that every terminal has.
STYLES = ("cyan", "", "green", "dim")
NOTEBOOK_SHELL = "ZMQInteractiveShell"

Cells = Sequence[str]  # of a row: stage, headline, gain, seconds


class Screen:
    """A screen that shows nothing, and what every screen can do."""

    def line(self, text: str, style: str = "") -> None:
        """Adds a line that stays; `style` as rich has it, of the sixteen colors."""

    def row(self, cells: Cells) -> None:
        """Adds a row that stays, in the columns of all rows."""

    def bar(self, fraction: float, left: str, words: str) -> None:
        """Shows how far it is, in 0 to 1, how long it takes, and what is done now."""


class Terminal(Screen):
    """A terminal, or what is in its place.

    Args:
        console: to write to.
    """

    def __init__(self, console: Console):
        self._console, self._state = console, (0.0, "", "")
        self._spinner = Spinner("line", style="cyan")
        self.live = Live(
            console=console,
            get_renderable=self._drawn,
            transient=True,
            refresh_per_second=PER_SECOND,
        )

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))

    def row(self, cells: Cells) -> None:
        self._console.print(_grid(cells))

    def bar(self, fraction: float, left: str, words: str) -> None:
        self._state = (fraction, left, words)

    def _drawn(self) -> RenderableType:
        fraction, left, words = self._state
        above, below = Table.grid(padding=(0, 1), expand=True), Table.grid(padding=(0, 1))
        above.add_column(ratio=1)
        above.add_column(no_wrap=True)
        colors = {"complete_style": "cyan", "finished_style": "cyan", "style": "bright_black"}
        above.add_row(ProgressBar(1.0, min(fraction, 1.0), **colors), Text(left))
        below.add_row(self._spinner, Text(words, no_wrap=True, overflow="ellipsis"))
        return Group(above, below)


class Notebook(Screen):
    """One output of a notebook's cell, drawn anew a few times a second.

    Args:
        clock: gives seconds.
    """

    def __init__(self, clock: Any = time.monotonic):
        from IPython import display

        self._html, self._clock, self._shown = display.HTML, clock, -1.0
        self._lines: list[str] = []
        self._below = ""
        self._handle = display.display(self._html(""), display_id=True)

    def line(self, text: str, style: str = "") -> None:
        weight = "bold" if "bold" in style else "normal"
        self._lines.append(
            f'<div style="font-weight:{weight};min-height:.8em">{html.escape(text)}</div>'
        )
        self._update()

    def row(self, cells: Cells) -> None:
        widths = ("6.5em", "auto", "8em", "5em")
        told = "".join(
            f'<span style="flex:{"1" if width == "auto" else f"0 0 {width}"}">'
            f"{html.escape(cell)}</span>"
            for cell, width in zip(cells, widths, strict=True)
        )
        self._lines.append(f'<div style="display:flex;gap:.6em">{told}</div>')
        self._update()

    def bar(self, fraction: float, left: str, words: str) -> None:
        self._below = (
            f'<div><progress max="1" value="{min(fraction, 1.0):.3f}" style="width:50%"></progress>'
            f" {html.escape(left)}<br>{html.escape(words)}</div>"
        )
        if self._clock() - self._shown > 1 / PER_SECOND:
            self._update()

    def end(self) -> None:
        """Takes the bar away; the lines stay."""
        self._below = ""
        self._update()

    def _update(self) -> None:
        self._shown = self._clock()
        style = "max-width:60em;font-size:90%"
        shown = f'<div style="{style}">{"".join(self._lines)}{self._below}</div>'
        self._handle.update(self._html(shown))


@contextlib.contextmanager
def opened(verbose: int = 1) -> Iterator[Screen]:
    """The screen for the length of a `with` block.

    Args:
        verbose: 0 for one that shows nothing, 2 for the whole log beside it.
    """
    if not verbose:
        yield Screen()
        return
    logs.to_screen(verbose > 1)
    if in_notebook():
        notebook = Notebook()
        try:
            yield notebook
        finally:
            notebook.end()
        return
    terminal = Terminal(logs.console())
    with terminal.live:
        yield terminal


def in_notebook() -> bool:
    """Whether a notebook shows what is printed."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == NOTEBOOK_SHELL


@contextlib.contextmanager
def waiting(words: str, descriptor: int) -> Iterator[None]:
    """Says what is waited for, at once: on a terminal beside something that moves, until it is
    over.

    Args:
        words: to say.
        descriptor: of an open file to say it on.
    """
    stream: TextIO = os.fdopen(os.dup(descriptor), "w", encoding="utf-8", errors="replace")
    with stream:
        console = Console(file=stream, force_jupyter=False)
        if not console.is_terminal:
            stream.write(f"{words}\n")
            stream.flush()
            yield
            return
        with console.status(words, spinner="line", spinner_style="cyan"):
            yield


def _grid(cells: Cells) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    sides = ("left", "left", "right", "right")
    for width, style, side, cell in zip(WIDTHS, STYLES, sides, cells, strict=True):
        if cell or width is None:  # what is empty leaves its place to the headline
            least = {"ratio": 1} if width is None else {"width": width}
            table.add_column(style=style, justify=side, **least)
    table.add_row(*(Text(cell) for cell, width in zip(cells, WIDTHS) if cell or width is None))
    return table
