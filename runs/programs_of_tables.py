"""Programs of tables, series and texts as Keras users write them, on small data of their own: for
keras_programs.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers, ops
from programs_of_images import Program, accuracy, negative_error, split
from sklearn.datasets import load_breast_cancer, load_diabetes

WORDS = ("good", "fine", "great", "bad", "awful", "poor", "not", "very", "the", "a", "film", "book")


def dataset(x: Any, y: np.ndarray) -> tf.data.Dataset:
    """Batches of 32 examples; strings as TensorFlow has them."""
    x = tf.nest.map_structure(lambda each: each.tolist() if each.dtype == object else each, x)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)


def evaluated(name: str, sign: int = 1) -> Callable[[keras.Model, tuple], float]:
    """A score that is a compiled metric; `sign` is -1 where less is better."""

    def score(model, test):
        return sign * float(model.evaluate(test[0], verbose=0, return_dict=True)[name])

    return score


def series(count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Sines, squares and sawteeth of random phase with noise: `[count, 64, 1]`, and which it is."""
    rng = np.random.default_rng(3)
    kinds = rng.integers(0, 3, count)
    time = np.arange(64) / 16 + rng.random((count, 1))
    shapes = [np.sin(2 * np.pi * time), np.sign(np.sin(2 * np.pi * time)), 2 * (time % 1) - 1]
    found = np.choose(kinds[:, None], shapes) + rng.normal(0, 0.8, time.shape)
    return found[..., None].astype("float32"), kinds.astype("int64")


def series_convolutions() -> Program:
    """One-dimensional convolutions with batch normalization."""

    def build():
        inputs = keras.Input((64, 1))
        hidden = inputs
        for _ in range(2):
            hidden = layers.Conv1D(16, 5, padding="same")(hidden)
            hidden = layers.ReLU()(layers.BatchNormalization()(hidden))
        outputs = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(hidden))
        model = keras.Model(inputs, outputs)
        model.compile(
            "adam", loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"]
        )
        return model

    return Program(build, *split(*series()), accuracy)


def series_transformer() -> Program:
    """Attention over patches of a series."""

    def build():
        inputs = keras.Input((64, 1))
        patches = layers.Dense(16)(layers.Reshape((16, 4))(inputs))
        attended = layers.MultiHeadAttention(2, 8, dropout=0.1)(patches, patches)
        hidden = layers.LayerNormalization()(patches + attended)
        hidden = layers.Dense(32, activation="relu")(layers.Flatten()(hidden))
        model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden))
        model.compile(
            "adam", loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"]
        )
        return model

    return Program(build, *split(*series()), accuracy)


def forecast() -> Program:
    """The next value of a series, from windows that a `tf.data.Dataset` cuts."""
    rng = np.random.default_rng(4)
    values = np.sin(np.arange(2400) / 5) + 0.1 * rng.normal(size=2400)
    values = values.astype("float32")[:, None]

    def windows(first, last):
        part = values[first:last]
        return keras.utils.timeseries_dataset_from_array(part[:-20], part[20:], 20, batch_size=32)

    def build():
        model = keras.Sequential([keras.Input((20, 1)), layers.LSTM(16), layers.Dense(1)])
        model.compile(keras.optimizers.RMSprop(), loss="mse", metrics=["mae"])
        return model

    parts = [(windows(first, first + 800),) for first in (0, 800, 1600)]
    return Program(build, *parts, evaluated("mae", -1))


