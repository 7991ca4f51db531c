"""What stands on a screen of 80 columns: rows, the bar, and nothing that needs more colors."""

import io
import os
import re

from rich.console import Console

from kerastune.runtime import logs, screen

MORE_COLORS = re.compile(r"\x1b\[[0-9;]*(38|48);")


def written(width=80, terminal=True, colors="standard"):
    stream = io.StringIO()
    shown = {"force_terminal": terminal, "color_system": colors, "width": width}
    return stream, Console(file=stream, force_jupyter=False, **shown)


def plain(stream):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


def test_a_row_is_one_line_of_80_columns_with_gain_and_seconds_at_its_end():
    stream, console = written()
    screen.Terminal(console).row(("lr", "Learning rate 0.03 for 500 steps", "+2.6 points", "2.4 s"))
    (line,) = plain(stream).splitlines()
    assert len(line) == 80
    assert line.startswith("lr ") and re.search(r"steps +\+2.6 points +2.4 s$", line)
    stream, console = written()
    headline = "No test-time augmentation: examples are predicted as is"
    screen.Terminal(console).row(("tta", headline, "", "0.5 s"))  # takes the place of the gain
    (line,) = plain(stream).splitlines()
    assert len(line) == 80 and headline in line


def test_the_bar_is_two_lines_of_sixteen_colors_and_is_gone_at_the_end():
    stream, console = written()
    terminal = screen.Terminal(console)
    with terminal.live:
        terminal.bar(0.5, "about 20 s left, at most 41 s", "x" * 200)
        terminal.live.refresh()
    drawn = [line for line in plain(stream).splitlines() if line.strip()]
    assert any("about 20 s left, at most 41 s" in line and "━" in line for line in drawn)
    assert all(len(line) <= 80 for line in drawn) and any("x…" in line for line in drawn)
    assert not MORE_COLORS.search(stream.getvalue())
    assert stream.getvalue().rstrip().endswith("\x1b[2K")


def test_without_a_terminal_there_are_rows_alone():
    stream, console = written(terminal=False, colors=None)
    terminal = screen.Terminal(console)
    with terminal.live:
        terminal.bar(0.5, "about 20 s left", "training")
        terminal.row(("lr", "Learning rate 0.03", "", "2.4 s"))
    assert "about" not in stream.getvalue() and "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("lr  ")


def test_what_is_waited_for_is_said_at_once():
    read, write = os.pipe()
    with screen.waiting("Loading …", write):
        assert os.read(read, 100).decode() == "Loading …\n"
    os.close(read)
    os.close(write)


def test_warnings_are_shown_and_the_rest_only_when_asked_for(monkeypatch):
    stream, console = written(terminal=False, colors=None)
    monkeypatch.setattr(logs, "console", lambda: console)
    monkeypatch.setattr(logs.logger, "handlers", [])
    for verbose, seen in ((False, ["careful"]), (True, ["detail", "careful"])):
        logs.to_screen(verbose)
        logs.logger.info("detail")
        logs.logger.warning("careful")
        assert stream.getvalue().split() == seen
        stream.seek(0), stream.truncate()
    assert len(logs.logger.handlers) == 1


class Cell:
    """Stands in for IPython's display of one output."""

    def __init__(self):
        self.shown = []

    def update(self, html):
        self.shown.append(html)


def test_a_notebook_has_one_output_whose_bar_goes_and_whose_lines_stay(monkeypatch):
    cell, now = Cell(), iter(range(100))
    notebook = object.__new__(screen.Notebook)
    monkeypatch.setattr(screen, "Notebook", lambda: notebook)
    notebook._html, notebook._clock, notebook._shown = str, lambda: next(now), -1.0
    notebook._lines, notebook._below, notebook._handle = [], "", cell
    monkeypatch.setattr(screen, "in_notebook", lambda: True)
    monkeypatch.setattr(logs.logger, "handlers", [])
    with screen.opened() as shown:
        shown.row(("lr", "<b>", "", "1 s"))
        shown.bar(0.5, "about 3 s left", "training")
        assert "<progress" in cell.shown[-1] and "&lt;b&gt;" in cell.shown[-1]
    assert "<progress" not in cell.shown[-1] and "&lt;b&gt;" in cell.shown[-1]
