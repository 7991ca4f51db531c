"""A version directory is there whole or not at all, whenever the writer is killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from kerastune.export.versions import new_version, versions

# Writes version after version, slowly: a manifest first, the files that it promises later.
WRITER = """
import sys, time, pathlib
from kerastune.export.versions import new_version
while True:
    with new_version(pathlib.Path(sys.argv[1])) as (build, final):
        (build / "manifest").write_text("10")
        for number in range(10):
            (build / f"part-{number}").write_text("x" * 1000)
            time.sleep(0.002)
"""


def incomplete(model_dir):
    """Versions that a reader finds without all that they promise."""
    found = []
    for version in versions(model_dir):
        directory = model_dir / str(version)
        wanted = {"manifest", *(f"part-{number}" for number in range(10))}
        sizes = {entry.name: entry.stat().st_size for entry in directory.iterdir()}
        if set(sizes) != wanted or not all(sizes.values()):
            found.append(version)
    return found


def start_writer(model_dir):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(model_dir)])


def test_versions_count_up_and_gaps_stay(tmp_path):
    for version, wanted in ((None, 1), (None, 2), (7, 7), (None, 8), (3, 3), (None, 9)):
        with new_version(tmp_path / "m", version) as (build, final):
            assert build.parent == final.parent and not final.exists()
        assert final.name == str(wanted)
    assert versions(tmp_path / "m") == [1, 2, 3, 7, 8, 9]


def test_a_version_that_is_there_or_is_no_number_is_refused_and_nothing_changes(tmp_path):
    with new_version(tmp_path, 2) as (build, _):
        (build / "old").touch()
    for version, said in (
        (2, "exists"),
        (-1, "whole number"),
        (1.5, "whole number"),
        ("01", "whole number"),
    ):
        with pytest.raises(ValueError, match=said), new_version(tmp_path, version):
            pytest.fail("the block must not run")
    assert [entry.name for entry in (tmp_path / "2").iterdir()] == ["old"]


def test_a_block_that_raises_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_version(tmp_path) as (build, _):
        (build / "half").touch()
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_what_is_built_can_be_read_by_others(tmp_path):
    with new_version(tmp_path / "m") as (_, final):
        pass
    (tmp_path / "plain").mkdir()
    assert final.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_everything_is_synced_before_the_rename_and_the_parent_after_it(tmp_path, monkeypatch):
    events, opened, rename, really_open = [], {}, os.rename, os.open

    def open_(path, *arguments):
        descriptor = really_open(path, *arguments)
        opened[descriptor] = str(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(opened[descriptor]))
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append("renamed"), rename(a, b)))
    with new_version(tmp_path / "base" / "m") as (build, _):
        (build / "variables").mkdir()
        (build / "variables" / "data").touch()
    at = events.index("renamed")
    assert events[:at] == [
        str(path) for path in (build / "variables" / "data", build / "variables", build)
    ]
    assert events[at + 1 :] == [str(tmp_path / "base" / "m"), str(tmp_path / "base"), str(tmp_path)]


def test_a_reader_never_sees_half_a_version_and_a_kill_leaves_nothing_that_the_next_one_keeps(
    tmp_path,
):
    generator = random.Random(0)
    for _ in range(8):
        left = set((tmp_path / "m").glob(".tmp-*"))
        writer = start_writer(tmp_path / "m")
        while not set((tmp_path / "m").glob(".tmp-*")) - left:
            time.sleep(0.001)
        until = time.monotonic() + 0.15 * generator.random()
        while time.monotonic() < until:
            assert incomplete(tmp_path / "m") == []
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert incomplete(tmp_path / "m") == []
    assert versions(tmp_path / "m")
    (tmp_path / "m" / ".tmp-99-dead").mkdir()
    with new_version(tmp_path / "m"):
        assert not (tmp_path / "m" / ".tmp-99-dead").exists()
    assert not list((tmp_path / "m").glob(".tmp-*"))


def test_two_exports_of_a_model_wait_for_one_another_and_keep_out_of_each_others_way(tmp_path):
    made, inside = [], []

    def write():
        with new_version(tmp_path) as (build, final):
            inside.append(len(list(tmp_path.glob(".tmp-*"))))
            (build / "file").touch()
            time.sleep(0.01)
        made.append(final.name)

    threads = [threading.Thread(target=write) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["1", "2", "3", "4", "5"] and inside == [1] * 5
