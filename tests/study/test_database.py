"""The study database: exact round trips, one writer at a time, damage is refused."""

import dataclasses
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from fake_trainer import FakeClock, FakeTrainer, canonical, memory, tune

from kerastune.analysis.trial_curves import Curves
from kerastune.recipe import Recipe
from kerastune.study.database import Study, StudyError, is_study
from kerastune.study.lazy_curves import LazyCurves
from kerastune.study.run_directory import RunDir
from kerastune.trial import Outcome, State, TrialSpec


def opened(directory, **arguments):
    return Study(directory / "study.sqlite", directory / "lock", **arguments)


def outcome(trial="a", start=0, until=100, curves=None, **changes):
    steps = np.arange(start, until)
    generator = np.random.default_rng(start)
    values = {
        "curves": Curves(
            curves or {"loss": generator.normal(size=len(steps)).astype(np.float32)},
            norm_steps=steps[::10],
            update_norms=generator.random([len(steps[::10]), 2], np.float32),
            weight_norms=generator.random([len(steps[::10]), 2], np.float32),
        ),
        "evals": ({"step": until, "loss": 0.1 + until, "accuracy": 1 / 3},),
        "layers": ("dense", "größe"),
        "seconds": 0.1 + 0.2,
        "seconds_per_step": 1e-3,
        "peak_memory": 2**40,
        "notes": ("a note",),
        **changes,
    }
    return Outcome(
        TrialSpec(trial, "lr", Recipe(hyperparameters={"units": 8}), start, until), **values
    )


def assert_same(given, found):
    assert [repr(sorted(e.items())) for e in given.evals] == [
        repr(sorted(e.items())) for e in found.evals
    ]
    for name in (
        "spec",
        "layers",
        "diverged_at",
        "seconds",
        "seconds_per_step",
        "peak_memory",
        "notes",
    ):
        assert repr(getattr(given, name)) == repr(getattr(found, name))
    assert list(given.curves) == list(found.curves)
    arrays = [(given.curves[name], found.curves[name]) for name in given.curves]
    arrays += [
        (getattr(given, n), getattr(found, n))
        for n in ("norm_steps", "update_norms", "weight_norms")
    ]
    for name in ("example_scores", "mirrored_scores"):
        pair = getattr(given, name), getattr(found, name)
        arrays += [pair] if pair[0] is not None else []
        assert (pair[0] is None) == (pair[1] is None)
    for a, b in arrays:
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


# round trips


