"""Arrays as bytes: exact, and nothing but a `ValueError` for bytes that are something else."""

import json
import zlib

import numpy as np
import pytest

from kerastune.study.array_codec import pack, unpack

ARRAYS = {
    "odd": np.array([1.5, np.nan, np.inf, -0.0, 1e-45], np.float32),
    "steps": np.arange(0, 100, 10),
    "norms": np.random.default_rng(0).random([10, 3], np.float32),
    "transposed": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    "flags": np.array([True, False]),
    "größe": np.zeros([0, 3], np.float32),
    "scalar": np.array(3, np.uint8),
}


def test_arrays_come_back_bit_by_bit_and_in_their_order():
    found = unpack(pack(ARRAYS))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes() and found[name].flags.writeable
    assert unpack(pack({})) == {}


@pytest.mark.parametrize(
    "array", [np.array([{}], object), np.array(["a"]), np.array([1j]), np.zeros(1, "M8[s]")]
)
def test_what_is_no_number_is_not_packed(array):
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        pack({"x": array})


def crafted(head, body=b""):
    described = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(described).to_bytes(4, "little") + described + zlib.compress(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4",
        crafted(b"{"),
        crafted(b"[" * 100_000),
        crafted([["x", "|O", [1]]], bytes(8)),
        crafted([["x", "<f4", [2]]], bytes(4)),
        crafted([["x", "<f4", [1]]], bytes(10**7)),
        crafted([["x", "<f4", [-1]]]),
        crafted([["x", "<f4", [10**30]]]),
        crafted([["x", "<f4"]]),
        crafted([["x", "no type", [1]]], bytes(4)),
        crafted({"a": 1}),
        crafted(7),
    ],
)
def test_bytes_that_hold_something_else_are_refused(data):
    with pytest.raises(ValueError, match="are not arrays"):
        unpack(data)


def test_every_truncation_is_refused():
    data = pack(ARRAYS)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="are not arrays"):
            unpack(data[:length])
