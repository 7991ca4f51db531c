"""Parts are cut by time or by group, given as files, and told where they share examples."""

import numpy as np
import pandas as pd
import pytest

from kerastune.data import cross_validation_set, cutting, folds, loading
from kerastune.data.raw import Raw
from kerastune.problem import Declared, Part
from kerastune.tuner import fold_results


def table(count=200):
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.permutation(count), "D"),
            "who": [f"p{n}" for n in random.integers(0, 40, count)],
            "size": random.normal(size=count).round(4),
            "left": random.choice(["yes", "no"], count, p=[0.2, 0.8]),
        }
    )


def days_of(part, frame):
    """The rows of a part, by the sizes that are its first input."""
    preparation = part[1].attach.preparation
    sizes = preparation.restore(getattr(part[1], part[0]).x)["size"].round(4)
    return frame.set_index(frame["size"].astype(float)).loc[sizes]


def test_the_latest_rows_are_tested_on_and_those_before_them_choose():
    frame = table()
    problem = loading.load(frame, label="left", time="day", types={"who": "category"})
    train, validation, test = (
        days_of((where, problem), frame)["day"] for where in ("train", "validation", "test")
    )
    assert train.max() < validation.min() and validation.max() < test.min()
    assert (len(test), len(validation)) == (30, 26)
    assert not {"days", "year"} & set(problem.attach.preparation.dates["day"].features)
    assert any("(the latest)" in note for note in problem.notes)


def test_rows_of_one_group_are_in_one_part_and_classes_keep_their_shares():
    frame = table()
    problem = loading.load(frame, label="left", groups="who")
    parts = [
        set(days_of((where, problem), frame)["who"]) for where in ("train", "validation", "test")
    ]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert "who" not in problem.attach.preparation.texts
    for part in (problem.validation, problem.test):
        assert 15 <= len(part) <= 35 and 0.05 < part.y.mean() < 0.4


def test_the_same_time_is_on_one_side():
    times = np.repeat(np.arange(10), 10)
    stay, off = cutting.latest(times)
    assert sorted(set(times[off])) == [8, 9] and set(times[stay]) == set(range(8))
    with pytest.raises(ValueError, match="1 different times, too few to cut by"):
        cutting.latest(np.zeros(20))


def test_groups_that_can_not_be_cut_are_refused():
    with pytest.raises(ValueError, match="2 groups, which can't be cut"):
        cutting.whole_groups(np.repeat([0, 1], 20), [1, 0])
    raw = Raw("few", {"training": Part(np.eye(20), np.arange(20))}, groups=np.arange(3))
    with pytest.raises(ValueError, match=r"`groups` has shape \(3,\)"):
        cutting.cut_parts(raw, None, 1, True, Declared())


def test_a_problem_tells_how_its_validation_part_was_cut_off():
    frame = table()
    told = {"time": {"time": "day"}, "groups": {"groups": "who"}, "random": {}}
    told[""] = {"validation_data": frame[:20]}
    for cut, how in told.items():
        assert loading.load(frame, label="left", **how).cut == cut


def test_folds_by_time_hold_out_what_follows_and_the_test_part_is_the_latest():
    frame = table()
    examples = cross_validation_set.load(frame, label="left", time="day")
    assert len(examples) == 170 and len(examples.times) == 170
    found = folds.cut(170, 4, classes=examples.true, times=examples.times)
    for fold in found:
        assert examples.times[fold.train].max() < examples.times[fold.held_out].min()
        problem = examples.problem(fold)
        assert (len(problem.train), len(problem.validation)) == (34 * fold.number, 34)
    days = frame["day"].sort_values()
    last = examples.times.max()
    assert last == pd.Timestamp(days.iloc[169]).timestamp()
    with pytest.raises(ValueError, match="`repeats` must be 1 with `time`"):
        folds.cut(170, 4, 2, times=examples.times)
    with pytest.raises(ValueError, match="`folds` .4. is more than 3 different times"):
        folds.cut(170, 4, times=np.arange(170) % 3)


def test_what_no_fold_by_time_holds_out_is_left_out_of_its_figures():
    examples = cross_validation_set.load(table(), label="left", time="day")
    cut = folds.cut(170, 4, classes=examples.true, times=examples.times)
    judged = [
        fold_results.Judged(fold, {}, np.eye(2)[examples.true[fold.held_out]], None, None, 1, 1.0)
        for fold in cut
    ]
    held, again = fold_results.held_out_once(examples, judged)
    arrays = fold_results.out_of_fold(held, again)
    assert len(held) == 136 and (arrays["fold"] > 0).all()
    assert (arrays["predictions"][0].argmax(axis=1) == arrays["true"]).all()
    earliest = np.sort(examples.times)[:34]
    assert not np.isin(earliest, held.times).any()
    np.testing.assert_array_equal(arrays["row"], np.sort(arrays["row"]))


def test_further_files_are_read_as_the_columns_were(tmp_path):
    frame = table()
    texts = frame.assign(size=[f"{value:,.4f} %" for value in 1000 * frame["size"]])
    paths = {}
    for name, rows in {"train": texts[:150], "val": texts[150:170], "test": texts[170:]}.items():
        paths[name] = str(tmp_path / f"{name}.csv")
        rows.to_csv(paths[name], index=False)
    told = {"validation_data": paths["val"], "test_data": paths["test"]}
    problem = loading.load(paths["train"], label="left", **told)
    assert [len(problem.train), len(problem.validation), len(problem.test)] == [150, 20, 30]
    texts.drop(columns=["size", "who"]).to_csv(paths["test"], index=False)
    with pytest.raises(ValueError, match="test.csv lacks the columns 'who', 'size'; it has day"):
        loading.load(paths["train"], label="left", **told)
    pd.DataFrame({**texts, "left": ["maybe"] * 200}).to_csv(paths["test"], index=False)
    with pytest.raises(ValueError, match="labels that are no class of the training part: maybe"):
        loading.load(paths["train"], label="left", **told)


def test_examples_of_several_parts_are_told():
    frame = table()
    told = {"validation_data": frame[:20], "test_data": frame[140:160]}
    notes = loading.load(frame[:150], label="left", **told).notes
    assert any("The validation part is contained in the training part" in note for note in notes)
    assert any(note.startswith("10 of 20 test examples are in the training") for note in notes)
    assert not any("part as well" in note for note in loading.load(frame, label="left").notes)


def test_a_parquet_file_is_read_as_the_frame_is(tmp_path):
    pytest.importorskip("pyarrow")
    frame, path = table(), tmp_path / "people.parquet"
    frame.to_parquet(path)
    given, read = (loading.load(each, label="left") for each in (frame, str(path)))
    np.testing.assert_array_equal(read.train.x, given.train.x)
    path.write_bytes(b"PAR1 cut off")
    with pytest.raises(ValueError, match="cannot be read as .parquet"):
        loading.load(str(path), label="left")
