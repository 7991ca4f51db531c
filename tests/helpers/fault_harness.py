"""Faults that a search must survive, for the tests and for `runs/benchmark_faults.py`.

A search with the fake trainer runs in a fork, a fault hits it, and it is taken up again without
one. It survived when it ended by itself or with one line, when everything that it had been told was
recorded is still there, and when it comes to the very end of a search that nothing hit. Forks need
a process without TensorFlow and without threads.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import errno
import functools
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from fake_trainer import FakeTrainer, canonical, memory, playbook

from kerastune.runtime import logs, signals
from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.reader import StudyError
from kerastune.study.run_directory import RunDir

SMALL = "2500steps"
REFUSED = 2  # exit status of what the command would say in one line
STOPPED = 130
WHERE = ("before", "inside", "after")
ERRORS = (errno.ENOSPC, errno.EIO)
OPERATIONS = ("open", "write", "fsync", "replace", "mkdir")


@dataclasses.dataclass
class Tally:
    """What came of one kind of fault.

    Args:
        fault: its name.
        tried: how often it hit.
        survived: how often the search came to its end all the same, or refused in one line what was
            damaged.
        lost: recorded events that were gone afterwards, or ends that were different.
        notes: what went wrong, for a person to read.
    """

    fault: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def count(self, note: str = "", lost: int = 0) -> None:
        """Adds a fault that hit; with a note when it was not survived."""
        self.tried += 1
        self.survived += not note
        self.lost += lost
        self.notes += [note] if note else []

    def check(self) -> None:
        """Refuses a tally in which anything was not survived."""
        if self.survived < self.tried or self.lost:
            raise AssertionError(
                f"{self.fault}: {self.tried} tried, {self.survived} survived, {self.notes[:3]}"
            )


def small() -> FakeTrainer:
    """A trainer whose whole search takes a moment."""
    return FakeTrainer(tau=30)


class SlowTrainer(FakeTrainer):
    """Takes a moment for every segment, so that kills hit everything in between."""

    def run(self, spec, state=None):
        time.sleep(0.002)
        return super().run(spec, state)


def search(
    directory: Path,
    trainer: FakeTrainer | None = None,
    make_study: Callable[..., Study] = Study,
    acknowledged: Callable[[str], None] = lambda event: None,
) -> str:
    """One search with every file of ours to its end; gives all that it found as one text."""
    run_dir, trainer = RunDir(directory / "out"), trainer or small()
    run_dir.open()
    with make_study(run_dir.study, run_dir.lock) as study, logs.to_file(run_dir.log):
        study.settings({"budget": SMALL, "keep": 1})
        driver = playbook(
            study, SMALL, on_decision=lambda decision: acknowledged(f"decision {decision.stage}")
        )
        while (spec := driver.next()) is not None:
            study.announce([spec.trial])
            driver.record(*trainer.run(spec, driver.state(spec)))
            acknowledged(f"segment {spec.trial} {spec.start}")
        if study.fact("result") is None:
            study.put_fact("result", {"recipe": driver.recipe.to_dict()})
        run_directory.write_text(run_dir.result, json.dumps(study.fact("result"), sort_keys=True))
        run_directory.write_text(run_dir.decisions, json.dumps(study.decisions(), sort_keys=True))
        return canonical(study) + run_dir.result.read_text() + run_dir.decisions.read_text()


def events(directory: Path) -> set[str]:
    """What the study of a search holds, in the words in which it was acknowledged."""
    run_dir = RunDir(directory / "out")
    if not run_dir.study.exists():
        return set()
    with Study(run_dir.study, run_dir.lock) as study:
        segments = study._database.execute("SELECT trial, start FROM segments").fetchall()
        decided = [f"decision {decision['stage']}" for decision in study.decisions()]
    return {*decided, *(f"segment {trial} {start}" for trial, start in segments)}


def lost_events(directory: Path, acknowledged: Collection[str]) -> set[str]:
    """Events that were acknowledged and are not there; all of them when the study is refused."""
    try:
        return set(acknowledged) - events(directory)
    except StudyError as error:
        return {*acknowledged, str(error)}


@dataclasses.dataclass
class Attempt:
    """How a search in a fork ended: its exit status, what it said, and what was recorded."""

    status: int
    words: str
    events: list[str]


def attempt(
    directory: Path,
    hit: Callable[[], None] = lambda: None,
    kill_after: float | None = None,
    number: int = signal.SIGKILL,
    meanwhile: Callable[[], None] = lambda: None,
    searching: Callable[..., str] = search,
    **arguments,
) -> Attempt:
    """Runs a search in a fork, with a fault that `hit` prepares there, or a signal.

    Args:
        directory: of the search.
        hit: called in the fork, before the search.
        kill_after: seconds.
        number: of the signal.
        meanwhile: called in this process while the fork is at work.
        searching: is the search.
        arguments: of the search.
    """
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        # What arrives before the child is ready would run in the parent's name.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            _run(directory, hit, told.fileno(), searching, arguments)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, number)
        meanwhile()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for stream in (told, said):
            stream.seek(0)
        return Attempt(
            status, said.read().decode(errors="replace"), told.read().decode().splitlines()
        )


def _run(directory, hit, told, searching, arguments) -> None:
    write = os.write
    try:
        signal.signal(signal.SIGINT, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        hit()
        found = searching(
            directory, acknowledged=lambda event: write(told, f"{event}\n".encode()), **arguments
        )
        with open(directory / "found", "w") as stream:
            stream.write(found)
        os._exit(0)
    except (ValueError, OSError) as error:
        # As the command does.
        write(2, str(error).encode())
        os._exit(STOPPED if signals.behind(error) else REFUSED)
    except signals.Stopped:
        os._exit(STOPPED)
    except BaseException:
        write(2, traceback.format_exc().encode())
        os._exit(1)


def _stop(number, frame) -> None:
    raise signals.Stopped(number)


def judge(
    tally: Tally, name: str, directory: Path, hit: Attempt, whole: str, expected: tuple[int, ...]
) -> None:
    """Takes a search up again after a fault, and counts what came of it."""
    if hit.status not in expected or (hit.status == REFUSED and "\n" in hit.words):
        return tally.count(f"{name}: ended with {hit.status}, {hit.words[-1000:]}")
    if gone := lost_events(directory, hit.events):
        return tally.count(f"{name}: lost {sorted(gone)}", lost=len(gone))
    (directory / "found").unlink(missing_ok=True)
    again = attempt(directory)
    if again.status:
        return tally.count(f"{name}: can't go on, {again.words[-1000:]}")
    if (directory / "found").read_text() != whole:
        return tally.count(f"{name}: ended differently", lost=1)
    return tally.count()


def uninterrupted(directory: Path) -> str:
    """What a search finds that nothing hits."""
    (directory / "whole").mkdir()
    return search(directory / "whole")


# kills and crashes


def kills_at_random(directory: Path, least: int, seed: int = 1) -> Tally:
    """Searches that are killed with SIGKILL at random moments until they are done."""
    tally = Tally("kill -9 at random moments")
    return _hit_at_random(directory, tally, least, seed, signal.SIGKILL, -signal.SIGKILL)


def stops_at_random(directory: Path, least: int, seed: int = 1) -> Tally:
    """Searches in which SIGINT comes at random moments, also in a commit, until they end."""
    return _hit_at_random(
        directory, Tally("SIGINT at random moments"), least, seed, signal.SIGINT, STOPPED
    )


def _hit_at_random(
    directory: Path, tally: Tally, least: int, seed: int, number: int, status: int
) -> Tally:
    generator = np.random.default_rng(seed)
    whole, searches = uninterrupted(directory), 0
    while tally.tried < least:
        path = directory / f"killed-{searches}"
        path.mkdir()
        searches, seen = searches + 1, set()
        while True:
            seconds = generator.choice([generator.uniform(0, 0.02), generator.uniform(0, 0.2)])
            ended = attempt(path, kill_after=seconds, number=number, trainer=SlowTrainer(tau=30))
            seen |= set(ended.events)
            if gone := lost_events(path, seen):
                tally.count(f"search {searches}: lost {sorted(gone)}", lost=len(gone))
                break
            if ended.status == 0:
                if (path / "found").read_text() != whole:
                    tally.count(f"search {searches} ended differently", lost=1)
                break
            if ended.status != status:
                tally.count(f"search {searches}: ended with {ended.status}, {ended.words[-1000:]}")
                break
            tally.count()
    return tally


class CrashingStudy(Study):
    """Ends the process before, inside or after its `at`-th transaction, without a word.

    The lock and the file are let go by the operating system, as they are after a kill. With a cache
    of one page SQLite writes to the file while the transaction is open, so that only its journal
    can take it back.
    """

    at, where, count, spills = 0, "", 0, False

    def _open(self):
        database = super()._open()
        if self.spills:
            database.execute("PRAGMA cache_size = 1")
        return database

    @contextlib.contextmanager
    def _transaction(self):
        type(self).count += 1
        hit = self.count == self.at
        if hit and self.where == "before":
            os._exit(9)
        with super()._transaction():
            yield
            if hit and self.where == "inside":
                os._exit(9)
        if hit and self.where == "after":
            os._exit(9)


def crashing(at: int, where: str, spills: bool = False) -> Callable[[], None]:
    """Prepares a crash at a transaction."""

    def hit():
        CrashingStudy.at, CrashingStudy.where, CrashingStudy.spills = at, where, spills

    return hit


def crashes_everywhere(directory: Path, where: str, every: int = 1) -> Tally:
    """A crash at the first transaction of a search, at the second ..."""
    tally, whole = Tally(f"crash {where} every transaction"), uninterrupted(directory)
    for at in range(1, 1000, every):
        path = directory / f"{at}"
        path.mkdir()
        ended = attempt(path, crashing(at, where), make_study=CrashingStudy)
        if ended.status == 0:
            return tally
        judge(tally, f"transaction {at}", path, ended, whole, (9,))
    return tally


def journals_lost(directory: Path, every: int = 1) -> Tally:
    """A crash inside a transaction that is half in the file, whose journal is lost."""
    tally, whole = (
        Tally("side file (-journal) lost in the middle of a transaction"),
        uninterrupted(directory),
    )
    for at in range(2, 1000, every):
        path = directory / f"{at}"
        path.mkdir()
        ended = attempt(path, crashing(at, "inside", spills=True), make_study=CrashingStudy)
        if ended.status == 0:
            return tally
        (path / "out" / "study.sqlite-journal").unlink(missing_ok=True)
        again = attempt(path)
        if again.status == 0:
            same = (path / "found").read_text() == whole
            tally.count("" if same else f"transaction {at}: ended differently", lost=not same)
        else:
            one_line = (
                again.status == REFUSED and "damaged" in again.words and "\n" not in again.words
            )
            tally.count("" if one_line else f"transaction {at}: {again.words[-1000:]}")
    return tally


# errors of the disk


class FailingDisk:
    """Lets the `at`-th operation of a kind on a file below a directory fail, once or from then on.

    Args:
        directory: whose files are hit.
        kind: one of `OPERATIONS`.
        at: from 1 on.
        number: of the error.
        for_ever: whether all later operations of the kind fail, too.
    """

    def __init__(self, directory: Path, kind: str, at: int, number: int, for_ever: bool):
        self._directory, self._kind, self._number, self._for_ever = (
            str(directory),
            kind,
            number,
            for_ever,
        )
        self._at, self.count = at, 0

    def passes(self, kind: str, path) -> None:
        """Counts an operation, and raises where it fails."""
        if kind != self._kind or not str(path).startswith(self._directory):
            return
        self.count += 1
        if self.count == self._at or (self._for_ever and self.count > self._at):
            raise OSError(self._number, os.strerror(self._number), str(path))

    def install(self) -> None:
        """Puts itself before the operations of this process."""
        for module, name in ((builtins, "open"), (io, "open")):
            setattr(module, name, self._opening(getattr(module, name)))
        self._wrap("open", os, "open", lambda path, *others, **named: path)
        self._wrap("write", os, "pwrite", lambda descriptor, *others: _path_of(descriptor))
        self._wrap("write", os, "ftruncate", lambda descriptor, *others: _path_of(descriptor))
        self._wrap("fsync", os, "fsync", _path_of)
        self._wrap("replace", os, "replace", lambda source, target: target)
        self._wrap("mkdir", os, "mkdir", lambda path, *others: path)

    def _wrap(self, kind, module, name, path_of) -> None:
        function = getattr(module, name)

        def wrapped(*arguments, **named):
            self.passes(kind, path_of(*arguments, **named))
            return function(*arguments, **named)

        setattr(module, name, wrapped)

    def _opening(self, function):
        def opened(file, mode="r", *arguments, **named):
            if isinstance(file, int):
                return function(file, mode, *arguments, **named)
            self.passes("open", file)
            stream = function(file, mode, *arguments, **named)
            return (
                stream
                if mode in ("r", "rb")
                else _Stream(stream, lambda: self.passes("write", file))
            )

        return opened


class _Stream:
    """A file that asks before it writes."""

    def __init__(self, stream, before):
        self._stream, self._before = stream, before

    def write(self, data):
        self._before()
        return self._stream.write(data)

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stream.close()


def _path_of(descriptor) -> str:
    return os.readlink(
        f"/proc/self/fd/{descriptor if isinstance(descriptor, int) else descriptor.fileno()}"
    )


def disk_errors(directory: Path, kinds=OPERATIONS, numbers=ERRORS, every: int = 1) -> Tally:
    """Each open, write, fsync and rename of our own files fails, once and for ever."""
    tally, whole = Tally("open, write, fsync, rename fail (ENOSPC, EIO)"), uninterrupted(directory)
    cases = [
        (kind, number, for_ever)
        for kind in kinds
        for number in numbers
        for for_ever in (False, True)
    ]
    for number_of_case, (kind, number, for_ever) in enumerate(cases):
        for at in range(1, 1000, every):
            path = directory / f"{number_of_case}-{at}"
            path.mkdir()
            disk = FailingDisk(path / "out", kind, at, number, for_ever)
            ended = attempt(path, functools.partial(_reporting, disk, path))
            if not (path / "hit").exists():
                break
            name = f"{kind} {at}, {os.strerror(number)}{', for ever' if for_ever else ''}"
            judge(tally, name, path, ended, whole, (0, REFUSED))
    return tally


def _reporting(disk: FailingDisk, path: Path) -> None:
    """Installs a failing disk that leaves a mark when it fails."""
    passes, mkdir = disk.passes, os.mkdir

    def marked(kind, file):
        try:
            passes(kind, file)
        except OSError:
            with contextlib.suppress(FileExistsError):
                mkdir(path / "hit")
            raise

    disk.passes = marked
    disk.install()


class LimitedStudy(Study):
    """A database that is full after some pages."""

    pages = 0

    def _open(self):
        database = super()._open()
        database.execute(f"PRAGMA max_page_count = {self.pages}")
        return database


def full_databases(directory: Path, every: int = 1) -> Tally:
    """SQLite has no more room after so many pages, and no file may grow beyond so many bytes."""
    tally, whole = (
        Tally("no room for the database: every number of pages"),
        uninterrupted(directory),
    )

    def pages(count):
        def hit():
            LimitedStudy.pages = count

        return hit, LimitedStudy

    def size(count):
        return lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (4096 * count, resource.RLIM_INFINITY)
        ), Study

    for kind in (pages, size):
        for count in range(1, 1000, every):
            path = directory / f"{kind.__name__}-{count}"
            path.mkdir()
            hit, make_study = kind(count)
            ended = attempt(path, hit, make_study=make_study)
            if ended.status == 0:
                break
            judge(tally, f"{count} {kind.__name__}", path, ended, whole, (REFUSED,))
    return tally


@contextlib.contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system in memory on a directory; gives what mounts it anew with options."""

    def mount(options):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory],
            check=True,
            capture_output=True,
        )

    directory.mkdir(exist_ok=True)
    mount(f"size={size}")
    try:
        yield lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", directory], check=True)


