"""Names that cannot collide, and directories that are kerastune's or not."""

import os
import stat
import threading
import time

import pytest

from kerastune.study import run_directory
from kerastune.study.database import Study
from kerastune.study.run_directory import RunDir


def opened(path):
    """A directory with a study, as a search leaves it."""
    run_dir = RunDir(path)
    run_dir.open()
    Study(run_dir.study, run_dir.lock).close()
    return run_dir


def filled(path):
    """A directory with everything that a search leaves."""
    run_dir = opened(path)
    for file in (
        run_dir.log,
        run_dir.recipe,
        run_dir.flags,
        run_dir.decisions,
        run_dir.result,
        run_dir.model,
    ):
        file.write_text("ours")
    run_dir.trial_board("04-lr", "lr-0.1").mkdir(parents=True)
    (run_dir.trial_board("04-lr", "lr-0.1") / "events.out.tfevents.1").write_text("ours")
    return run_dir


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_two_hundred_starts_in_one_instant_get_two_hundred_directories(tmp_path):
    found, start = [], threading.Barrier(200)

    def begin():
        start.wait()
        found.append(run_directory.new(tmp_path))

    threads = [threading.Thread(target=begin) for _ in range(200)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Nobody waits for another second to name a directory by.
    assert time.monotonic() - began < 10
    assert len(set(found)) == 200 and all(path.is_dir() for path in found)


def test_a_name_that_is_taken_is_drawn_again(tmp_path, monkeypatch):
    drawn = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(run_directory.secrets, "token_hex", lambda size: next(drawn))

    class StoppedClock(run_directory.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 10, 25, 2, 30)

    monkeypatch.setattr(run_directory.datetime, "datetime", StoppedClock)
    assert run_directory.new(tmp_path) != run_directory.new(tmp_path)


def test_a_new_directory_says_when_it_was_made(tmp_path):
    path = run_directory.new(tmp_path / "not" / "there", prefix="probe")
    assert path.is_dir() and path.name.startswith("probe-20") and path.name.endswith("-out")


def test_an_empty_or_missing_directory_is_taken(tmp_path):
    RunDir(tmp_path / "a" / "b").open()
    RunDir(tmp_path / "a" / "b").open()
    assert (tmp_path / "a" / "b").is_dir()


def test_a_directory_with_a_study_is_taken_up_whatever_else_it_holds(tmp_path):
    run_dir = filled(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    run_dir.open()


def test_a_foreign_directory_is_refused_with_its_name_and_what_it_holds(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="thesis.tex") as refused:
        RunDir(tmp_path).open()
    assert str(tmp_path) in str(refused.value) and "\n" not in str(refused.value)
    assert names(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("name", ["tensorboard", "model.keras", "result.json", "study.sqlite"])
def test_a_name_like_ours_alone_does_not_make_a_directory_ours(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "years of work").write_text("mine")
    with pytest.raises(ValueError, match="not kerastune's"):
        RunDir(tmp_path).open()


def test_a_directory_whose_study_is_lost_is_still_ours(tmp_path):
    run_dir = filled(tmp_path)
    run_dir.study.write_bytes(b"garbage")
    run_dir.open()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes.txt|not empty"):
        run_dir.open()


def test_a_directory_where_a_process_was_killed_before_its_first_record_is_ours(tmp_path):
    (tmp_path / "kerastune.lock").write_text("process 1")
    RunDir(tmp_path).open()


def test_clear_deletes_what_is_ours_and_nothing_else(tmp_path):
    run_dir = filled(tmp_path)
    (tmp_path / "study.sqlite-journal").write_text("ours")
    (tmp_path / ".result.json.new").write_text("ours, half written")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.keras").write_text("mine")
    run_dir.clear()
    assert names(tmp_path) == ["data", "kerastune.lock", "notes.txt"]
    assert (tmp_path / "data" / "model.keras").read_text() == "mine"


def test_clear_leaves_what_users_put_into_our_folders(tmp_path):
    run_dir = filled(tmp_path)
    run_dir.report_pictures.mkdir()
    mine = [
        run_dir.report_pictures / "holiday.png",
        run_dir.report_pictures / "thesis.tex",
        run_dir.tensorboard / "notes.txt",
        run_dir.tensorboard / "mine" / "events.out.tfevents.1",
        run_dir.trial_board("04-lr", "lr-0.1") / "notes.txt",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x89PNG mine")
    ours = run_dir.report_picture("cost")
    ours.write_bytes(b"\x89PNG " + run_directory.PICTURE.encode())
    run_dir.clear()
    assert all(path.is_file() for path in mine) and not ours.exists()
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*mine, run_dir.lock}


@pytest.mark.parametrize("lose", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
@pytest.mark.parametrize("left", ["result.json", "model.keras", "report.html", "tensorboard"])
def test_results_whose_study_is_lost_are_not_replaced(lose, left, tmp_path):
    run_dir = opened(tmp_path)
    (tmp_path / left).mkdir() if left == "tensorboard" else (tmp_path / left).write_text("ours")
    lose(run_dir.study)
    with pytest.raises(ValueError, match=f"holds '{left}', but its study.sqlite is lost"):
        run_dir.open()
    run_dir.open(overwrite=True)


@pytest.mark.parametrize("lose", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_search_that_was_killed_before_its_first_result_begins_again(lose, tmp_path):
    run_dir = opened(tmp_path)
    run_dir.log.write_text("ours")
    lose(run_dir.study)
    run_dir.open()


def test_clear_does_not_follow_links(tmp_path):
    elsewhere, ours = tmp_path / "elsewhere", tmp_path / "ours"
    elsewhere.mkdir()
    (elsewhere / "events").write_text("mine")
    run_dir = opened(ours)
    run_dir.tensorboard.symlink_to(elsewhere)
    run_dir.model.symlink_to(elsewhere / "events")
    run_dir.clear()
    assert (elsewhere / "events").read_text() == "mine" and names(ours) == ["kerastune.lock"]


def test_clear_of_an_empty_directory_does_nothing(tmp_path):
    RunDir(tmp_path).clear()
    assert names(tmp_path) == []


def test_every_file_of_a_run_is_inside_its_directory(tmp_path):
    run_dir = RunDir(tmp_path)
    for path in vars(run_dir).values():
        assert path == tmp_path or path.parent == tmp_path
    assert run_dir.trial_board("04-lr", "lr-0.1") != run_dir.trial_board("04-lr", "lr-0.2")
    assert run_dir.decisions_board.is_relative_to(run_dir.tensorboard)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/abs",
        "a/b",
        "a\\b",
        "nul\0",
        "line\n",
        "x" * 65,
    ],
)
def test_a_project_name_that_could_leave_its_directory_is_refused(name):
    with pytest.raises(ValueError) as refused:
        run_directory.project("out", name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("name", ["playbook", "a.b-c_1", "x" * 64, "2026", "naïve ü", "[x]*?"])
def test_a_plain_project_name_is_a_folder_of_its_directory(name, tmp_path):
    assert run_directory.project(tmp_path, name) == tmp_path / name
    assert str(run_directory.project(None, name)) == name


def test_a_text_is_written_whole_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "result.json"
    run_directory.write_text(path, "old")
    run_directory.write_text(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü" and names(tmp_path) == ["result.json"]


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    run_directory.write_text(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_directory.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run_directory.write_text(path, "new")
    assert path.read_text() == "old"


def test_a_written_file_is_durable_before_it_takes_its_place_and_so_is_its_name(
    tmp_path, monkeypatch
):
    done, place = [], tmp_path / "result.json"
    place.write_text("old")

    def watched(name):
        function = getattr(run_directory.os, name)

        def call(*arguments):
            is_file = name == "fsync" and not stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            size = os.fstat(arguments[0]).st_size if is_file else None
            done.append((name, size, place.read_text()))
            return function(*arguments)

        monkeypatch.setattr(run_directory.os, name, call)

    for name in ("fsync", "replace"):
        watched(name)
    run_directory.write_text(place, "new content")
    # All of it is on disk under another name, then it takes its place, then the directory is on
    # disk.
    assert done == [("fsync", 11, "old"), ("replace", None, "old"), ("fsync", None, "new content")]
    assert names(tmp_path) == ["result.json"]
