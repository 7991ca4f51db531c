"""A column of texts is prepared the same as an array and in the saved model."""

import keras
import numpy as np
import pandas as pd
import pytest
from prepared_models import saved_and_loaded, tensors

from kerastune.data import loading
from kerastune.data.encoding import texts, words
from kerastune.data.preprocessing import Attachment
from kerastune.models.hypermodels import text_network

NOTES = ["Late again, LATE!", "late; paid", "", "Änderung (paid) again", "unheard-of words", " "]


@pytest.fixture
def prepared():
    column = np.array(NOTES * 3, object)
    found = texts.fit("my note", column)
    assert set(found.words) >= {"late", "again", "paid", "Änderung"}
    return found, {"my note": column}


def test_arrays_and_the_saved_model_have_the_same_numbers(prepared, tmp_path):
    found, column = prepared
    numbers = found.apply(column)
    assert numbers.dtype == np.int32 and numbers.shape == (len(column["my note"]), found.width)
    assert numbers.max() <= found.largest_id and (numbers[2] == 0).all() and (numbers[5] == 0).all()
    model = text_network.text(found.length, found.largest_id, 3, "classification", units=4)
    loaded = saved_and_loaded(Attachment(found)(model), tmp_path)
    raw = tensors({"my_note": column["my note"][:, None].astype(str)})
    np.testing.assert_allclose(loaded(raw), model(numbers), atol=1e-6)


def test_new_words_are_told_apart_from_the_end_of_a_text(prepared):
    found, _ = prepared
    strange = found.apply({"my note": np.array(["zebra", "", "late " * 600])})
    assert strange[:, 0].tolist() == [1, 0, words.FIRST_ID + found.words.index("late")]
    shown = found.restore(strange)["my note"].tolist()
    assert shown == [texts.OTHER, "", " ".join(["late"] * found.length)]


def test_a_text_is_cut_where_nearly_all_others_end():
    many = np.array(["a b c"] * 300 + ["a " * 900], object)
    assert words.length(many) == 3
    assert words.length(np.array(["a " * 900] * 9, object)) == words.MOST_LENGTH
    assert words.length(np.array(["", ""], object)) == 1


def test_only_a_table_of_one_text_becomes_numbers_of_words():
    notes = [f"{a} was {b}" for a in ("late", "paid", "sent", "lost") for b in range(30)]
    frame = pd.DataFrame({"note": notes, "label": [0, 1] * 60})
    alone = loading.load(frame, label="label")
    assert isinstance(alone.attach.preparation, texts.Texts) and alone.train.x.dtype == np.int32
    mixed = loading.load(frame.assign(amount=np.arange(120) % 7 / 2), label="label")
    assert mixed.train.x.dtype == np.float32
    own = loading.load(frame, label="label", for_own_model=True)
    assert own.train.x.dtype == np.float32  # as before: a column for each word


def test_texts_without_a_word_in_common_are_refused_before_training():
    frame = pd.DataFrame({"part": [f"a{n} b{n} c{n}" for n in range(90)], "label": [0, 1] * 45})
    with pytest.raises(ValueError, match="^No word of column 'part' is in 3 training texts"):
        loading.load(frame, label="label", types={"part": "text"})
    with pytest.raises(ValueError, match="^No word of column 'part' is in 3 training texts"):
        mixed = frame.assign(size=np.arange(90) % 7 / 2)
        loading.load(mixed, label="label", types={"part": "text"})


def test_texts_of_different_rare_words_are_not_taken_for_the_same():
    notes = [f"good {n}q was it" for n in range(120)]
    problem = loading.load(pd.DataFrame({"note": notes, "label": [0, 1] * 60}), label="label")
    assert not any("part as well" in note or "contained" in note for note in problem.notes)
    assert any("3 different words are inputs, and the first 4 words" in n for n in problem.notes)
    twice = loading.load(pd.DataFrame({"note": notes * 2, "label": [0, 1] * 120}), label="label")
    assert any("part as well" in note for note in twice.notes)


@pytest.mark.parametrize("name", ["text", "get_item", "text_vectorization", "cast"])
def test_a_column_may_have_the_name_of_the_network_or_of_an_operation(name):
    keras.backend.clear_session()  # names begin anew, as in a new process
    found = texts.fit(name, np.array(["late"] * 3, object))
    attached = Attachment(found)(text_network.text(found.length, found.largest_id, 2, "regression"))
    assert attached.input[name].dtype == "string" and keras.utils.serialize_keras_object(attached)
