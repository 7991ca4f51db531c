"""Inputs as users have them: DataFrames, strings, lists, PyDatasets and generators."""

import gc
import itertools
import pathlib

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kerastune.data import loading, memory, user_inputs
from kerastune.problem import joined

X, Y = np.arange(240, dtype="float32").reshape(60, 4), np.arange(60) % 2


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return X[rows], Y[rows]


def test_columns_of_any_type_become_numbers_or_strings():
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], "Int64"),
            "number": [0.5, 1.5, 2.5],
            "city": pd.Categorical(["Rome", "Oslo", "Rome"]),
            "text": pd.array(["a", "b", "c"], "string"),
            "known": [True, False, True],
        }
    )
    found = user_inputs.columns(frame)
    assert {name: array.dtype.kind for name, array in found.items()} == {
        **{"whole": "f", "number": "f", "city": "U", "text": "U", "known": "b"}
    }
    assert np.isnan(found["whole"][1]) and found["city"].tolist() == ["Rome", "Oslo", "Rome"]
    assert user_inputs.unframed((frame[["number", "known"]], Y), False)[0].shape == (3, 2)


def test_lists_and_strings_are_taken_as_they_are_and_cut_together():
    texts = np.array([f"text {row}" for row in range(60)], object)
    problem = loading.from_arrays([X, {"text": texts, "row": np.arange(60)}], Y)
    numbers, named = problem.train.x
    assert len(numbers) == len(named["text"]) == len(problem.train)
    assert [f"text {row}" for row in named["row"]] == named["text"].tolist()
    assert len(joined(problem.train, problem.validation).x[1]["text"]) == 60


@pytest.mark.parametrize("make", [Batches, lambda: ((X[i : i + 8], Y[i : i + 8]) for i in (0, 8))])
def test_batches_are_read_once(make):
    problem = loading.from_arrays(make(), validation_data=make())
    count = 60 if make is Batches else 16
    assert len(problem.train) == len(problem.validation) == count
    np.testing.assert_array_equal(problem.train.x, X[:count])


@pytest.mark.parametrize("make", [Batches, lambda: ((X[i : i + 8], Y[i : i + 8]) for i in (0, 8))])
def test_batches_larger_than_memory_stay_a_stream_with_the_same_facts(make, monkeypatch):
    whole = loading.from_arrays(make(), validation_data=(X, Y))
    monkeypatch.setattr(memory, "available", lambda: 2 * X[:8].nbytes + 9)
    problem = loading.from_arrays(make(), validation_data=(X, Y))
    assert problem.train is None and "larger than memory: it stays a stream" in problem.notes[1]
    assert problem.class_names == whole.class_names
    for _ in range(2):  # again and again
        rows = list(problem.stream.as_numpy_iterator())
        np.testing.assert_array_equal([x for x, _ in rows], whole.train.x)
        np.testing.assert_array_equal([y for _, y in rows], whole.train.y)
    with pytest.raises(ValueError, match="what else is larger than memory, cannot be split"):
        loading.from_arrays(make())
    with pytest.raises(ValueError, match="validation part is larger than memory; give fewer"):
        loading.from_arrays(X, Y, validation_data=make())


def test_written_batches_are_deleted_when_nobody_needs_them():
    kept = user_inputs.Spilled([(X[:8],), (X[8:],)], iter(()), "The training part")
    directory = pathlib.Path(kept._directory)
    np.testing.assert_array_equal(kept[1][0], X[8:])
    assert len(list(directory.iterdir())) == 2
    del kept
    gc.collect()
    assert not directory.exists()


def test_equal_first_examples_alone_are_no_repetition():
    same_start = [(np.concatenate([X[:1], X[i : i + 2]]),) for i in range(50)] * 3
    assert len(list(user_inputs.ending(same_start, "It"))) == 150


def test_batches_that_never_end_are_refused():
    endless = ((X[:8], Y[:8]) for _ in itertools.count())
    with pytest.raises(ValueError, match="training part does not end .*take"):
        loading.from_arrays(endless, validation_data=(X, Y))
    dataset = tf.data.Dataset.from_generator(
        lambda: itertools.repeat((X[0], 1)),
        output_signature=(tf.TensorSpec((4,)), tf.TensorSpec((), tf.int64)),
    )
    with pytest.raises(ValueError, match="training part does not end"):
        loading.from_arrays(dataset.batch(8), validation_data=(X, Y))


def test_datasets_may_hold_strings_and_open_shapes():
    texts = tf.constant([f"text {row}" for row in range(60)])
    signature = (tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int64))
    open_shape = tf.data.Dataset.from_generator(
        lambda: ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 60, 8)), output_signature=signature
    )
    problem = loading.from_arrays(open_shape, validation_data=open_shape)
    assert int(problem.stream.cardinality()) == 60 and problem.validation.x.shape == (60, 4)
    strings = tf.data.Dataset.from_tensor_slices((texts, Y)).batch(8)
    problem = loading.from_arrays(strings, validation_data=strings)
    assert problem.validation.x[3] == "text 3"
