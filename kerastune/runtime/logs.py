"""One logger, two handlers: a line is on disk as soon as it is on the screen (P2)."""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.handlers
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

LOG_BYTES = 2**20  # after which a log file begins anew
OLDER = 3  # log files that are kept of those before
# All but tabs and ends of lines.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

# TensorFlow counts the traces of all models together. Each new model that predicts or is evaluated
# has one; ours are given batches of one kind, so none is traced again.
NEW_MODELS = re.compile(r"<function TensorFlowTrainer\..* triggered tf\.function retracing")

logger = logging.getLogger("kerastune")


class Lines(logging.Formatter):
    """A message is one line, and nothing in a log moves a terminal's cursor.

    Whatever the names in it hold.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\n", "\\n")

    def format(self, record: logging.LogRecord) -> str:
        return CONTROLS.sub(lambda found: repr(found.group())[1:-1], super().format(record))


class LogFile(logging.handlers.RotatingFileHandler):
    """A bounded log file that is given up, with a word, when it can't be written."""

    def __init__(self, path: Path):
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=OLDER, encoding="utf-8")
        self.setFormatter(Lines("%(asctime)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:
        logger.removeHandler(self)
        logger.warning(
            "%s can't be written (%s): from now on the log is on the screen only.",
            self.baseFilename,
            sys.exc_info()[1],
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@functools.cache
def console() -> Console:
    """The screen, looked at when it is first needed.

    While TensorFlow starts, the command holds it back.
    """
    return Console(stderr=True, force_jupyter=False, highlight=False)


def to_screen(verbose: bool = False) -> None:
    """Shows the log on the screen: warnings, and with `verbose` all of it.

    However often it is called, a line is shown once, also where a library gives the root logger a
    handler, as absl does.
    """
    logger.setLevel(logging.INFO)
    if not logging.root.handlers:
        of_others = logging.StreamHandler()
        of_others.setLevel(logging.WARNING)
        of_others.addFilter(lambda record: record.name != logger.name)
        logging.root.addHandler(of_others)
    shown = next((each for each in logger.handlers if isinstance(each, RichHandler)), None)
    if shown is None:
        shown = RichHandler(
            console=console(),
            show_path=False,
            show_level=False,
            show_time=False,
            highlighter=NullHighlighter(),
        )
        shown.setFormatter(Lines("%(message)s"))
        logger.addHandler(shown)
    shown.setLevel(logging.INFO if verbose else logging.WARNING)


@contextlib.contextmanager
def many_models() -> Iterator[None]:
    """Keeps one warning of TensorFlow's off the screen, for the length of a `with` block: that
    Keras's functions are traced often, where each of many models predicts or is evaluated once.

    What other functions trace again, such as a user's own, is still told.
    """
    of_tensorflow = logging.getLogger("tensorflow")

    def is_shown(record: logging.LogRecord) -> bool:
        return NEW_MODELS.search(record.getMessage()) is None

    of_tensorflow.addFilter(is_shown)
    try:
        yield
    finally:
        of_tensorflow.removeFilter(is_shown)


def files(path: Path) -> list[Path]:
    """The log file and the older ones beside it."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, OLDER + 1))]


@contextlib.contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Writes the log to a file too, for the length of a `with` block.

    Raises:
        OSError: when the file can't be opened; what can't be written later is told on the screen
            once.
    """
    logger.setLevel(logging.INFO)
    # Every line is flushed.
    handler = LogFile(path)
    logger.addHandler(handler)
    try:
        yield
    except BaseException:
        record = logger.makeRecord(
            logger.name, logging.ERROR, __file__, 0, "Ended early.", (), sys.exc_info()
        )
        handler.handle(record)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
