"""What is told of the inputs of a model."""

import keras
import numpy as np

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
