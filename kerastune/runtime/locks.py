"""A lock of an output directory that ends with its process, and who holds it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.2  # more than `kerastune status` holds the lock for
# Errors of network disks that have no locks.
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class LockError(ValueError):
    """Another process is at work."""


@dataclasses.dataclass(frozen=True)
class Holder:
    """What a process says of itself in its lock file.

    Args:
        name: as `process 12 on host`; empty when the file tells nothing.
        boot: that tells this start of its machine from others; empty where the system has none.
        began: when the process began, in the system's own words; empty where it has none.
        command: its command, as `sys.argv`.
        directory: in which it was given.
        running: what it is doing, a line each.
    """

    name: str = ""
    boot: str = ""
    began: str = ""
    command: Sequence[str] = ()
    directory: str = ""
    running: Sequence[str] = ()

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        pid = os.getpid()
        return cls(_name(pid), _boot(), _began(pid), tuple(sys.argv), os.getcwd())

    @classmethod
    def read(cls, path: Path) -> Holder:
        """What a lock file says; an empty holder when it says nothing that can be read."""
        try:
            name, rest, *_ = [
                *path.read_text(encoding="utf-8", errors="replace").split("\n", 2),
                "",
            ]
            known = {field.name for field in dataclasses.fields(cls)} - {"name"}
            values = json.loads(rest) if rest else {}
            return cls(
                name.strip(), **{key: value for key, value in values.items() if key in known}
            )
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return cls()

    def text(self) -> str:
        """What `read` reads."""
        values = dataclasses.asdict(self)
        # While it is written anew, the end of a longer one may still stand behind it.
        return f"{values.pop('name')}\n{json.dumps(values)}\n"

    @property
    def is_gone(self) -> bool:
        """Whether this process certainly does not run any more; one of another machine may."""
        words = self.name.split(" on ", 1)
        if (
            len(words) < 2
            or words[1] != socket.gethostname()
            or not words[0].removeprefix("process ").isdigit()
        ):
            return False
        pid = int(words[0].removeprefix("process "))
        if self.boot and self.boot != _boot():
            return True
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass
        # Numbers are given again, to a process that began later.
        return bool(self.began) and self.began != _began(pid)


class Lock:
    """The lock of an output directory, held until it is closed or the process ends.

    However it ends.

    Where the file system has no locks, a second file stands for it; one that a process left which
    runs no more, or that is of an earlier start of the machine, is taken over.

    Args:
        path: the lock file; it stays when the lock is given back.

    Raises:
        LockError: when another process holds it, naming that process, or it can't be opened.
    """

    def __init__(self, path: Path):
        self._path = Path(path)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise LockError(
                f"{self._path} can't be locked ({error.strerror}): remove it, or name another "
                "directory."
            ) from error
        self._stream = open(descriptor, "rb", buffering=0)
        self._file: Path | None = None
        try:
            self._take()
            self.tell()
        except BaseException:
            self.close()
            raise

    @property
    def is_file(self) -> bool:
        """Whether a second file stands for the lock, since the file system has none."""
        return self._file is not None

    def tell(self, running: Sequence[str] = ()) -> None:
        """Says who holds the lock and what it is doing, for `kerastune status`."""
        text = dataclasses.replace(Holder.here(), running=tuple(running)).text()
        # One that can't be told is no reason to stop a search.
        with contextlib.suppress(OSError):
            data = text.encode()
            os.pwrite(self._stream.fileno(), data, 0)
            os.ftruncate(self._stream.fileno(), len(data))

    def close(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
            self._file = None
        with contextlib.suppress(OSError):
            self._stream.close()

    def _take(self) -> None:
        try:
            if not _flock(self._stream, fcntl.LOCK_EX):
                time.sleep(LOOK_SECONDS)
                if not _flock(self._stream, fcntl.LOCK_EX):
                    raise self._in_use(
                        Holder.read(self._path), "wait for it, or name another directory."
                    )
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            self._take_file()

    def _take_file(self) -> None:
        path = file_of(self._path)
        while True:
            if _make(path):
                self._file = path
                return
            holder = Holder.read(path)
            if not holder.is_gone:
                raise self._in_use(
                    holder, f"wait for it; if it does not run any more, delete {path}."
                )
            _set_aside(path, holder)

    def _in_use(self, holder: Holder, remedy: str) -> LockError:
        return LockError(
            f"{self._path.parent} is in use by {holder.name or 'another process'}: {remedy}"
        )


def holder(path: Path) -> Holder | None:
    """Who holds the lock; `None` when nobody does. Who begins during this look tries again."""
    try:
        with open(path, "rb") as stream:
            if _flock(stream, fcntl.LOCK_SH):
                return None
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        found = Holder.read(file_of(path))
        if not file_of(path).exists() or found.is_gone:
            return None
    return Holder.read(path)


def file_of(path: Path) -> Path:
    """The file that stands for a lock where the file system has none."""
    return path.with_name(f"{path.name}.held")


def files_of(path: Path) -> list[Path]:
    """That file, and what a process left that was killed while it made or moved one."""
    held = file_of(path)
    return [held, *held.parent.glob(f"{held.name}.*")]


def _make(path: Path) -> bool:
    """Makes the file with what it says, unless there is one.

    A process killed halfway leaves none that names nobody.
    """
    text, aside = Holder.here().text(), _aside(path)
    try:
        aside.write_text(text, encoding="utf-8")
        os.link(aside, path)
    except (FileExistsError, FileNotFoundError):
        # The second: whoever begins anew has cleared the directory.
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _make_at_once(path, text)
    finally:
        aside.unlink(missing_ok=True)
    return True


def _make_at_once(path: Path, text: str) -> bool:
    try:
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    return True


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}")


def _set_aside(path: Path, stale: Holder) -> None:
    """Takes a stale file out of the way; of several processes that find it, one moves it."""
    aside = _aside(path)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if Holder.read(aside) != stale:
        # Another process was faster and holds it: its file goes back, unless a third has made one.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    os.unlink(aside)


def _flock(stream: Any, kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name(pid: int) -> str:
    return f"process {pid} on {socket.gethostname()}"


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip()


def _began(pid: int) -> str:
    # The command's own name, in brackets, may hold blanks and brackets.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