def may_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with small_disk(Path(directory), "64k"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def full_disks(directory: Path, every: int = 16) -> Tally:
    """A disk that is full after every so many kilobytes; with room, the search goes on."""
    tally, whole = Tally("full disk (tmpfs)"), uninterrupted(directory)
    for kilobytes in range(8, 4096, every):
        path = directory / f"disk-{kilobytes}"
        with small_disk(path, f"{kilobytes}k") as remount:
            ended = attempt(path)
            if ended.status == 0 and not ended.words:
                return tally
            remount("size=16m")
            judge(tally, f"{kilobytes} kB", path, ended, whole, (0, REFUSED))
    return tally


def read_only_disks(directory: Path) -> Tally:
    """A disk that can't be written from the start, or from the middle of a search on."""
    tally, whole = Tally("read-only directory"), uninterrupted(directory)
    for at in (0, 1, 10, 20):
        path = directory / f"read-only-{at}"
        with small_disk(path, "16m") as remount:
            if at:
                attempt(path, crashing(at, "after"), make_study=CrashingStudy)
            remount("ro")
            began = time.monotonic()
            ended = attempt(path)
            if time.monotonic() - began > 5:
                tally.count(f"refused only after {time.monotonic() - began:.0f} s")
            remount("rw")
            judge(tally, f"after transaction {at}", path, ended, whole, (REFUSED,))
    return tally


# damage


def small_study(directory: Path) -> bytes:
    """The bytes of the study of a search that was stopped in the middle."""
    attempt(directory, crashing(12, "after"), make_study=CrashingStudy)
    events(directory)  # takes back nothing, but is as a process leaves it that came to its end
    return (directory / "out" / "study.sqlite").read_bytes()


def damaged(name: str, directory: Path, versions: Iterator[bytes]) -> Tally:
    """Studies whose bytes were changed: they mean what they meant, or are refused."""
    tally = Tally(name)
    path = directory / "study.sqlite"

    def everything():
        with Study(path, directory / "lock") as study:
            kept = [study.checkpoint(trial, "last") for trial in study.outcomes()]
            states = [
                None if state is None else [value.tolist() for value in state.model]
                for state in kept
            ]
            return canonical(study) + json.dumps([study.setting("budget"), states])

    held = None
    for data in versions:
        path.write_bytes(data)
        if held is None:
            held = everything()
            continue
        try:
            same = everything() == held
            tally.count("" if same else "a changed study was taken", lost=not same)
        except StudyError as error:
            tally.count("" if "\n" not in str(error) else f"several lines: {error}")
        except Exception:
            tally.count(traceback.format_exc()[-1000:])
        finally:
            path.with_name("study.sqlite-journal").unlink(missing_ok=True)
    return tally


def truncations(directory: Path, every: int = 1) -> Tally:
    """A study that was cut off at every length."""
    data = small_study(directory)
    lengths = (data[:length] for length in range(0, len(data), every) if length)
    which = "every length" if every == 1 else f"one of {every} lengths"
    tally = damaged(f"study cut off at {which}, and to nothing", directory, _after(data, lengths))
    _without_study(directory, tally)
    return tally


def _without_study(directory: Path, tally: Tally) -> None:
    """A study that is empty or gone beside its results is no new one."""
    for name, spoil in (("empty", lambda path: path.write_bytes(b"")), ("gone", Path.unlink)):
        path = directory / name
        path.mkdir()
        search(path)
        before = RunDir(path / "out").result.read_bytes()
        spoil(RunDir(path / "out").study)
        ended = attempt(path)
        is_told = ended.status == REFUSED and "is lost" in ended.words and "\n" not in ended.words
        is_kept = RunDir(path / "out").result.read_bytes() == before
        note = "" if is_told and is_kept else f"{name}: ended with {ended.status}, {ended.words}"
        tally.count(note, lost=not is_kept)


def flips(directory: Path, count: int, seed: int = 1) -> Tally:
    """A study of which one to three bytes were changed."""
    data, generator = small_study(directory), np.random.default_rng(seed)

    def changed():
        for _ in range(count):
            bytes_ = bytearray(data)
            for position in generator.integers(0, len(data), generator.integers(1, 4)):
                bytes_[position] ^= int(generator.integers(1, 256))
            yield bytes(bytes_)

    return damaged("bytes of the study flipped", directory, _after(data, changed()))


def _after(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def in_memory(call: Callable[..., Tally], *arguments, **named) -> Tally:
    """A tally of faults in a directory in memory, which a kill leaves as it leaves a disk."""
    with memory() as directory:
        return call(directory, *arguments, **named)


def tallies(calls: list[str], paths: list[Path], first: str = "") -> list[Tally]:
    """The tallies of calls, worked out in a process without TensorFlow and threads.

    Args:
        calls: Python expressions of tallies, that may name what is in this module.
        paths: where modules are looked for.
        first: statements that come before.
    """
    lines = [
        "import dataclasses, json, sys",
        "from fault_harness import *",
        "logs.logger.propagate = False",
    ]
    lines += ["logs.logger.addHandler(logs.logging.NullHandler())", first]
    lines += [f"print(json.dumps(dataclasses.asdict({call})), flush=True)" for call in calls]
    lines += ["if 'keras' in sys.modules: sys.exit('TensorFlow was loaded')"]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=found, capture_output=True, text=True
    )
    if ran.returncode:
        raise AssertionError(ran.stderr[-2000:])
    return [Tally(**json.loads(line)) for line in ran.stdout.splitlines()]
