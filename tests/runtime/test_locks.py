"""The lock: one process at a time, on any file system, and never held by nobody."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from kerastune.report import status
from kerastune.runtime import locks
from kerastune.runtime.locks import Holder, Lock, LockError
from kerastune.study.database import Study, StudyError
from kerastune.study.run_directory import RunDir


@pytest.fixture
def without_locks(monkeypatch):
    """A file system as of some network disks."""

    def refuse(stream, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def gone_process():
    """The number of a process that ran a moment ago."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(path, **changes):
    """A file in place of a lock, as a process left it."""
    here = {**vars(Holder.here()), **changes}
    locks.file_of(path).write_text(Holder(**here).text())


def test_a_second_one_is_refused_with_the_firsts_name_and_a_later_one_is_not(tmp_path):
    lock = Lock(tmp_path / "lock")
    for _ in range(2):
        with pytest.raises(
            LockError, match=f"in use by process {os.getpid()} on {socket.gethostname()}: wait"
        ):
            Lock(tmp_path / "lock")
    lock.close()
    lock.close()
    Lock(tmp_path / "lock").close()


def test_what_is_told_is_read_while_it_is_written_anew(tmp_path):
    lock = Lock(tmp_path / "lock")
    for running in (["a\nb", "ü" * 5000], ["short"], []):
        lock.tell(running)
        found = locks.holder(tmp_path / "lock")
        assert (
            list(found.running) == running
            and found.name == f"process {os.getpid()} on {socket.gethostname()}"
        )
        assert list(found.command) == sys.argv and found.directory == os.getcwd()
    long = (tmp_path / "lock").read_bytes()
    (tmp_path / "lock").write_bytes(Holder("process 1 on a", command=["x"]).text().encode() + long)
    assert list(Holder.read(tmp_path / "lock").command) == ["x"]
    lock.close()
    assert locks.holder(tmp_path / "lock") is None and locks.holder(tmp_path / "none") is None


def test_where_there_are_no_locks_a_file_stands_for_one(tmp_path, without_locks):
    run_dir = RunDir(tmp_path)
    with Study(run_dir.study, run_dir.lock) as study:
        study.put_fact("a", 1)
        assert locks.file_of(run_dir.lock).exists()
        assert locks.holder(run_dir.lock).name == f"process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(
            StudyError,
            match=f"in use by process {os.getpid()}.*delete {locks.file_of(run_dir.lock)}",
        ):
            Study(run_dir.study, run_dir.lock)
    assert not locks.file_of(run_dir.lock).exists() and locks.holder(run_dir.lock) is None
    with Study(run_dir.study, run_dir.lock, run_dir.clear) as study:
        assert study.fact("a") is None  # it was cleared
        assert locks.file_of(run_dir.lock).exists()  # but for the lock of whoever clears


@pytest.mark.parametrize(
    "changes",
    [
        lambda: {"name": f"process {gone_process()} on {socket.gethostname()}"},
        lambda: {"boot": "another start of the machine"},
        lambda: {"began": "1"},
        lambda: {"name": f"process {10**30} on {socket.gethostname()}"},
    ],
    ids=["gone", "before the last start", "number given again", "no such number"],
)
def test_a_file_that_a_process_left_is_taken_over(tmp_path, without_locks, changes):
    left(tmp_path / "lock", **changes())
    assert locks.holder(tmp_path / "lock") is None
    lock = Lock(tmp_path / "lock")
    assert Holder.read(locks.file_of(tmp_path / "lock")).name == Holder.here().name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "lock.held"]
    lock.close()


@pytest.mark.parametrize("name", ["process 7 on another-host", "", "process x on y", "nonsense"])
def test_a_file_of_someone_who_may_still_run_is_not_taken_over(tmp_path, without_locks, name):
    left(tmp_path / "lock", name=name, boot="other")
    with pytest.raises(
        LockError,
        match=f"in use by {name or 'another process'}: wait for it; if it does not run any more",
    ):
        Lock(tmp_path / "lock")
    assert locks.file_of(tmp_path / "lock").exists()


@pytest.mark.parametrize("killed", [True, False])
def test_who_is_stopped_while_it_makes_the_file_leaves_none_that_names_nobody(
    tmp_path, without_locks, monkeypatch, killed
):
    def stop(*arguments, **named):
        raise KeyboardInterrupt

    run_dir = RunDir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", stop)
        if killed:
            patch.setattr(type(tmp_path), "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            Lock(run_dir.lock)
    assert len(locks.files_of(run_dir.lock)) == 1 + killed
    assert run_dir.is_ours()  # so that the same command goes on
    Lock(run_dir.lock).close()
    run_dir.clear()
    assert [path.name for path in tmp_path.iterdir()] == [run_dir.lock.name]


def test_where_there_are_no_links_either_the_file_is_made_all_the_same(
    tmp_path, without_locks, monkeypatch
):
    def refuse(*arguments):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    lock = Lock(tmp_path / "lock")
    with pytest.raises(LockError, match=f"in use by process {os.getpid()} on"):
        Lock(tmp_path / "lock")
    lock.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_of_two_that_find_a_stale_file_one_has_the_lock(tmp_path, without_locks, monkeypatch):
    path = tmp_path / "lock"
    left(path, began="1")
    read, others = Holder.read.__func__, []

    def slow(cls, file):
        found = read(cls, file)
        if file == locks.file_of(path) and not others:
            others.append(None)
            # Another process takes it over, after this one has read the stale file.
            others.append(Lock(path))
        return found

    monkeypatch.setattr(Holder, "read", classmethod(slow))
    with pytest.raises(LockError, match="in use"):
        Lock(path)
    assert others[1].is_file and locks.file_of(path).exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lock", "lock.held"]


def test_another_error_of_the_disk_is_told_as_such(tmp_path, monkeypatch):
    def broken(stream, kind):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"):
        Lock(tmp_path / "lock")
    with pytest.raises(OSError, match="broken"):
        locks.holder(tmp_path / "lock")


def test_a_lock_file_that_holds_anything_misleads_nobody(tmp_path):
    with Study(tmp_path / "study.sqlite", tmp_path / "kerastune.lock") as study:
        study.settings({"budget": "10s", "stages": ["lr"]})
    hostile = json.dumps(
        {"command": ["/bin/kerastune", "tune", "--data=$(rm -r /)"], "directory": "/a b", "x": 1}
    )
    (tmp_path / "kerastune.lock").write_text(f"a\n{hostile}\n")
    words = status.lines(status.read(RunDir(tmp_path)))
    assert words[1] == f"  cd '/a b' && kerastune tune '--data=$(rm -r /)' --output_dir={tmp_path}"


def test_a_lock_that_is_a_directory_is_told_in_one_line(tmp_path):
    (tmp_path / "kerastune.lock").mkdir()
    with pytest.raises(LockError, match="can't be locked .*: remove it") as caught:
        Lock(tmp_path / "kerastune.lock")
    assert "\n" not in str(caught.value)
