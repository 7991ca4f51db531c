"""One logger, two handlers: a line is on disk as soon as it is on the screen (P2)."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from pathlib import Path

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

logger = logging.getLogger("kerastune")


@functools.cache
def console() -> Console:
    """The screen, looked at when it is first needed: while TensorFlow starts, the command holds it back."""
    return Console(stderr=True)


def to_screen() -> None:
    """Shows the log on the screen, once however often it is called."""
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, RichHandler) for handler in logger.handlers):
        handler = RichHandler(
            console=console(), show_path=False, show_level=False, highlighter=NullHighlighter(), log_time_format="%X"
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)


@contextlib.contextmanager
def to_file(path: Path):
    """Writes the log to a file too, for the length of a `with` block."""
    logger.setLevel(logging.INFO)
    # A FileHandler flushes every line.
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    except BaseException:
        record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "Ended early.", (), sys.exc_info())
        handler.handle(record)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
