"""A symbolic tensor of several members at once.

It is in one of three forms: *shared* by all members, `[batch, ...]`; by *members*, `[batch,
members, ...]`; or by *channels*, `[batch, ..., members x channels]`, which is how grouped
convolutions want it. Only stock Keras layers are made, so that the result is saved and loaded like
any other model.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import layers

SHARED, MEMBERS, CHANNELS = "shared", "members", "channels"


class CannotStack(ValueError):
    """Members can't become one model; the message says why."""


@dataclasses.dataclass(frozen=True)
class Stacked:
    """A symbolic tensor of all members, and its form."""

    tensor: keras.KerasTensor
    form: str
    count: int

    @property
    def rank(self) -> int:
        """Rank of one member's tensor, the batch counted."""
        return len(self.tensor.shape) - (self.form == MEMBERS)

    def by_members(self) -> keras.KerasTensor:
        """The tensor as `[batch, members, ...]`."""
        shape = self._known_shape() if self.form != MEMBERS else ()
        if self.form == SHARED:
            return _repeat(layers.Reshape((1, *shape))(self.tensor), 1, self.count)
        if self.form == CHANNELS:
            spatial = shape[:-1]
            split = layers.Reshape((*spatial, self.count, shape[-1] // self.count))(self.tensor)
            order = (len(spatial) + 1, *range(1, len(spatial) + 1), len(spatial) + 2)
            return layers.Permute(order)(split) if spatial else split
        return self.tensor

    def by_channels(self) -> keras.KerasTensor:
        """The tensor as `[batch, ..., members x channels]`."""
        if self.form == SHARED:
            return _repeat(self.tensor, -1, self.count)
        if self.form == MEMBERS:
            _, *spatial, channels = self._known_shape()
            order = (*range(2, len(spatial) + 2), 1, len(spatial) + 2)
            moved = layers.Permute(order)(self.tensor) if spatial else self.tensor
            return layers.Reshape((*spatial, self.count * channels))(moved)
        return self.tensor

    def with_tensor(self, tensor: keras.KerasTensor) -> Stacked:
        """Another tensor in the same form."""
        return dataclasses.replace(self, tensor=tensor)

    def _known_shape(self) -> tuple[int, ...]:
        shape = tuple(self.tensor.shape[1:])
        if None in shape or not shape:
            raise CannotStack(f"a tensor of shape {list(self.tensor.shape)} has no static sizes")
        return shape


def _repeat(tensor, axis: int, count: int):
    return layers.Concatenate(axis)([tensor] * count) if count > 1 else tensor
