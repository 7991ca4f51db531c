"""The study database: one SQLite file that holds everything that was tried and decided, the only truth on disk.

Every event is one transaction with full synchronisation, so a search that is killed at any moment goes on from the
last event. Curves are stored as compressed float32 arrays; nothing is pickled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.trial import Outcome, State, TrialSpec

APPLICATION_ID = 0x6B74756E  # "ktun"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE segments(
    id INTEGER PRIMARY KEY, trial TEXT NOT NULL, start INTEGER NOT NULL, header TEXT NOT NULL, arrays BLOB NOT NULL,
    digest TEXT NOT NULL, UNIQUE(trial, start));
CREATE TABLE checkpoints(
    trial TEXT NOT NULL, kind TEXT NOT NULL, step INTEGER NOT NULL, digest TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY(trial, kind));
CREATE TABLE facts(name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE decisions(
    id INTEGER PRIMARY KEY, stage TEXT UNIQUE NOT NULL, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE spent(id INTEGER PRIMARY KEY CHECK (id = 1), seconds REAL NOT NULL);
INSERT INTO spent VALUES (1, 0.0);
"""
# The second: SQLite's own message holds a damaged name.
DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
ARRAYS = ("norm_steps", "update_norms", "weight_norms", "example_scores")


class StudyError(ValueError):
    """The study on disk can't be used: damaged, in use, foreign, or of other settings."""


