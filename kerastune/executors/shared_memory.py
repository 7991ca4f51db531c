"""Objects for other processes whose arrays are not copied: all map one file without a name.

A file that has no name can't be left behind, whoever is killed: it goes with the last process that
holds it.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import tempfile
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes; TensorFlow takes an array that begins so without copying it
LEAST_BYTES = 1024  # of an array that is worth sharing
MEMORY = "/dev/shm"  # where files are memory, on Linux


class SharedArrays:
    """A pickled object beside the file that holds its arrays, for processes of our own.

    Args:
        content: what is shared.

    Raises:
        Exception: whatever pickling raises.
    """

    def __init__(self, content: Any):
        place = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.file = tempfile.TemporaryFile(dir=place)
        stream = io.BytesIO()
        try:
            _Pickler(stream, self.file).dump(content)
            self.file.write(b"\0")  # an empty file can't be mapped
            self.file.flush()
        except BaseException:
            self.file.close()
            raise
        self.data = stream.getvalue()

    def close(self) -> None:
        """Lets go of the file; whoever has mapped it keeps it."""
        self.file.close()


def opened(data: bytes, descriptor: int) -> Any:
    """The object of a `SharedArrays`, from its data and its file; its arrays are read-only."""
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    return _Unpickler(io.BytesIO(data), mapped).load()


class _Pickler(pickle.Pickler):
    def __init__(self, stream, file):
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._file = file
        self._places: dict[int, tuple] = {}
        self._kept: list[np.ndarray] = []  # so that no id is used twice

    def persistent_id(self, value):
        if not isinstance(value, np.ndarray) or value.dtype.hasobject or value.nbytes < LEAST_BYTES:
            return None
        if id(value) not in self._places:
            start = -(-self._file.tell() // ALIGNMENT) * ALIGNMENT
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(value).data.cast("B"))
            self._places[id(value)] = start, value.dtype, value.shape
            self._kept.append(value)
        return self._places[id(value)]


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream, mapped):
        super().__init__(stream)
        self._mapped = mapped

    def persistent_load(self, place):
        start, dtype, shape = place
        return np.ndarray(shape, dtype, self._mapped, start)
