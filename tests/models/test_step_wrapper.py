"""Wrappers nest, and come off in any order without a trace."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerastune.models.step_wrapper import StepWrapper, install_for_one_fit, uninstall_after_fit


class Noted(StepWrapper):
    """Notes when it runs and when it is undone."""

    def __init__(self, model, name, notes):
        super().__init__(model)
        self.name, self.notes = name, notes

    def step(self, data):
        self.notes.append(self.name)
        return self.inner(data)

    def undo(self):
        self.notes.append(f"undo {self.name}")


class Own(keras.Sequential):
    """Its `train_step` gives the data back, so nothing needs to be trained."""

    def train_step(self, data):
        return {"data": data}


class Decorated(Own):
    train_step = tf.function(Own.train_step)


def model(kind=Own):
    made = kind([keras.Input([1]), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def wrapped(made, names, install=StepWrapper.install):
    notes = []
    wrappers = {name: Noted(made, name, notes) for name in names}
    for wrapper in wrappers.values():
        install(wrapper)
    return wrappers, notes


def is_plain(made):
    return not {"train_step", "make_train_function"} & set(vars(made))


def test_the_last_one_on_is_the_outermost():
    made = model()
    _, notes = wrapped(made, "abc")
    assert made.train_step(3) == {"data": 3}
    assert notes == ["c", "b", "a"]


@pytest.mark.parametrize("kind", [Own, Decorated])
@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_they_come_off_in_any_order(order, kind):
    made = model(kind)
    wrappers, notes = wrapped(made, "abc")
    left = list("cba")
    for name in order:
        assert not is_plain(made)
        wrappers[name].uninstall()
        left.remove(name)
        assert notes.pop() == f"undo {name}"
        made.train_step(tf.constant(3))
        assert notes == left
        notes.clear()
    assert is_plain(made)
    assert made.train_function is None


def test_coming_off_twice_does_nothing_the_second_time():
    made = model()
    wrappers, notes = wrapped(made, "ab")
    wrappers["a"].uninstall()
    wrappers["a"].uninstall()
    assert notes == ["undo a"]
    assert made.train_step.__self__ is wrappers["b"]


def test_a_train_step_that_the_user_put_on_the_instance_stays():
    made = model()
    own = lambda data: {"mine": data}  # noqa: E731
    made.train_step = own
    wrappers, _ = wrapped(made, "ab")
    assert made.train_step(1) == {"mine": 1}
    wrappers["a"].uninstall()
    wrappers["b"].uninstall()
    assert made.train_step is own


def test_installing_makes_the_train_function_anew():
    made = model()
    made.make_train_function()
    before = made.train_function
    wrapped(made, "a")
    assert made.train_function is not before
    kept = made.train_function
    made.make_train_function()
    assert made.train_function is kept


def test_after_a_fit_that_ended_well_nothing_is_left():
    made = model()
    wrappers, notes = wrapped(made, "abc", install_for_one_fit)
    for name in "bca":
        assert not is_plain(made)
        uninstall_after_fit(wrappers[name])
    assert is_plain(made)
    assert notes == ["undo b", "undo c", "undo a"]


def test_after_an_exception_the_next_training_takes_off_what_is_left():
    made = model()
    _, notes = wrapped(made, "abc", install_for_one_fit)
    made.make_train_function()
    assert is_plain(made)
    assert made.train_function is not None
    assert sorted(notes) == ["undo a", "undo b", "undo c"]


@pytest.mark.parametrize("lasting", ["a", "c"])
def test_what_was_put_on_for_good_outlives_an_exception(lasting):
    made = model()
    notes = []
    wrappers = {name: Noted(made, name, notes) for name in "abc"}
    for name, wrapper in wrappers.items():
        wrapper.install() if name == lasting else install_for_one_fit(wrapper)
    made.make_train_function()
    assert f"undo {lasting}" not in notes and len(notes) == 2
    assert made.train_step.__self__ is wrappers[lasting]
    assert "make_train_function" not in vars(made)
    wrappers[lasting].uninstall()
    assert is_plain(made)


def test_the_train_function_that_keras_runs_goes_through_the_wrapper():
    made = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    x = np.ones([4, 1], "float32")
    wrappers, notes = wrapped(made, "a")
    made.fit(x, x, verbose=0)
    made.fit(x, x, verbose=0)
    assert notes == ["a"]  # traced once, kept for the second fit
    wrappers["a"].uninstall()
    made.fit(x, x, verbose=0)
    assert notes == ["a", "undo a"]
