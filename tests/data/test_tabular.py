"""A table is prepared the same as columns and in the saved model."""

import pickle

import numpy as np
import pytest
import tensorflow as tf
from prepared_models import dense, saved_and_loaded, tensors

from kerastune.data import tabular
from kerastune.data.encoding import calendar
from kerastune.data.preprocessing import Attachment
from kerastune.data.readers.columns import Column


@pytest.fixture
def columns():
    return {
        "petal length (cm)": np.array([1.0, np.nan, 3.0, 8.0]),
        "city": np.array(["Rome", "", "Bonn, Rhein", "[UNK]"]),
        "7 days": np.array([5.0, 6.0, 7.0, np.nan]),
        "plant": np.array(["<unknown>", "b", "<unknown>", "b"]),
    }


@pytest.mark.parametrize("standardize", [False, True])
def test_a_table_of_numbers_and_texts_with_gaps_is_prepared_alike(columns, standardize, tmp_path):
    table = tabular.fit_table(columns, standardize)
    prepared = table.apply(columns)
    assert prepared.shape == (4, 2 + 4 + 2)
    model = dense(8)
    attached = Attachment(table)(model)
    assert set(attached.input) == {"petal_length__cm_", "city", "x7_days", "plant"}
    loaded = saved_and_loaded(attached, tmp_path)
    raw = {tabular.safe_name(name): cells[:, None] for name, cells in columns.items()}
    np.testing.assert_allclose(loaded(tensors(raw)), model(prepared), atol=1e-5)
    np.testing.assert_allclose(attached(tensors(raw)), model(prepared), atol=1e-5)


def test_a_table_can_be_exported(columns, tmp_path):
    model = dense(8)
    table = tabular.fit_table(columns, True)
    Attachment(table)(model).export(tmp_path / "1", verbose=False)
    served = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    raw = {tabular.safe_name(name): cells[:, None] for name, cells in columns.items()}
    np.testing.assert_allclose(
        *served(**tensors(raw)).values(), model(table.apply(columns)), atol=1e-5
    )


def test_missing_numbers_become_the_median_and_unknown_texts_zeros(columns):
    table = tabular.fit_table(columns, standardize=False)
    assert table.apply(columns)[1, :2].tolist() == [3.0, 6.0]
    strange = dict(columns, city=np.array(["Oslo"] * 4))
    assert table.apply(strange)[:, 2:6].sum() == 0


def test_a_table_of_numbers_takes_one_array(tmp_path):
    columns = {"a": np.array([1.0, np.nan, 5.0]), "b": np.array([0.0, 1.0, 0.0])}
    table = tabular.fit_table(columns, standardize=True)
    model = dense(2)
    loaded = saved_and_loaded(Attachment(table)(model), tmp_path)
    raw = np.stack(list(columns.values()), axis=1)
    np.testing.assert_allclose(loaded(raw), model(table.apply(columns)), atol=1e-5)


def test_a_table_of_texts_only_needs_no_numbers(tmp_path):
    columns = {"a": np.array(["x", "y", "x"])}
    table = tabular.fit_table(columns, standardize=True)
    model = dense(2)
    loaded = saved_and_loaded(Attachment(table)(model), tmp_path)
    np.testing.assert_allclose(
        loaded({"a": tf.constant([["x"], ["y"], ["x"]])}), model(table.apply(columns)), atol=1e-5
    )


def test_a_column_without_values_and_names_that_clash_are_refused():
    with pytest.raises(ValueError, match="Column 'a' has no value in the training part"):
        tabular.fit_table({"a": np.array([np.nan, np.nan])}, True)
    with pytest.raises(ValueError, match="names differ only"):
        tabular.fit_table({"a b": np.array([1.0]), "a-b": np.array(["x"])}, True)


def test_an_attachment_can_be_sent_to_another_process(columns):
    attachment = Attachment(tabular.fit_table(columns, True), 1.0, 2.0)
    again = pickle.loads(pickle.dumps(attachment))
    assert (again.preparation.apply(columns) == attachment.preparation.apply(columns)).all()


def dated(*texts):
    return np.array(texts, "datetime64[s]").astype(np.float64)


@pytest.mark.parametrize("standardize", [False, True])
def test_dates_rare_categories_and_words_are_prepared_alike(standardize, tmp_path):
    random = np.random.default_rng(1)
    days = dated("1899-12-31T23:59:59", "2000-02-29", "2024-02-29T12:30", "2100-03-01")
    columns = {
        "when": np.where(np.arange(60) % 7 == 3, np.nan, days[random.integers(0, 4, 60)]),
        "day": dated("2020-01-01") + 86400.0 * random.integers(0, 900, 60),
        "place": np.array([f"p{n}" for n in random.integers(0, 40, 60)], object),
        "note": np.array(["Late again!", "late, Änderung", "", "ok; LATE ok"] * 15, object),
        "size": random.normal(size=60),
    }
    kinds = {
        "when": Column("when", "date"),
        "day": Column("day", "date", grows=False),
        "note": Column("note", "text"),
    }
    table = tabular.fit_table(columns, standardize, kinds)
    assert table.texts["place"].has_other and "year" not in table.dates["day"].features
    assert table.words["note"] == ("late", "again", "ok", "Änderung")
    prepared = table.apply(columns)
    assert np.isfinite(prepared).all() and prepared.shape == (60, table.width)
    model = dense(table.width)
    loaded = saved_and_loaded(Attachment(table)(model), tmp_path)
    raw = {name: cells[:, None] for name, cells in columns.items()}
    raw["note"], raw["place"] = raw["note"].astype(str), raw["place"].astype(str)
    np.testing.assert_allclose(loaded(tensors(raw)), model(prepared), atol=1e-4)
    strange = dict(columns, place=np.array(["new"] * 60))
    other = table.apply(strange)[:, table.numbers.shape[0]]
    assert (other == 1).all()  # a new place is one of the others, which were rare


def test_rows_are_restored_with_their_dates():
    columns = {
        "day": dated("2024-01-31", "2023-05-01"),
        "note": np.array(["late again", "late"], object),
    }
    table = tabular.fit_table(columns, True, {"day": Column("day", "date")})
    again = table.restore(table.apply(columns))
    assert again["day"].tolist() == ["2024-01-31", "2023-05-01"]
    assert again["note"].tolist() == ["late again", "late"]


def test_years_months_and_weekdays_are_those_of_the_calendar():
    days = np.arange("1890-01-01", "2110-01-01", 7, dtype="datetime64[D]")
    found = calendar.features(days.astype("datetime64[s]").astype(np.float64) + 7200.0, 0.0)
    assert (found["year"] == days.astype("datetime64[Y]").astype(int) + 1970).all()
    months = days.astype("datetime64[M]").astype(int) % 12
    np.testing.assert_allclose(found["month (sine)"], np.sin(2 * np.pi * months / 12), atol=1e-12)
    assert (found["weekday 2"] == 1).all()  # the first of 1890 was a Wednesday
