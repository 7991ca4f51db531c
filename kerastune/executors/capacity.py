"""How many trials fit side by side, from what one needs and what there is (S1.5)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

MEMORY_FRACTION = 0.8  # of the free memory that more workers may take
GPU_FRACTION = 0.9  # of a GPU's memory that all workers on it may take


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(num_cores: int, jobs: int, variables: Mapping[str, str] = os.environ) -> int:
    """Threads of each of several workers: the cores divided between them.

    How many threads add up a sum changes how it is rounded; where `TF_NUM_INTRAOP_THREADS` is set,
    every worker has that many.

    Example:
        >>> threads(8, 3, {}), threads(2, 4, {}), threads(8, 2, {"TF_NUM_INTRAOP_THREADS": "1"})
        (2, 1, 1)
    """
    told = variables.get("TF_NUM_INTRAOP_THREADS", "")
    return int(told) if told.isdigit() and int(told) else max(num_cores // jobs, 1)


def fitting(needed: int, free: int, num_cores: int, gpus: list[int] = ()) -> int:
    """How many workers there may be, one of which runs already; at least 1.

    Args:
        needed: bytes that one worker needs, of a GPU where there is one.
        free: bytes of the machine's memory that are free now.
        num_cores: every worker has one at least.
        gpus: bytes of memory of every GPU.

    Example:
        >>> fitting(10**9, free=3 * 10**9, num_cores=8), fitting(10**9, 10**10, 2)
        (3, 2)
        >>> fitting(2 * 10**9, free=0, num_cores=8, gpus=[8 * 10**9])
        3
    """
    if gpus:
        most = sum(int(GPU_FRACTION * total / max(needed, 1)) for total in gpus)
    else:
        most = 1 + int(MEMORY_FRACTION * free / max(needed, 1))
    return max(min(most, num_cores), 1)


def gpu_memory() -> list[int]:
    """Bytes of memory of every GPU that NVIDIA's driver tells of."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        ).stdout
        return [int(line) * 2**20 for line in told.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []


def gpu_limit(jobs: int, gpus: list[int]) -> int | None:
    """Bytes that a worker may take of its GPU; `None` where it has one to itself or has none.

    Example:
        >>> gpu_limit(4, [10**10, 10**10]), gpu_limit(2, [10**10, 10**10]), gpu_limit(2, [])
        (4500000000, None, None)
    """
    if not gpus or jobs <= len(gpus):
        return None
    return int(GPU_FRACTION * min(gpus) / -(-jobs // len(gpus)))