class Record:
    """What a study holds, for reading alone, also while another process writes it.

    Args:
        path: the database file.

    Raises:
        StudyError: when it is not there, damaged, foreign, or was left in the middle of a transaction.

    Example:
        >>> with Record("digits-out/study.sqlite") as record:  # doctest: +SKIP
        ...     record.decisions()
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not is_study(self.path):
            raise StudyError(f"{self.path} is not there or not a study of kerastune: name a search's output directory.")
        self._database = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            self._check_version(self._database)
        except sqlite3.OperationalError as error:
            # Reading alone can't take back what a killed process had begun to write.
            why = f"{self.path} can't be read ({error}): the search's own command, run again, mends what was cut off."
            raise StudyError(why) from error

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
        return False

    def close(self) -> None:
        """Releases the file."""
        self._database.close()

    def outcomes(self) -> dict[str, Outcome]:
        """Every trial's outcome so far, its segments joined, in the order in which the trials began."""
        found: dict[str, Outcome] = {}
        for header, arrays in self._rows("SELECT header, arrays, digest FROM segments ORDER BY id"):
            outcome = _outcome(json.loads(header), _unpack(arrays))
            found[outcome.spec.trial] = outcome.after(found.get(outcome.spec.trial))
        return found

    def checkpoint(self, trial: str, kind: str) -> State | None:
        """The `"last"` or `"best"` state of a trial, or `None`.

        Raises:
            StudyError: when its bytes are not those that were written.
        """
        query = "SELECT data, digest FROM checkpoints WHERE trial = ? AND kind = ?"
        return next((State.from_bytes(data) for (data,) in self._rows(query, (trial, kind))), None)

    def fact(self, name: str) -> Any:
        """A fact that was recorded, or `None`."""
        query = "SELECT name, value, digest FROM facts WHERE name = ?"
        return next((json.loads(value) for _, value in self._rows(query, (name,))), None)

    def known_settings(self) -> dict[str, Any]:
        """The settings that the search was begun with, by name."""
        rows = self._rows("SELECT name, value, digest FROM settings")
        return {name: json.loads(value) for name, value in rows}

    def decisions(self) -> list[dict[str, Any]]:
        """All decisions in their order, as plain values."""
        rows = self._rows("SELECT stage, value, digest FROM decisions ORDER BY id")
        return [json.loads(value) for _, value in rows]

    def _check_version(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise StudyError(
                f"{self.path} is of study version {version}, this kerastune reads version {SCHEMA_VERSION}: "
                "use the kerastune that wrote it, or begin anew with --overwrite."
            )

    def _rows(self, query: str, values: tuple = ()) -> Iterator[tuple]:
        """The rows of a query whose last column is the digest of the others, without it."""
        try:
            for *parts, digest in self._database.execute(query, values):
                if _with_digest(*parts)[-1] != digest:
                    raise self._damaged("a record is not what was written")
                yield tuple(parts)
        except DAMAGE as error:
            raise self._damaged(error) from error

    def _damaged(self, why: Any) -> StudyError:
        last_line = str(why).splitlines()[-1]
        return StudyError(f"{self.path} is damaged ({last_line}): begin anew with --overwrite.")


class Study(Record):
    """The record of one search, open for writing by this process alone.

    Args:
        path: the database file; made when it does not exist.
        lock_path: file whose lock keeps a second process away.
        clear: called when the lock is held and before the file is opened, to delete an old study.
        clock: monotonic seconds; what passes between two events counts as spent.

    Raises:
        StudyError: when another process holds the lock, or the file is damaged, foreign or of a newer version.
    """

    def __init__(
        self,
        path: Path,
        lock_path: Path,
        clear: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.path = Path(path)
        self._clock = clock
        self._lock = _take_lock(Path(lock_path))
        try:
            clear()
            self._database = self._open()
        except BaseException:
            self._lock.close()
            raise
        self._counted_until = clock()

    def close(self) -> None:
        """Counts the time since the last event and releases the file and the lock."""
        with self._transaction():
            pass
        self._database.close()
        self._lock.close()

    def settings(self, values: dict[str, Any]) -> None:
        """Records the settings of a new study, or compares them with those it was begun with.

        Raises:
            StudyError: naming the first setting that differs.
        """
        known = dict(self._rows("SELECT name, value, digest FROM settings"))
        if not known:
            with self._transaction():
                rows = [_with_digest(name, _json(value)) for name, value in values.items()]
                self._database.executemany("INSERT INTO settings VALUES (?, ?, ?)", rows)
            return
        for name, value in values.items():
            if known.get(name) != _json(value):
                raise StudyError(
                    f"`{name}` was {known.get(name, 'not set')} when this search began and is {_json(value)} now: "
                    "give it the old value to go on, name another output directory, or begin anew with --overwrite."
                )

    def add_segment(self, outcome: Outcome, last: State | None, best: State | None) -> None:
        """Records a segment with the state at its end and, when there is one, the weights of its best evaluation."""
        spec = outcome.spec
        header = dataclasses.asdict(dataclasses.replace(outcome, curves={}, **{name: None for name in ARRAYS}))
        arrays = {name: getattr(outcome, name) for name in ARRAYS if getattr(outcome, name) is not None}
        arrays |= {f"curve/{name}": values for name, values in outcome.curves.items()}
        with self._transaction():
            self._database.execute(
                "INSERT INTO segments(trial, start, header, arrays, digest) VALUES (?, ?, ?, ?, ?)",
                (spec.trial, spec.start, *_with_digest(_json(header), _pack(arrays))),
            )
            for kind, state in (("last", last), ("best", best)):
                if state is not None:
                    self._put_checkpoint(spec.trial, kind, state)

    def drop_checkpoints(self, trials: list[str]) -> None:
        """Forgets the `"last"` states of trials that will not go on."""
        with self._transaction():
            rows = [(trial,) for trial in trials]
            self._database.executemany("DELETE FROM checkpoints WHERE trial = ? AND kind = 'last'", rows)

    def put_fact(self, name: str, value: Any) -> None:
        """Records a fact once; a later value for the same name is refused by the database."""
        with self._transaction():
            self._database.execute("INSERT INTO facts VALUES (?, ?, ?)", _with_digest(name, _json(value)))

    def add_decision(self, stage: str, value: dict[str, Any]) -> None:
        """Records what a stage decided."""
        with self._transaction():
            self._database.execute(
                "INSERT INTO decisions(stage, value, digest) VALUES (?, ?, ?)", _with_digest(stage, _json(value))
            )

    def seconds(self) -> float:
        """Wall time spent so far, interruptions left out."""
        recorded = self._database.execute("SELECT seconds FROM spent").fetchone()[0]
        return recorded + self._clock() - self._counted_until

    def _open(self) -> sqlite3.Connection:
        if self.path.exists() and self.path.stat().st_size and not is_study(self.path):
            raise StudyError(f"{self.path} is not a study of kerastune: name another output directory.")
        database = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        try:
            database.execute("PRAGMA synchronous = FULL")
            # Reading makes the file, and rolls back a creation that was killed: both leave it empty.
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if self.path.stat().st_size == 0:
                database.executescript(
                    f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
                    f"{SCHEMA} COMMIT;"
                )
            self._check(database)
        except DAMAGE as error:
            database.close()
            raise self._damaged(error) from error
        except StudyError:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self._check_version(database)
        if database.execute("SELECT typeof(seconds) FROM spent").fetchall() != [("real",)]:
            raise sqlite3.DatabaseError("the time spent is missing")

    def _put_checkpoint(self, trial: str, kind: str, state: State) -> None:
        data = state.to_bytes()
        row = (trial, kind, state.step, _with_digest(data)[-1], data)
        self._database.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)", row)

    @contextlib.contextmanager
    def _transaction(self):
        """`BEGIN` … `COMMIT` around one event; the time since the last event is counted with it."""
        now = self._clock()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("UPDATE spent SET seconds = seconds + ?", (now - self._counted_until,))
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, DAMAGE):
                raise StudyError(f"{self.path} can't be written ({error}); what it holds is kept.") from error
            raise
        self._counted_until = now


def is_study(path: Path) -> bool:
    """Whether a file is a study database, by the application id in its header."""
    try:
        with open(path, "rb") as stream:
            header = stream.read(72)
    except OSError:
        return False
    return header[:16] == b"SQLite format 3\0" and header[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _take_lock(path: Path):
    stream = open(path, "a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.seek(0)
        holder = stream.read().strip() or "another process"
        stream.close()
        raise StudyError(f"{path.parent} is in use by {holder}: wait for it, or name another directory.") from None
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()}")
    stream.flush()
    return stream


def _with_digest(*parts: str | bytes) -> tuple:
    """Values of a row and the digest that tells whether they are still the same."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(data) + data)
    return (*parts, digest.hexdigest())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _unpack(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive}


def _outcome(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    values = {
        **header,
        **{name: arrays.get(name) for name in ARRAYS},
        "spec": TrialSpec.from_dict(header["spec"]),
        "curves": {name[6:]: array for name, array in arrays.items() if name.startswith("curve/")},
    }
    for name in ("evals", "layers", "notes"):
        values[name] = tuple(values[name])
    return Outcome(**values)
