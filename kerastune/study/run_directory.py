"""The only module that names files: what stands where in an output directory."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from kerastune.runtime import locks, logs
from kerastune.study.reader import is_study

NAME = re.compile(r"[^/\\\0-\x1f\x7f]{1,64}")  # letters of any alphabet, spaces too
EVENTS = "tfevents"  # in the name of every file of TensorBoard's
RUNNING, NOT_RUNNING = '<html data-running="yes"', '<html data-running="no"'  # of a page
PICTURE = "Report of kerastune"  # which every picture of a report says of itself


class RunDir:
    """An output directory and the names of what kerastune leaves in it.

    Args:
        path: the directory; `open` makes it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.study = self.path / "study.sqlite"
        self.lock = self.path / "kerastune.lock"
        self.log = self.path / "kerastune.log"
        self.recipe = self.path / "recipe.json"
        self.flags = self.path / "best.flags"
        self.decisions = self.path / "decisions.jsonl"
        self.result = self.path / "result.json"
        self.model = self.path / "model.keras"
        self.ensemble = self.path / "ensemble.keras"
        self.tta = self.path / "tta.keras"
        self.calibrated = self.path / "calibrated.keras"
        self.prune = self.path / "prune.json"
        self.distill = self.path / "distill.json"
        self.tensorboard = self.path / "tensorboard"
        self.predictions = self.path / "predictions.npz"
        self.inputs = self.path / "inputs.json"
        self.new_predictions = self.path / "predictions.csv"
        self.predict_script = self.path / "predict.py"
        self.model_card = self.path / "MODEL.md"
        self.crossval = self.path / "crossval.json"
        self.crossval_flags = self.path / "crossval.flags"
        self.out_of_fold = self.path / "out_of_fold.npz"
        self.report = self.path / "report.html"
        self.trials_csv = self.path / "trials.csv"
        self.report_markdown = self.path / "report.md"
        self.report_pictures = self.path / "report"

    def open(self, overwrite: bool = False) -> None:
        """Makes the directory, or takes up one that is kerastune's.

        Args:
            overwrite: whether what is in it will be deleted.

        Raises:
            ValueError: when the directory holds something and kerastune did not make it, or results
                without the study that they are of.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(overwrite)

    def check(self, overwrite: bool = False) -> None:
        """Refuses a directory that is there, as `open` does."""
        held = [entry.name for entry in self.path.iterdir()]
        if held and not self.is_ours():
            raise ValueError(
                f"`output_dir` ({self.path}) is not empty and not kerastune's (it holds "
                f"{held[0]!r}): name another one."
            )
        results = [] if overwrite or self._has_study() else self._results()
        if results:
            raise ValueError(
                f"`output_dir` ({self.path}) holds {results[0]!r}, but its {self.study.name} is "
                "lost: put it back to go on, name another directory, or say `overwrite=True` "
                "to start again."
            )

    def _has_study(self) -> bool:
        """Whether there is a study, whole or damaged."""
        return self.study.is_file() and self.study.stat().st_size > 0

    def _results(self) -> list[str]:
        """What a search has left besides its study, its lock and its log."""
        begun = {self.study, self.lock, self.log, self.export, self.path}
        return [each.name for each in vars(self).values() if each not in begun and each.exists()]

    def is_ours(self) -> bool:
        """Whether kerastune made this directory.

        It holds a study, or a lock and nothing that is not ours.
        """
        ours = {entry.name for entry in self._ours()}
        held = {entry.name for entry in self.path.iterdir()}
        return is_study(self.study) or (self.lock.name in held and held <= ours)

    @property
    def export(self) -> Path:
        """Directory of exported models; a server may be reading it, so `clear` leaves it alone."""
        return self.path / "export"

    def trial_board(self, stage: str, trial: str) -> Path:
        """Directory of a trial's TensorBoard run; `stage` is as TensorBoard shows it."""
        return self.tensorboard / "trials" / stage / trial

    @property
    def decisions_board(self) -> Path:
        """Directory of the TensorBoard run with all decisions."""
        return self.tensorboard / "decisions"

    @property
    def result_board(self) -> Path:
        """Directory of the TensorBoard run with the pictures of the result."""
        return self.tensorboard / "result"

    def report_picture(self, name: str) -> Path:
        """A picture of the report; `name` is one of kerastune's own."""
        return self.report_pictures / f"{name}.png"

    def _ours(self) -> list[Path]:
        named = [entry for entry in vars(self).values() if entry is not self.path]
        # What was being written when a process was killed.
        unfinished = [_unfinished(entry) for entry in named]
        unfinished += [
            unsaved(each) for each in (self.model, self.ensemble, self.tta, self.calibrated)
        ]
        beside = [
            *logs.files(self.log),
            *locks.files_of(self.lock),
            self.path / f"{self.study.name}-journal",
        ]
        return [*named, *beside, *unfinished]

    def clear(self) -> None:
        """Deletes what kerastune left, and nothing else.

        The lock is held by whoever clears, so its file stays.
        """
        for entry in self._ours():
            if entry.is_dir() and not entry.is_symlink():
                _clear_folder(entry, self._is_written)
            elif entry not in (self.lock, locks.file_of(self.lock)):
                entry.unlink(missing_ok=True)

    def _is_written(self, path: Path) -> bool:
        """Whether kerastune wrote a file in the folders of pictures and of TensorBoard."""
        if path.is_relative_to(self.report_pictures):
            return path.parent == self.report_pictures and _is_picture(path)
        boards = (self.tensorboard / "trials", self.decisions_board, self.result_board)
        is_within = any(path.is_relative_to(board) for board in boards)
        return is_within and EVENTS in path.name


