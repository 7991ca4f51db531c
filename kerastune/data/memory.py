"""Refuses data that would not fit into memory."""

from __future__ import annotations

from kerastune.runtime import memory


def check(num_bytes: int, what: str) -> None:
    """Refuses what would not fit into the memory that is still available, by name.

    Example:
        >>> check(10**18, "big.npz")
        Traceback (most recent call last):
            ...
        ValueError: big.npz needs about 1000000000.0 GB of memory, ...
    """
    most = available()
    if num_bytes > most:
        raise ValueError(
            f"{what} needs about {num_bytes / 1e9:.1f} GB of memory, {most / 1e9:.1f} GB are "
            "available; data larger than memory is not supported: give fewer examples or smaller "
            "ones."
        )


def available() -> int:
    """Bytes of memory that can still be used, of the machine or of the container."""
    return memory.free()