def texts(count: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of a few words, and whether more of them praise than blame."""
    rng = np.random.default_rng(5)
    words = rng.integers(0, len(WORDS), (count, 8))
    sign = np.where(words < 3, 1, np.where(words < 6, -1, 0)).sum(1)
    rows = sign != 0
    sentences = [" ".join(WORDS[word] for word in row) for row in words[rows]]
    return np.array(sentences, dtype=object), (sign[rows] > 0).astype("float32")


def text_classification() -> Program:
    """Strings in, `TextVectorization` being a layer of the model."""
    sentences, praise = texts()
    vectorize = layers.TextVectorization(max_tokens=50, output_sequence_length=8)
    vectorize.adapt(sentences)

    def build():
        inputs = keras.Input((), dtype="string")
        hidden = layers.Embedding(50, 16)(vectorize(inputs))
        hidden = layers.Dense(16, activation="relu")(layers.GlobalAveragePooling1D()(hidden))
        model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
        model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
        return model

    parts = [(dataset(*part),) for part in split(sentences, praise)]
    return Program(build, *parts, evaluated("accuracy"))


def tagging() -> Program:
    """A label for every word of sentences of different lengths, which are padded and masked."""
    rng = np.random.default_rng(6)
    lengths = rng.integers(4, 13, 800)
    is_word = np.arange(12) < lengths[:, None]
    words = np.where(is_word, rng.integers(1, 30, (800, 12)), 0)
    before = np.pad(words, ((0, 0), (1, 0)))[:, :-1]
    tags = np.where(is_word, (words + before) % 2 + 2 * (words > 20), 0).astype("int64")

    def build():
        inputs = keras.Input((None,), dtype="int32")
        hidden = layers.Embedding(30, 16, mask_zero=True)(inputs)
        hidden = layers.Bidirectional(layers.GRU(24, return_sequences=True))(hidden)
        model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def score(model, test):
        found = np.asarray(model.predict(test[0], verbose=0)).argmax(-1)
        return float((found == test[1])[test[0] > 0].mean())

    return Program(build, *split(words.astype("int32"), tags), score)


def people(count: int = 1500) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of numbers and strings, and whether somebody buys."""
    rng = np.random.default_rng(7)
    city = rng.choice(["Rome", "Oslo", "Lima"], count)
    frame = pd.DataFrame(
        {"age": rng.uniform(18, 80, count), "income": rng.lognormal(3, 0.5, count), "city": city}
    )
    leaning = (frame["age"] - 50) / 15 + np.log(frame["income"]) - 3 + 1.5 * (city == "Rome")
    return frame, (leaning + rng.logistic(0, 0.5, count) > 0.5).to_numpy("float32")


def features() -> Program:
    """A dict of columns through `FeatureSpace`."""
    frame, buys = people()
    columns = {name: frame[name].to_numpy() for name in frame}
    space = keras.utils.FeatureSpace(
        {"age": "float_normalized", "income": "float_normalized", "city": "string_categorical"},
        output_mode="concat",
    )
    space.adapt(tf.data.Dataset.from_tensor_slices(dict(frame)).batch(64))

    def build():
        hidden = layers.Dense(16, activation="relu")(space.get_encoded_features())
        model = keras.Model(space.get_inputs(), layers.Dense(1, activation="sigmoid")(hidden))
        model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
        return model

    parts = [
        (dataset({name: column[rows] for name, column in columns.items()}, buys[rows]),)
        for (rows,) in split(np.arange(len(buys)))
    ]
    return Program(build, *parts, evaluated("accuracy"))


def several_outputs() -> Program:
    """Two named inputs, a class and a number as named outputs, with weights of their losses."""
    rng = np.random.default_rng(8)
    text, numbers = rng.random((1200, 20)).astype("float32"), rng.normal(size=(1200, 4))
    numbers = numbers.astype("float32")
    department = (text[:, :4].argmax(1)).astype("int64")
    priority = (numbers @ [0.5, -1, 0.3, 0.2] + text[:, 5]).astype("float32")

    def build():
        inputs = {"text": keras.Input((20,), name="text"), "more": keras.Input((4,), name="more")}
        hidden = layers.Concatenate()(list(inputs.values()))
        hidden = layers.Dense(32, activation="relu")(hidden)
        outputs = {
            "department": layers.Dense(4, activation="softmax", name="department")(hidden),
            "priority": layers.Dense(1, name="priority")(hidden),
        }
        model = keras.Model(inputs, outputs)
        model.compile(
            "adam",
            loss={"department": "sparse_categorical_crossentropy", "priority": "mse"},
            loss_weights={"department": 1.0, "priority": 0.5},
            metrics={"department": ["accuracy"]},
        )
        return model

    def score(model, test):
        found = model.predict(test[0], verbose=0)
        return float((np.asarray(found["department"]).argmax(1) == test[1]["department"]).mean())

    parts = [
        ({"text": text[part], "more": numbers[part]},)
        + ({"department": department[part], "priority": priority[part]},)
        for (part,) in split(np.arange(1200))
    ]
    return Program(build, *parts, score)


@keras.saving.register_keras_serializable("programs")
class Recommender(keras.Model):
    """The inner product of a user's and an item's vector; built when it is first called."""

    def __init__(self, **options):
        super().__init__(**options)
        self.users = layers.Embedding(60, 4)
        self.items = layers.Embedding(40, 4)

    def call(self, inputs):
        product = ops.sum(self.users(inputs[:, 0]) * self.items(inputs[:, 1]), axis=1)
        return ops.sigmoid(product)[:, None]


def recommender() -> Program:
    """Ratings on a scale from 0 to 1, of users and items, by a subclassed model."""
    rng = np.random.default_rng(9)
    users, items = rng.normal(size=(60, 2)), rng.normal(size=(40, 2))
    pairs = np.stack([rng.integers(0, 60, 3000), rng.integers(0, 40, 3000)], axis=1)
    rating = 1 / (1 + np.exp(-2 * (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(1)))

    def build():
        model = Recommender()
        model.compile("adam", loss="binary_crossentropy")
        return model

    return Program(
        build, *split(pairs.astype("int32"), rating.astype("float32")), negative_error, epochs=30
    )


def imbalance() -> Program:
    """One example of twenty is of the class that matters; class weights are the user's."""
    rng = np.random.default_rng(10)
    y = (rng.random(3000) < 0.05).astype("float32")
    x = (rng.normal(size=(3000, 10)) + 0.8 * y[:, None]).astype("float32")

    def build():
        model = keras.Sequential(
            [
                keras.Input((10,)),
                layers.Dense(32, activation="relu"),
                layers.Dropout(0.3),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
        metrics = [keras.metrics.Recall(), keras.metrics.AUC(name="auc")]
        model.compile(keras.optimizers.Adam(1e-2), loss="binary_crossentropy", metrics=metrics)
        return model

    def score(model, test):
        found = np.asarray(model.predict(test[0], verbose=0))[:, 0]
        order = found.argsort().argsort()[test[1] == 1] + 1
        positives = (test[1] == 1).sum()
        area = order.sum() - positives * (positives + 1) / 2
        return float(area / (positives * (len(found) - positives)))

    return Program(build, *split(x, y), score, {"class_weight": {0: 0.53, 1: 10.0}})


def regression() -> Program:
    """A DataFrame and a Series of far larger scale, `Normalization` being a layer of the model."""
    frame, target = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    rows = [part for (part,) in split(np.arange(len(frame)))]
    parts = [(frame.iloc[part], target.iloc[part]) for part in rows]
    normalize = layers.Normalization()
    normalize.adapt(parts[0][0].to_numpy())

    def build():
        hidden = [layers.Dense(32, activation="relu") for _ in range(2)]
        model = keras.Sequential([keras.Input((10,)), normalize, *hidden, layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), loss="mae")
        return model

    def score(model, test):
        found = np.asarray(model.predict(test[0].to_numpy(), verbose=0))[:, 0]
        return -float(np.abs(found - test[1].to_numpy()).mean())

    return Program(build, *parts, score, epochs=60)


class Batches(keras.utils.PyDataset):
    """Batches of 32 rows of arrays, in order."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // 32)

    def __getitem__(self, index):
        rows = slice(32 * index, 32 * (index + 1))
        return self.x[rows], self.y[rows]


def batches() -> Program:
    """Data from a `PyDataset`, labels one-hot."""
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    parts = split(x, keras.utils.to_categorical(y))

    def build():
        hidden = layers.Dense(16, activation="relu")
        model = keras.Sequential([keras.Input((30,)), hidden, layers.Dense(2, "softmax")])
        model.compile("sgd", loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    def score(model, test):
        found = np.asarray(model.predict(test[0].x, verbose=0)).argmax(1)
        return float((found == test[0].y.argmax(1)).mean())

    return Program(build, *[(Batches(*part),) for part in parts], score)


PROGRAMS = (
    series_convolutions,
    series_transformer,
    forecast,
    text_classification,
    tagging,
    features,
    several_outputs,
    recommender,
    imbalance,
    regression,
    batches,
)