def _is_picture(path: Path) -> bool:
    """Whether a file is a picture of a report, which says so at its beginning."""
    try:
        with open(path, "rb") as stream:
            return PICTURE.encode() in stream.read(1024)
    except OSError:
        return False


def _clear_folder(folder: Path, is_written: Callable[[Path], bool]) -> None:
    """Deletes the files that were written by kerastune, and folders that are empty then."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _clear_folder(entry, is_written)
        elif is_written(entry):
            entry.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def new(parent: str | os.PathLike = ".", prefix: str = "kerastune") -> Path:
    """Makes a directory that nobody else has, however many ask in the same instant (S1.6).

    Example:
        >>> import tempfile
        >>> parent = tempfile.mkdtemp()
        >>> new(parent) != new(parent)
        True
    """
    while True:
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        path = Path(parent) / f"{prefix}-{stamp}-{secrets.token_hex(3)}-out"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue


def project(directory: str | os.PathLike | None, project_name: str) -> Path:
    """Directory of a project, refused when the name would leave `directory`.

    Raises:
        ValueError: for a name of more than 64 characters, one with slashes or control characters,
            and for `.` and `..`.
    """
    if not NAME.fullmatch(project_name) or project_name in (".", ".."):
        raise ValueError(
            "`project_name` must be 1 to 64 characters and no path, without slashes, got "
            f"{project_name!r}."
        )
    return Path(directory or ".") / project_name


def unsaved(path: Path) -> Path:
    """Where a model is written before it takes its place; Keras wants this ending."""
    return path.with_name(f".new-{path.name}")


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def write_text(path: Path, text: str) -> None:
    """Writes a file such that a reader sees the old or the new text, never half of it.

    That holds after a power cut, too.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`, for bytes."""
    temporary = _unfinished(path)
    with open(temporary, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync(path.parent)


def says_running(page: Path) -> bool:
    """Whether a page is that of a running search."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return RUNNING in page.read_text(encoding="utf-8")
    return False


def mark_stopped(page: Path) -> None:
    """Has the page of a running search say that it stopped; any other stays as it is."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = page.read_text(encoding="utf-8")
        if RUNNING in text:
            write_text(page, text.replace(RUNNING, NOT_RUNNING, 1))


def sync(path: Path) -> None:
    """Waits until a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
