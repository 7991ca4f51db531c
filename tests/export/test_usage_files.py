"""What is told of the inputs of a model."""

import dataclasses

import keras
import numpy as np
import pandas
import pytest

from kerastune.data.new_data import TABLE
from kerastune.data.readers import dates
from kerastune.data.readers.columns import Column
from kerastune.export import usage_files


def test_inputs_of_a_subclass_are_those_of_its_data():
    class Sum(keras.Model):
        def call(self, x):
            return x["b"] + x["a"]

    x = {"b": np.zeros([4, 1], "float32"), "a": np.zeros([4, 2], "float32")}
    model = Sum()
    model(x)
    found = {each["name"]: (each["shape"], each["type"]) for each in usage_files._inputs(model, x)}
    assert found == {"b": ([1], "float32"), "a": ([2], "float32")}


def test_names_that_keras_chose_do_not_tell_what_was_built_before():
    def told():
        model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])
        return usage_files._inputs(model, None)

    assert told() == told() == [{"name": "inputs", "shape": [3], "type": "float32"}]


def dated(cell):
    """What `predict.py` makes of a cell of a column of dates."""
    columns = [Column("day", "date", "y-m-d", example="2024-01-31"), Column("plan", "category")]
    reading = {
        "form": TABLE,
        "columns": [dataclasses.asdict(each) for each in columns],
        "label": dataclasses.asdict(Column("y", "number", "plain")),
    }
    about = {"kind": "regression", "classes": [], "reading": reading, "gives_logits": False}
    text = usage_files.script({**about, "inputs": []}, "model.keras").replace("2024-01-31", cell)
    lines = text[text.index("rows = ") : text.index("inputs = ")]
    made = {"pd": pandas}
    exec(lines, made)
    return made["rows"]["day"][0]


def test_predict_py_reads_dates_as_the_search_did_or_refuses_them():
    for cell in ("2024-01-05", "2024-01-05T10:00+02:00", "2024-01-05 10:00:30"):
        assert dated(cell) == dates.seconds([cell], "y-m-d")[0]
    for cell in ("05.01.2024", "1/5/2024"):
        with pytest.raises(ValueError, match="ISO8601"):
            dated(cell)
