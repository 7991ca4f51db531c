"""Wrappers around a model's `train_step` that can be put on and taken off in any order.

Also after an exception.
"""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras


class StepWrapper(abc.ABC):
    """Wraps every training step of one model, inside Keras's train function.

    Wrappers of the same model nest. Subclasses define `step`, which calls `self.inner(data)`.

    Args:
        model: a compiled and built Keras model.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self.inner = None
        self.for_one_fit = False

    @abc.abstractmethod
    def step(self, data: Any) -> Any:
        """Works around `self.inner(data)` and returns the logs, while Keras traces."""

    def undo(self) -> None:  # noqa: B027
        """Puts back what the wrapper changed besides `train_step`."""

    def install(self) -> None:
        """Wraps the model's `train_step`; the next step traces anew."""
        self.inner = self.model.train_step
        self.model.train_step = self.step
        type(self.model).make_train_function(self.model, force=True)

    def uninstall(self) -> None:
        """Takes this wrapper off, wherever it stands among the others.

        Does nothing when it is off already.
        """
        chain = _chain(self.model)
        if self not in chain:
            return
        place = chain.index(self)
        if place > 0:
            chain[place - 1].inner = self.inner
        elif self.inner == type(self.model).train_step.__get__(self.model, type(self.model)):
            del self.model.train_step
        else:
            self.model.train_step = self.inner
        self.undo()
        self.model.train_function = None


def install_for_one_fit(wrapper: StepWrapper) -> None:
    """Puts a wrapper on in `on_train_begin`, such that it cannot outlive its `fit`.

    An exception during `fit` skips `on_train_end`. Keras asks for the train function before it
    trains again, so that is where what was left over is taken off.
    """
    model = wrapper.model
    wrapper.for_one_fit = True

    def make_train_function(force=False):
        for leftover in _of_one_fit(model):
            leftover.uninstall()
        _forget(model)
        return model.make_train_function(force)

    wrapper.install()
    model.make_train_function = make_train_function


def uninstall_after_fit(wrapper: StepWrapper) -> None:
    """Takes a wrapper off in `on_train_end`."""
    wrapper.uninstall()
    if not _of_one_fit(wrapper.model):
        _forget(wrapper.model)


def _forget(model) -> None:
    if "make_train_function" in vars(model):
        del model.make_train_function


def _chain(model) -> list[StepWrapper]:
    """The wrappers that are on a model, the outermost first."""
    chain = []
    owner = getattr(vars(model).get("train_step"), "__self__", None)
    while isinstance(owner, StepWrapper):
        chain.append(owner)
        owner = getattr(owner.inner, "__self__", None)
    return chain


def _of_one_fit(model) -> list[StepWrapper]:
    return [wrapper for wrapper in _chain(model) if wrapper.for_one_fit]


@contextlib.contextmanager
def replaced(instance: object, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replaces a method of an instance for the length of a `with` block.

    By `replacement(original, ...)`.
    """
    was_patched = name in vars(instance)
    original = getattr(instance, name)
    setattr(instance, name, functools.partial(replacement, original))
    try:
        yield
    finally:
        delattr(instance, name)
        if was_patched:
            setattr(instance, name, original)
