"""Texts get a network of their own; texts and many categories of a table are embedded."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from kerastune.data import loading
from kerastune.models import hypermodels
from kerastune.models.hypermodels import embeddings, text_network

KINDS = ["apple", "pear", "plum", "fig", "lime", "kiwi", "date", "melon", "guava", "cherry", "nut"]


def table(**columns):
    random = np.random.default_rng(1)
    notes = [f"{KINDS[i]} tastes {KINDS[j]}" for i, j in random.integers(0, 11, (220, 2))]
    return pd.DataFrame({"note": notes, **columns, "label": np.arange(220) % 3})


def layers_of(model, kind):
    return [each for each in model.layers if isinstance(each, kind)]


def test_a_column_of_texts_gets_the_network_for_texts_and_takes_the_prepared_data():
    problem = loading.load(table(), label="label")
    assert hypermodels.fitting(problem) == "text"
    hypermodel = hypermodels.load("", problem)
    model = hypermodels.builder(hypermodel)({"units": 32})
    (embedding,) = layers_of(model, layers.Embedding)
    assert embedding.output_dim == 32 and embedding.input_dim == problem.train.x.max() + 1
    assert model(problem.train.x).shape == (len(problem.train), 3)


def test_other_networks_take_its_words_and_it_takes_no_others():
    problem = loading.load(table(), label="label")
    model = hypermodels.builder(hypermodels.load("mlp", problem))({})
    assert len(layers_of(model, layers.Embedding)) == 1
    assert model(problem.train.x).shape == (len(problem.train), 3)
    numbers = loading.from_arrays(np.zeros([60, 4]), np.arange(60) % 2, prepare=True)
    with pytest.raises(ValueError, match="^`text` takes a table whose only input is a column of"):
        hypermodels.load("text", numbers)


def test_words_count_by_how_often_a_text_has_them_and_the_end_counts_for_nothing():
    model = text_network.text(5, 4, 2, "regression", units=3)
    x = np.array([[2, 3, 0, 0, 0], [3, 2, 0, 0, 0], [2, 2, 3, 3, 0], [0, 0, 0, 0, 0]])
    found = keras.Model(model.inputs, model.layers[-1].input)(x).numpy()
    rows = layers_of(model, layers.Embedding)[0].embeddings.numpy()
    np.testing.assert_allclose(found[0], (rows[2] + rows[3]) / 2**0.5, rtol=1e-5)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], (2 * rows[2] + 2 * rows[3]) / 4**0.5, rtol=1e-5)
    assert not found[3].any()


def test_a_mlp_embeds_texts_and_many_categories_and_leaves_few_as_they_are():
    random = np.random.default_rng(2)
    frame = table(
        few=random.choice(["yes", "no"], 220),
        many=random.choice([f"town {name}" for name in KINDS], 220),
        size=random.normal(size=220),
    )
    problem = loading.load(frame, label="label")
    assert hypermodels.fitting(problem) == "mlp"
    columns = hypermodels.load("mlp", problem).columns
    assert columns.numbers == (0,) and columns.categories == ((3, 14),)
    ((begin, end),) = columns.texts
    assert (begin, end) == (14, problem.train.x.shape[1])
    model = hypermodels.builder(hypermodels.load("mlp", problem))({})
    weighted = [each for each in layers_of(model, layers.EinsumDense) if each.kernel.ndim == 1]
    assert weighted[0].kernel.shape == (3,)  # the number, and yes and no
    widths = [each.units for each in layers_of(model, layers.Dense) if not each.use_bias]
    assert widths == [embeddings.EMBEDDED, embeddings.UNITS_OF_WORD]
    assert model(problem.train.x).shape == (len(problem.train), 3)


@pytest.mark.parametrize("make", [embeddings.of_ids, embeddings.of_words])
def test_a_text_without_a_known_word_is_zeros_in_half_precision_too(make):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        ids = make is embeddings.of_ids
        inputs = keras.Input((3,), dtype="int32" if ids else "float32")
        model = keras.Model(inputs, make(inputs, 4) if ids else make(inputs))
        assert not model(np.zeros([2, 3], inputs.dtype)).numpy().any()
    finally:
        keras.config.set_dtype_policy("float32")
