"""The study database: one SQLite file, the only truth on disk.

Every event is one transaction with full synchronization, so a search that is killed at any moment
goes on from the last event. Curves are stored as compressed float32 arrays; nothing is pickled.
What it holds is read by `Record`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerastune.runtime import locks
from kerastune.study import lazy_curves
from kerastune.study.reader import (
    APPLICATION_ID,
    DAMAGE,
    SCHEMA_VERSION,
    Record,
    StudyError,
    is_study,
    with_digest,
)
from kerastune.trial import Outcome, State

SCHEMA = """
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE segments(
    id INTEGER PRIMARY KEY, trial TEXT NOT NULL, start INTEGER NOT NULL, header TEXT NOT NULL,
    scores BLOB NOT NULL, digest TEXT NOT NULL, UNIQUE(trial, start));
CREATE TABLE curves(segment INTEGER PRIMARY KEY, digest TEXT NOT NULL, arrays BLOB NOT NULL);
CREATE TABLE checkpoints(
    trial TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY(trial, kind));
CREATE TABLE facts(name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE decisions(
    id INTEGER PRIMARY KEY, stage TEXT UNIQUE NOT NULL, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE spent(seconds REAL NOT NULL, rows INTEGER NOT NULL, digest TEXT NOT NULL);
"""
TABLES = ("settings", "segments", "curves", "checkpoints", "facts", "decisions")


def _beside(path: Path, lock_path: Path) -> Path:
    """The lock of a study: beside the file itself, where its name is a link to it."""
    return path.resolve().parent / lock_path.name if path.is_symlink() else lock_path


class Study(Record):
    """The record of one search, open for writing by this process alone.

    Args:
        path: the database file; made when it does not exist.
        lock_path: file whose lock keeps a second process away.
        clear: called when the lock is held and before the file is opened, to delete an old study.
        clock: monotonic seconds; what passes between two events counts as spent.

    Raises:
        StudyError: when another process holds the lock, or the file is damaged, foreign or of a
            newer version.
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
        try:
            self._lock = locks.Lock(_beside(self.path, Path(lock_path)))
        except locks.LockError as error:
            raise StudyError(str(error)) from error
        try:
            clear()
            self._database = self._open()
        except BaseException:
            self._lock.close()
            raise
        self._begin()
        self._counted_until = clock()
        self._noted = self._spent, self._counted_until  # what the next commit records

    def close(self) -> None:
        """Counts the time since the last event, and releases the file and the lock.

        What is free of the file is given back.
        """
        try:
            with self._transaction():
                pass
            # On a full disk it stays as large as it is. Of a script alone, Python takes every step.
            with contextlib.suppress(*DAMAGE):
                self._database.executescript("PRAGMA incremental_vacuum;")
        finally:
            super().close()
            self._lock.close()

    def announce(self, running: Sequence[str]) -> None:
        """Says what is at work now, a line each, for `kerastune status`; nothing is recorded."""
        self._lock.tell(running)

    def settings(self, values: dict[str, Any]) -> None:
        """Records the settings of a new study, or compares them with those it was begun with.

        Raises:
            StudyError: naming the first setting that differs.
        """
        known = dict(self._rows("SELECT name, value, digest FROM settings"))
        if not known:
            with self._transaction():
                for name, value in values.items():
                    self._put("settings", "name, value", with_digest(name, _json(value)))
            return
        for name in [*values, *known]:
            now = _json(values[name]) if name in values else "not set"
            if known.get(name, "not set") != now:
                raise StudyError(
                    f"`{name}` was {known.get(name, 'not set')} when this search started and is "
                    f"{now} now: use the old value to continue, another output directory, or "
                    "`overwrite=True` to start again."
                )

    def add_segment(self, outcome: Outcome, last: State | None, best: State | None) -> None:
        """Records a segment.

        Args:
            outcome: of the segment.
            last: the state at its end, if it can go on from there.
            best: the weights of its best evaluation, if they are to be kept.
        """
        spec = outcome.spec
        header, scores, arrays = lazy_curves.parts_of(outcome)
        with self._transaction():
            row = self._database.execute(
                "SELECT coalesce(max(id), 0) + 1 FROM segments"
            ).fetchone()[0]
            digested = with_digest(row, _json(header), scores)
            self._put(
                "segments", "trial, start, id, header, scores", (spec.trial, spec.start, *digested)
            )
            self._put("curves", "segment, arrays", with_digest(row, arrays))
            for kind, state in (("last", last), ("best", best)):
                if state is not None:
                    self._forget(spec.trial, kind)
                    digested = with_digest(spec.trial, kind, state.to_bytes())
                    self._put("checkpoints", "trial, kind, data", digested)

    def drop_checkpoints(self, trials: list[str]) -> None:
        """Forgets the `"last"` states of trials that will not go on."""
        with self._transaction():
            for trial in trials:
                self._forget(trial, "last")

    def put_fact(self, name: str, value: Any) -> None:
        """Records a fact once; a later value for the same name is refused by the database."""
        with self._transaction():
            self._put("facts", "name, value", with_digest(name, _json(value)))

    def add_decision(
        self,
        stage: str,
        value: dict[str, Any],
        forget: Sequence[str] = (),
        ended: Sequence[str] = (),
    ) -> None:
        """Records what a stage decided, and forgets weights with it.

        Args:
            stage: its name.
            value: the decision as plain values.
            forget: trials whose `"best"` weights go.
            ended: trials that will not go on, whose `"last"` states go.
        """
        with self._transaction():
            for trial, kind in [
                *((each, "best") for each in forget),
                *((each, "last") for each in ended),
            ]:
                self._forget(trial, kind)
            self._put("decisions", "stage, value", with_digest(stage, _json(value)))

    def seconds(self) -> float:
        """Wall time spent so far, interruptions left out."""
        return self._spent + self._clock() - self._counted_until

    def _open(self) -> sqlite3.Connection:
        journal = self.path.with_name(f"{self.path.name}-journal")
        if not journal.exists():
            self._refuse_foreign()
        # Where the file system has no locks, SQLite can't have any either, and ours keeps others
        # away.
        place = f"{self.path.resolve().as_uri()}{'?nolock=1' if self._lock.is_file else ''}"
        database = sqlite3.connect(place, uri=True, isolation_level=None, timeout=5)
        try:
            database.execute("PRAGMA synchronous = FULL")
            # Reading makes the file, and rolls back a creation that was killed: both leave it
            # empty.
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._refuse_foreign()
            if self.path.stat().st_size == 0:
                database.executescript(
                    "BEGIN; PRAGMA auto_vacuum = INCREMENTAL;"
                    f"PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA}"
                    f"INSERT INTO spent VALUES (0.0, 0, '{with_digest(0.0, 0)[-1]}'); COMMIT;"
                )
            self._check(database)
        except DAMAGE as error:
            database.close()
            raise self._damaged(error) from error
        except StudyError:
            database.close()
            raise
        return database

    def _refuse_foreign(self) -> None:
        if self.path.exists() and self.path.stat().st_size and not is_study(self.path):
            raise StudyError(
                f"{self.path} is not a study of kerastune: name another output directory."
            )

    def _check(self, database: sqlite3.Connection) -> None:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        self._check_version(database)
        counted = database.execute("SELECT seconds, rows, digest FROM spent").fetchone()
        self._spent, rows, digest = counted or (0.0, 0, "")
        found = sum(
            _number(each)
            for table in TABLES
            for (each,) in database.execute(f"SELECT digest FROM {table}")
        )
        # A part of a transaction, whose journal is lost, would be whole rows.
        if digest != with_digest(self._spent, rows)[-1] or found != rows:
            raise sqlite3.DatabaseError("rows are missing")
        for row, digest, arrays in database.execute("SELECT segment, digest, arrays FROM curves"):
            if with_digest(row, arrays)[-1] != digest:
                raise sqlite3.DatabaseError("a curve does not match its checksum")

    def _put(self, table: str, names: str, row: tuple) -> None:
        """Adds a row, whose last value is the digest of the others."""
        marks = ", ".join("?" * len(row))
        self._database.execute(f"INSERT INTO {table}({names}, digest) VALUES ({marks})", row)
        self._change += _number(row[-1])

    def _forget(self, trial: str, kind: str) -> None:
        where = "FROM checkpoints WHERE trial = ? AND kind = ?"
        self._change -= sum(
            _number(each)
            for (each,) in self._database.execute(f"SELECT digest {where}", (trial, kind))
        )
        self._database.execute(f"DELETE {where}", (trial, kind))

    @contextlib.contextmanager
    def _transaction(self):
        """`BEGIN` … `COMMIT` around one event; the time since the last event is counted with it."""
        try:
            now, self._change = self._clock(), 0
            if self._database.in_transaction:
                # A signal came between its error and its rollback.
                self._database.execute("ROLLBACK")
            self._database.execute("BEGIN IMMEDIATE")
            spent, rows = self._database.execute("SELECT seconds, rows FROM spent").fetchone()
            self._note(spent)
            self._noted = spent + now - self._counted_until, now
            yield
            counted = with_digest(self._noted[0], rows + self._change)
            self._database.execute("UPDATE spent SET seconds = ?, rows = ?, digest = ?", counted)
            self._database.execute("COMMIT")
        except BaseException as error:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, DAMAGE):
                raise StudyError(
                    f"{self.path} can't be written ({error}); its contents are kept."
                ) from error
            raise
        self._note(self._noted[0])

    def _note(self, spent: float) -> None:
        """Goes by the seconds that are recorded.

        A signal may have come when a transaction was recorded, and this was not yet.
        """
        if spent != self._spent:
            self._spent, self._counted_until = spent, self._noted[1]


def _number(digest: str) -> int:
    """A number of a row; the sum of all is recorded with every transaction."""
    return zlib.crc32(str(digest).encode())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
