"""A .csv with texts and gaps becomes a table, or is refused in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune.data import checks, loading
from kerastune.data.readers import tables
from kerastune.data.readers.asked import Asked

ROWS = [
    f"{age},{city},{age * 2 + 0.5},{'yes' if age % 3 else 'no'}"
    for age, city in zip(range(20, 60), ["Rome", "Bonn", "", "Oslo"] * 10, strict=True)
]
UNIQUE = [f"{n % 2},name {n}" for n in range(20)]
PAIRS = [f"{n % 2},t{n // 2}" for n in range(300)]


def dense(num_features, num_outputs):
    return keras.Sequential([keras.Input((num_features,)), keras.layers.Dense(num_outputs)])


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def refused(message, source, error=ValueError, **options):
    with pytest.raises(error, match=message) as caught:
        loading.load(str(source), **options)
    assert "\n" not in str(caught.value)


def write_csv(folder, rows=ROWS, header="age,city,income (k),buys"):
    path = folder / "people.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_csv_with_texts_and_gaps_is_encoded_and_travels_with_the_model(tmp_path):
    rows = [row.replace("30,", ",", 1) if row.startswith("30,") else row for row in ROWS]
    problem = loading.load(str(write_csv(tmp_path, rows)), label="buys")
    checks.check(problem, 8)
    assert problem.class_names == ("no", "yes") and problem.train.x.shape[1:] == (2 + 4,)
    assert any("city (4)" in note for note in problem.notes) and any(
        "age (1)" in note for note in problem.notes
    )
    model = dense(6, 2)
    attached = reloaded(problem.attach(model), tmp_path)
    raw = {
        "age": np.array([[30.0], [np.nan]]),
        "city": np.array([["Rome"], ["Paris"]]),
        "income__k_": np.array([[60.5], [9.0]]),
    }
    columns = {
        "age": raw["age"][:, 0],
        "city": raw["city"][:, 0],
        "income (k)": raw["income__k_"][:, 0],
    }
    prepared = problem.attach.preparation.apply(columns)
    outputs = attached({name: tf.constant(column) for name, column in raw.items()})
    np.testing.assert_allclose(outputs, model(prepared), atol=1e-5)


def test_a_csv_for_ones_own_model_is_encoded_but_not_scaled(tmp_path):
    problem = loading.load(str(write_csv(tmp_path)), label="buys", for_own_model=True)
    assert problem.train.x.shape[1:] == (6,) and problem.train.x[:, 0].min() >= 20


@pytest.mark.parametrize(("label", "kind"), [("income (k)", "regression"), ("age", "regression")])
def test_a_numeric_label_with_many_values_is_a_regression(tmp_path, label, kind):
    assert loading.load(str(write_csv(tmp_path)), label=label).kind == kind


def test_a_numeric_label_with_few_whole_values_is_a_class_unless_told_otherwise(tmp_path):
    rows = [f"{number * 1.5},{number % 3 + 1}" for number in range(30)]
    path = write_csv(tmp_path, rows, "x,stars")
    assert loading.load(str(path), label="stars").class_names == ("1", "2", "3")
    assert loading.load(str(path), label="stars", kind="regression").kind == "regression"


@pytest.mark.parametrize(
    ("rows", "header", "label", "message"),
    [
        (
            ["1,2"] * 20,
            "a,b",
            "price",
            r"`label` \('price'\) is not a column of .*: name the column to predict, one of a, "
            r"b\.",
        ),
        (["1,2"] * 20, "a,b", "", "name the column to predict, one of a, b"),
        (["1"] * 20, "a", "a", "no column besides 'a'"),
        (["1,2", "1"] * 20, "a,b", "a", "Row 2 of .* has 1 cells, expected 2"),
        (["1,2"] * 20, "a,a", "a", "different names"),
        ([], "a,b", "a", "no rows below its header"),
        (["1,yes", "2,"] * 20, "a,b", "b", "no 'b' in 20 rows, first in row 2"),
        (UNIQUE, "a,b", "a", r"no column to predict from \(b: all its values differ, as of an id"),
        (PAIRS, "a,b", "a", r"no column to predict from \(b: nearly all its values differ"),
        (["1,"] * 20, "a,b", "a", r"no column to predict from \(b: it is empty"),
        (["1,7"] * 20, "a,b", "a", r"no column to predict from \(b: it is always 7"),
        (["1,2", "1,inf"] * 20, "a,b", "a", "Column 'b' has 20 infinite values, first in row 2"),
        (["1,2", "2,inf"] * 20, "a,b", "b", "`y` of the training part has 20 values"),
        (['1,"2'] * 20, "a,b", "a", "cannot be read as comma-separated"),
        (["1,-1", "2,0"] * 20, "a,b", "b", "label -1"),
        (["1,x", "2,x"] * 20, "a,b", "b", "only one class"),
    ],
)
def test_a_csv_that_cannot_be_used_is_refused(tmp_path, rows, header, label, message):
    refused(message, write_csv(tmp_path, rows, header), label=label)


def test_a_csv_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("a,b\n1,ä\n".encode("latin-1"))
    refused("UTF-8", path, label="a")


def test_numbers_that_are_too_large_for_names_of_classes_stay_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n" + "".join(f"{i * i},{1e300 * (i % 3)}\n" for i in range(30)))
    y = tables.read(str(path), Asked(label="y")).parts["training"].y
    assert y.dtype == np.float64 and set(y.tolist()) == {0.0, 1e300, 2e300}