def test_an_outcome_comes_back_bit_by_bit(tmp_path):
    odd = np.array([1.5, np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    given = outcome(
        curves={"loss": odd, "accuracy": -odd},
        evals=(
            {"step": 7, "loss": float("nan"), "accuracy": float("inf")},
            {"step": 8, "loss": 0.1 + 0.2},
        ),
        diverged_at=1,
        example_scores=np.array([0.0, 1.0, -0.25], np.float32),
    )
    with opened(tmp_path) as study:
        study.add_segment(given, None, None)
        assert_same(given, study.outcomes()["a"])
    with opened(tmp_path) as study:
        assert_same(given, study.outcomes()["a"])


def test_segments_come_back_joined_and_trials_in_their_order(tmp_path):
    first, other, second = outcome("b"), outcome("a", 0, 50), outcome("b", 100, 250)
    with opened(tmp_path) as study:
        for segment in (first, other, second):
            study.add_segment(segment, None, None)
    with opened(tmp_path) as study:
        found = study.outcomes()
    assert list(found) == ["b", "a"]
    assert_same(second.after(first), found["b"])


def test_a_later_segment_that_failed_is_taken_and_what_was_before_it_stays(tmp_path):
    first = outcome(
        "a",
        0,
        100,
        example_scores=np.ones(3, np.float32),
        mirrored_scores=np.ones(3, np.float32) / 3,
    )
    failed = Outcome.failed(
        TrialSpec("a", "model", first.spec.recipe, 100, 200), ValueError("no such layer")
    )
    with opened(tmp_path) as study:
        study.add_segment(first, State(100, [], []), None)
        study.add_segment(failed, None, None)
    with opened(tmp_path) as study:
        assert_same(failed.after(first), study.outcome("a"))
        assert (
            study.outcome("a").steps == 100
            and study.outcome("a").error == "ValueError: no such layer"
        )


def test_curves_are_read_when_they_are_used_and_travel_to_other_processes_as_they_are(tmp_path):
    given = outcome()
    with opened(tmp_path) as study:
        study.add_segment(given, None, None)
        found = study.outcomes()["a"]
    assert isinstance(found.curves, LazyCurves) and found.steps == 100
    changed = dataclasses.replace(found, seconds=7.0)
    assert changed.curves is found.curves
    travelled = pickle.loads(pickle.dumps(found))
    assert type(travelled.curves) is Curves
    assert_same(given, travelled)


def test_the_same_segment_twice_is_refused(tmp_path):
    with opened(tmp_path) as study:
        study.add_segment(outcome(), None, None)
        with pytest.raises(StudyError, match="UNIQUE"):
            study.add_segment(outcome(), None, None)
        assert study.outcomes()["a"].steps == 100


def test_facts_and_decisions_come_back_in_their_order(tmp_path):
    with opened(tmp_path) as study:
        study.put_fact("allowance/lr", 1200)
        study.put_fact("result", {"a": [1, 0.1 + 0.2, None, "ü"]})
        study.add_decision("probe", {"reason": "z"})
        study.add_decision("lr", {"reason": "a"})
    with opened(tmp_path) as study:
        assert study.fact("allowance/lr") == 1200 and study.fact("nothing") is None
        assert study.fact("result") == {"a": [1, 0.1 + 0.2, None, "ü"]}
        assert [value["reason"] for value in study.decisions()] == ["z", "a"]


def test_a_fact_or_decision_is_made_once(tmp_path):
    with opened(tmp_path) as study:
        study.put_fact("allowance/lr", 1)
        study.add_decision("lr", {"reason": "first"})
        with pytest.raises(StudyError):
            study.put_fact("allowance/lr", 2)
        with pytest.raises(StudyError):
            study.add_decision("lr", {"reason": "second"})
        assert study.fact("allowance/lr") == 1
        assert study.decisions() == [{"reason": "first"}]


# checkpoints


def states(step):
    arrays = [np.full([2, 3], step, np.float32), np.array([step], np.uint32)]
    return State(step, arrays, arrays[::-1], 2.3), State(step, arrays[:1], [])


def test_the_last_checkpoint_replaces_the_one_before_and_the_best_stays(tmp_path):
    with opened(tmp_path) as study:
        last, best = states(100)
        study.add_segment(outcome(), last, best)
        study.add_segment(outcome(start=100, until=200), states(200)[0], None)
    with opened(tmp_path) as study:
        found = study.checkpoint("a", "last")
        assert (found.step, found.first_loss, found.model[0].tolist()) == (
            200,
            2.3,
            [[200] * 3] * 2,
        )
        assert study.checkpoint("a", "best").step == 100
        assert study.checkpoint("b", "last") is None


def test_dropping_forgets_the_last_states_of_these_trials_alone(tmp_path):
    with opened(tmp_path) as study:
        for trial in ("a", "b"):
            study.add_segment(outcome(trial), *states(100))
        study.drop_checkpoints(["a"])
        assert study.checkpoint("a", "last") is None and study.checkpoint("a", "best") is not None
        assert study.checkpoint("b", "last") is not None


def damage(directory, statement, values=()):
    database = sqlite3.connect(directory / "study.sqlite")
    database.execute(statement, values)
    database.commit()
    database.close()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    with opened(tmp_path) as study:
        study.add_segment(outcome(), *states(100))
    other = states(101)[0].to_bytes()
    damage(tmp_path, "UPDATE checkpoints SET data = ? WHERE kind = 'last'", (other,))
    with opened(tmp_path) as study:
        with pytest.raises(StudyError, match="damaged"):
            study.checkpoint("a", "last")
        assert study.checkpoint("a", "best").step == 100


DAMAGES = {
    "a curve": "UPDATE curves SET arrays = zeroblob(length(arrays))",
    "curves of another segment": "UPDATE curves SET segment = segment + 1",
    "scores of examples": "UPDATE segments SET scores = x'00'",
    "a spec": "UPDATE segments SET header = replace(header, '\"until\": 100', '\"until\": 900')",
    "a decision": "UPDATE decisions SET value = '{}'",
    "the stage of a decision": "UPDATE decisions SET stage = 'other'",
    "a fact": "UPDATE facts SET value = '7'",
    "a setting": "UPDATE settings SET value = '7'",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_record_that_is_not_what_was_written_is_refused(tmp_path, what):
    with opened(tmp_path) as study:
        study.settings({"seed": 1})
        study.add_segment(outcome(), None, None)
        study.add_decision("lr", {"reason": "r"})
        study.put_fact("f", 1)
    damage(tmp_path, DAMAGES[what])
    with pytest.raises(StudyError, match="damaged"), opened(tmp_path) as study:
        study.settings({"seed": 1})
        study.outcomes()
        study.decisions()
        study.fact("f")


# settings


def test_the_same_settings_go_on(tmp_path):
    settings = {"seed": 1, "budget": "4m", "rate": 0.1 + 0.2, "hp": {"b": 1, "a": [1, None]}}
    with opened(tmp_path) as study:
        study.settings(settings)
    with opened(tmp_path) as study:
        study.settings(dict(reversed(settings.items())))


@pytest.mark.parametrize(
    "name, value", [("seed", 2), ("budget", "5m"), ("new", "x"), ("hp", {"a": 2})]
)
def test_a_changed_setting_is_refused_by_name_with_both_values(tmp_path, name, value):
    settings = {"seed": 1, "budget": "4m", "hp": {"a": 1}}
    with opened(tmp_path) as study:
        study.settings(settings)
    with opened(tmp_path) as study, pytest.raises(StudyError, match=f"`{name}` was") as refused:
        study.settings({**settings, name: value})
    old = json.dumps(settings[name]) if name in settings else "not set"
    assert old in str(refused.value) and json.dumps(value) in str(refused.value)
    with opened(tmp_path) as study:
        study.settings(settings)


def test_a_setting_that_is_no_longer_given_is_refused(tmp_path):
    with opened(tmp_path) as study:
        study.settings({"seed": 1, "member_folds": 2})
    with (
        opened(tmp_path) as study,
        pytest.raises(StudyError, match="`member_folds` was 2 .* is not set now"),
    ):
        study.settings({"seed": 1})


# the lock


def test_a_second_process_is_refused_at_once_with_the_first_ones_id(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from kerastune.study.database import Study, StudyError\n"
        "path = Path(sys.argv[1]); began = time.monotonic()\n"
        "try:\n    Study(path / 'study.sqlite', path / 'lock')\n"
        "except StudyError as error:\n    print(time.monotonic() - began, error)\n"
    )
    with opened(tmp_path):
        ran = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
        )
    seconds, message = ran.stdout.split(" ", 1)
    assert float(seconds) < 1
    assert f"process {os.getpid()} on" in message and str(tmp_path) in message
    opened(tmp_path).close()


def test_a_second_opening_in_the_same_process_is_refused_too(tmp_path):
    with opened(tmp_path), pytest.raises(StudyError, match="in use"):
        opened(tmp_path)


def test_a_lock_file_left_by_a_dead_process_is_taken_over(tmp_path):
    (tmp_path / "lock").write_text("process 1 on another host, before the last boot")
    with opened(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()
        assert "another host" not in (tmp_path / "lock").read_text()


def test_a_refused_opening_leaves_the_lock_free(tmp_path):
    (tmp_path / "study.sqlite").write_bytes(b"foreign")
    for _ in range(2):
        with pytest.raises(StudyError, match="not a study"):
            opened(tmp_path)


def test_the_old_study_is_cleared_only_under_the_lock(tmp_path):
    cleared = []
    with opened(tmp_path), pytest.raises(StudyError):
        opened(tmp_path, clear=lambda: cleared.append(1))
    assert not cleared
    opened(tmp_path, clear=lambda: cleared.append(1)).close()
    assert cleared


# what is on disk


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small study, and what it holds."""
    directory = tmp_path_factory.mktemp("whole")
    with opened(directory) as study:
        study.settings({"seed": 1})
        study.add_segment(outcome(), *states(100))
        study.add_segment(outcome("b", 0, 30), None, None)
        study.put_fact("allowance/lr", 1200)
        study.add_decision("lr", {"reason": "because"})
        held = canonical(study)
    return (directory / "study.sqlite").read_bytes(), held


def everything(directory):
    with opened(directory) as study:
        study.settings({"seed": 1})
        assert study.fact("allowance/lr") == 1200
        assert study.seconds() >= 0
        study.checkpoint("a", "last")
        return canonical(study)


@pytest.fixture
def in_memory():
    with memory() as directory:
        yield directory


def refused_or_same(directory, data, held):
    """Whether a file is refused with one line; when it is taken, nothing of it has changed."""
    (directory / "study.sqlite").write_bytes(data)
    try:
        assert everything(directory) == held
    except StudyError as error:
        assert "\n" not in str(error)
        return True
    return False


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"not a database " * 1000,
        bytes(8192),
        b"SQLite format 3\0" + bytes(5000),
        os.urandom(4096),
    ],
    ids=["short", "text", "zeros", "header alone", "noise"],
)
def test_a_file_that_is_no_study_is_refused_and_left_as_it_is(tmp_path, data):
    path = tmp_path / "study.sqlite"
    path.write_bytes(data)
    with pytest.raises(StudyError, match="not a study of kerastune"):
        opened(tmp_path)
    assert path.read_bytes() == data


def test_someone_elses_database_is_refused_and_left_as_it_is(tmp_path):
    database = sqlite3.connect(tmp_path / "study.sqlite")
    database.execute("CREATE TABLE settings(name, value)")
    database.close()
    before = (tmp_path / "study.sqlite").read_bytes()
    with pytest.raises(StudyError, match="not a study"):
        opened(tmp_path)
    assert (tmp_path / "study.sqlite").read_bytes() == before


def test_a_directory_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "study.sqlite").mkdir()
    with pytest.raises(StudyError, match="not a study"):
        opened(tmp_path)


def test_an_empty_file_is_a_new_study(tmp_path):
    (tmp_path / "study.sqlite").touch()
    with opened(tmp_path) as study:
        assert study.outcomes() == {} and is_study(study.path)


@pytest.mark.parametrize(
    "half", [lambda data: data, lambda data: bytes(4096), lambda data: bytes(4096) + data[4096:]]
)
def test_a_creation_that_was_killed_before_its_commit_is_begun_again(tmp_path, half):
    opened(tmp_path).close()
    (tmp_path / "study.sqlite").write_bytes(half((tmp_path / "study.sqlite").read_bytes()))
    # SQLite's journal of a transaction that began with an empty file: magic, no pages, and its size
    # before: none.
    header = bytes.fromhex("d9d505f920a163d7") + b"".join(
        n.to_bytes(4, "big") for n in (0, 1, 0, 512, 4096)
    )
    (tmp_path / "study.sqlite-journal").write_bytes(header.ljust(512, b"\0"))
    with opened(tmp_path) as study:
        assert study.outcomes() == {}
        study.put_fact("a", 1)
    assert is_study(tmp_path / "study.sqlite") and not (tmp_path / "study.sqlite-journal").exists()


def test_every_truncation_is_refused(tmp_path, whole):
    data, held = whole
    lengths = {
        *range(1, 200, 7),
        *range(200, len(data), 997),
        *range(4096, len(data), 4096),
        len(data) - 1,
    }
    for length in lengths:
        refused = refused_or_same(tmp_path, data[:length], held)
        # SQLite fills up the last page; when zeros are missing, nothing is.
        assert refused or length > len(data) - 4096, f"{length} of {len(data)} bytes were taken"


def test_flipped_bytes_are_refused_or_mean_nothing(in_memory, whole):
    data, held = whole
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        for position in generator.integers(0, len(data), generator.integers(1, 4)):
            changed[position] ^= int(generator.integers(1, 256))
        refused += refused_or_same(in_memory, bytes(changed), held)
    # Many bytes of a small file are unused, so many flips mean nothing.
    assert refused > 25


def test_garbage_pages_are_refused(tmp_path, whole):
    data, held = whole
    for page in range(len(data) // 4096):
        changed = bytearray(data)
        begin = page * 4096 + (0 if page else 100)
        changed[begin : (page + 1) * 4096] = b"\xa5" * ((page + 1) * 4096 - begin)
        assert refused_or_same(tmp_path, bytes(changed), held), page


@pytest.mark.parametrize("name", [b"allowance/lr", b"because", b'"units"'])
def test_a_changed_name_is_refused_wherever_it_stands(tmp_path, whole, name):
    data, held = whole
    places = [at for at in range(len(data)) if data.startswith(name, at)]
    refused = [
        refused_or_same(tmp_path, data[: place + 2] + b"X" + data[place + 3 :], held)
        for place in places
    ]
    # In its table, and for a key in the index by which it is looked up; a copy left in free space
    # means nothing.
    assert sum(refused) >= 1 + (name == b"allowance/lr")


@pytest.mark.parametrize("version", [0, 1, 999])
def test_another_schema_version_is_refused_with_both_numbers(tmp_path, version):
    opened(tmp_path).close()
    damage(tmp_path, f"PRAGMA user_version = {version}")
    with pytest.raises(StudyError, match=f"version {version}.*version 3") as refused:
        opened(tmp_path)
    assert "`overwrite=True`" in str(refused.value)


def test_checkpoints_are_stored_without_pickles(tmp_path):
    with opened(tmp_path) as study:
        study.add_segment(outcome(), *states(100))
    database = sqlite3.connect(tmp_path / "study.sqlite")
    blobs = [row[0] for row in database.execute("SELECT data FROM checkpoints")]
    database.close()
    for blob in blobs:
        path = tmp_path / "blob.npz"
        path.write_bytes(blob)
        with zipfile.ZipFile(path) as archive:
            assert all(
                b"'descr': '|O" not in archive.read(name)[:128] for name in archive.namelist()
            )


def test_every_event_is_synchronized_in_full(tmp_path):
    with opened(tmp_path) as study:
        assert study._database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert study._database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert study._database.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_reader_may_look_while_the_search_runs(tmp_path):
    with opened(tmp_path) as study:
        study.add_segment(outcome(), None, None)
        reader = sqlite3.connect(f"file:{tmp_path / 'study.sqlite'}?mode=ro", uri=True)
        assert reader.execute("SELECT trial FROM segments").fetchall() == [("a",)]
        reader.close()
        study.put_fact("a", 1)


def test_a_full_disk_is_a_study_error_and_loses_nothing(tmp_path):
    with opened(tmp_path) as study:
        study.put_fact("a", 1)
        pages = study._database.execute("PRAGMA page_count").fetchone()[0]
        study._database.execute(f"PRAGMA max_page_count = {pages}")
        large = outcome(curves={"loss": np.random.default_rng(0).random(20000).astype(np.float32)})
        with pytest.raises(StudyError, match="can't be written.*full"):
            study.add_segment(large, *states(100))
        assert study.fact("a") == 1 and study.outcomes() == {}
        study._database.execute("PRAGMA max_page_count = 100000")
        study.add_segment(large, *states(100))
    with opened(tmp_path) as study:
        assert_same(large, study.outcomes()["a"])


def test_a_failure_inside_an_event_leaves_nothing_of_it(tmp_path):
    with opened(tmp_path) as study:
        broken = outcome(evals=({"step": 1, "loss": {1, 2}},))
        with pytest.raises(TypeError):
            study.add_segment(broken, *states(100))
        assert study.outcomes() == {}
        study.add_segment(outcome(), None, None)


# time


def test_seconds_add_up_over_openings_and_leave_out_the_time_between(tmp_path):
    clock = FakeClock()
    with opened(tmp_path, clock=clock) as study:
        clock.now += 5
        study.put_fact("a", 1)
        clock.now += 2
        assert study.seconds() == 7
    clock.now += 1000
    with opened(tmp_path, clock=clock) as study:
        assert study.seconds() == 7
        clock.now += 1.5
        assert study.seconds() == 8.5
        study.put_fact("b", 1)
        assert study.seconds() == 8.5
    with opened(tmp_path, clock=clock) as study:
        assert study.seconds() == 8.5


def test_a_killed_process_loses_only_the_time_since_its_last_event(tmp_path):
    clock = FakeClock()
    study = opened(tmp_path, clock=clock)
    clock.now += 5
    study.put_fact("a", 1)
    clock.now += 3
    # What a kill does: the file and the lock are let go, and nothing is written.
    study._database.close()
    study._lock.close()
    with opened(tmp_path, clock=clock) as study:
        assert study.seconds() == 5


def test_an_event_that_failed_is_not_counted_twice(tmp_path):
    clock = FakeClock()
    with opened(tmp_path, clock=clock) as study:
        study.put_fact("a", 1)
        clock.now += 4
        with pytest.raises(StudyError):
            study.put_fact("a", 2)
        assert study.seconds() == 4
        study.put_fact("b", 2)
        assert study.seconds() == 4


def test_a_large_study_opens_at_once(tmp_path):
    with opened(tmp_path) as study:
        for number in range(60):
            study.add_segment(outcome(f"t{number}", 0, 2000), None, None)
    began = time.monotonic()
    with opened(tmp_path) as study:
        assert len(study.outcomes()) == 60
    assert time.monotonic() - began < 2


def test_a_whole_search_is_the_same_after_reopening(tmp_path):
    found = tune(tmp_path, FakeTrainer(), "3000steps")
    with opened(tmp_path) as study:
        assert canonical(study) == found


def test_one_study_that_is_reached_by_two_names_has_one_lock(tmp_path):
    first, second = RunDir(tmp_path / "a"), RunDir(tmp_path / "b")
    for run_dir in (first, second):
        run_dir.open()
    with Study(first.study, first.lock):
        second.study.symlink_to(first.study)
        with pytest.raises(StudyError, match="is in use by"):
            Study(second.study, second.lock)
