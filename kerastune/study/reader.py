"""What a study holds, for reading alone."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kerastune.analysis.trial_curves import Curves
from kerastune.study import lazy_curves
from kerastune.study.lazy_curves import LazyCurves
from kerastune.trial import Outcome, State

APPLICATION_ID = 0x6B74756E  # "ktun"
SCHEMA_VERSION = 3
# The second: SQLite's own message holds a damaged name.
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
# What a text or bytes give that are whole and yet not kerastune's.
STRANGE = (ValueError, TypeError, KeyError, RecursionError)
AT_HAND = 64  # trials whose curves stay in memory


class StudyError(ValueError):
    """The study on disk can't be used: damaged, in use, foreign, or of other settings."""


class Record:
    """What a study holds, for reading alone, also while another process writes it.

    Args:
        path: the database file.

    Raises:
        StudyError: when it is not there, damaged, foreign, or was left in the middle of a
            transaction.

    Example:
        >>> with Record("digits-out/study.sqlite") as record:  # doctest: +SKIP
        ...     record.decisions()
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not is_study(self.path):
            raise StudyError(
                f"{self.path} is not a study of kerastune: name a search's output directory."
            )
        self._database = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=5
        )
        self._begin()
        try:
            self._check_version(self._database)
        except sqlite3.OperationalError as error:
            # Reading alone can't take back what a killed process had begun to write.
            raise StudyError(
                f"{self.path} can't be read ({error}): run the command of the search again to "
                "repair it."
            ) from error
        except DAMAGE as error:
            raise self._damaged(error) from error

    def _begin(self) -> None:
        self._is_closed = False
        self._numbers: dict[str, float] = {}
        self._curves = functools.lru_cache(AT_HAND)(self._read_curves)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        return False

    def close(self) -> None:
        """Releases the file."""
        self._is_closed = True
        self._database.close()

    def outcomes(self) -> dict[str, Outcome]:
        """Every trial's outcome so far, in the order in which the trials began.

        Its segments are joined; curves and norms are read when they are used.

        Raises:
            StudyError: when what is read is not what was written.
        """
        return self._outcomes("")

    def outcome(self, trial: str) -> Outcome | None:
        """The outcome of one trial so far, or `None`."""
        return self._outcomes("WHERE trial = ?", (trial,)).get(trial)

    def _outcomes(self, where: str, values: tuple = ()) -> dict[str, Outcome]:
        found: dict[str, tuple[tuple[int, ...], Outcome, int]] = {}
        query = f"SELECT id, header, scores, digest FROM segments {where} ORDER BY id"
        for row, header, scores in self._rows(query, values):
            outcome, steps = self._understood(_segment, header, scores)
            rows, earlier, before = found.get(outcome.spec.trial, ((), None, 0))
            found[outcome.spec.trial] = ((*rows, row), outcome.after(earlier), before + steps)
        kept = self._kept()
        for trial, (rows, outcome, steps) in found.items():
            if outcome.example_scores is not None and trial not in kept:
                found[trial] = rows, dataclasses.replace(outcome, weights_kept=False), steps
        return {
            trial: dataclasses.replace(
                outcome, curves=LazyCurves(steps, functools.partial(self._stored, rows))
            )
            for trial, (rows, outcome, steps) in found.items()
        }

    def _stored(self, rows: tuple[int, ...]) -> Curves:
        if not self._is_closed:
            return self._curves(rows)
        with Record(self.path) as again:
            return again._curves(rows)

    def _read_curves(self, rows: tuple[int, ...]) -> Curves:
        query = "SELECT segment, arrays, digest FROM curves WHERE segment = ?"
        segments = [arrays for row in rows for _, arrays in self._rows(query, (row,))]
        if len(segments) != len(rows):
            raise self._damaged("a curve is missing")
        return self._understood(lazy_curves.joined, segments)

    def checkpoint(self, trial: str, kind: str) -> State | None:
        """The `"last"` or `"best"` state of a trial, or `None`.

        Raises:
            StudyError: when its bytes are not those that were written.
        """
        query = "SELECT trial, kind, data, digest FROM checkpoints WHERE trial = ? AND kind = ?"
        for _, _, data in self._rows(query, (trial, kind)):
            return self._understood(State.from_bytes, data)
        return None

    def _kept(self) -> set[str]:
        """Trials whose best weights are there."""
        try:
            return {
                trial
                for (trial,) in self._database.execute(
                    "SELECT trial FROM checkpoints WHERE kind = 'best'"
                )
            }
        except DAMAGE as error:
            raise self._damaged(error) from error

    def fact(self, name: str) -> Any:
        """A fact that was recorded, or `None`."""
        if name in self._numbers:
            return self._numbers[name]
        value = self._value("facts", name)
        if isinstance(value, (int, float)):
            self._numbers[name] = value  # asked for with every trial, and never changed
        return value

    def setting(self, name: str) -> Any:
        """A setting that the search was begun with, or `None`."""
        return self._value("settings", name)

    def _value(self, table: str, name: str) -> Any:
        query = f"SELECT name, value, digest FROM {table} WHERE name = ?"
        return next((self._parsed(value) for _, value in self._rows(query, (name,))), None)

    def spent(self) -> float:
        """Seconds that were spent by the last event, interruptions left out."""
        return next(self._rows("SELECT seconds, rows, digest FROM spent"))[0]

    def decisions(self) -> list[dict[str, Any]]:
        """All decisions in their order, as plain values."""
        rows = self._rows("SELECT stage, value, digest FROM decisions ORDER BY id")
        return [self._parsed(value) for _, value in rows]

    def _check_version(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StudyError(
                f"{self.path} is of study version {version}, this kerastune reads version "
                f"{SCHEMA_VERSION}: use the kerastune that wrote it, or start again with "
                "`overwrite=True`."
            )

    def _rows(self, query: str, values: tuple = ()) -> Iterator[tuple]:
        """The rows of a query whose last column is the digest of the others, without it."""
        try:
            for *parts, digest in self._database.execute(query, values):
                if with_digest(*parts)[-1] != digest:
                    raise self._damaged("a record does not match its checksum")
                yield tuple(parts)
        except DAMAGE as error:
            raise self._damaged(error) from error

    def _parsed(self, text: str) -> Any:
        return self._understood(json.loads, text)

    def _understood(self, read: Callable[..., Any], *stored: Any) -> Any:
        try:
            return read(*stored)
        except STRANGE as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error

    def _damaged(self, why: Any) -> StudyError:
        last_line = (str(why).splitlines() or [""])[-1]
        return StudyError(
            f"{self.path} is damaged ({last_line}): start again with `overwrite=True`."
        )


def _segment(header: str, scores: bytes) -> tuple[Outcome, int]:
    return lazy_curves.from_parts(json.loads(header), scores)


def is_study(path: Path) -> bool:
    """Whether a file is a study database, by the application id in its header."""
    try:
        with open(path, "rb") as stream:
            header = stream.read(72)
    except OSError:
        return False
    return header[:16] == b"SQLite format 3\0" and header[68:72] == APPLICATION_ID.to_bytes(
        4, "big"
    )


def with_digest(*parts: str | bytes | int) -> tuple:
    """Values of a row and the digest that tells whether they are still the same."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(data) + data)
    return (*parts, digest.hexdigest())
