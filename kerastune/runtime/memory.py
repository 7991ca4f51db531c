"""How much memory is free: of the machine, and of the container that it runs in."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Limit, use and statistics of a control group, in the second and the first version.
_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_CACHE = ("inactive_file", "total_inactive_file")  # which is given back when it is needed


def free(system: Path = Path("/")) -> int:
    """Bytes of memory that are free, of the machine or of the container, whichever is less.

    Linux's own estimate, elsewhere half of what there is.

    Args:
        system: where `/proc` and `/sys` are.

    Example:
        >>> free() > 0
        True
    """
    found = []
    with contextlib.suppress(OSError, ValueError):
        lines = (system / "proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for folder, limit, used in _GROUPS:
        for group in _own_and_above(system, folder):
            # A group without a limit says `max`, or a number larger than any memory.
            with contextlib.suppress(OSError, ValueError):
                most = int((group / limit).read_text())
                taken = int((group / used).read_text()) - _cache(group / "memory.stat")
                found.append(most - taken)
    if not found and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(min(found, default=0), 0)


def _own_and_above(system: Path, folder: str) -> list[Path]:
    """Directories of this process's group and of those that it is in."""
    root = system / folder
    own = ""
    with contextlib.suppress(OSError):
        lines = (system / "proc/self/cgroup").read_text().splitlines()
        fields = [line.split(":", 2) for line in lines]
        wanted = "" if folder.endswith("cgroup") else "memory"
        own = next((path for _, kind, path in fields if wanted in kind.split(",")), "")
    inside = [root / own.strip("/")] if own.strip("/") else []
    above = [each for path in inside for each in path.parents if each.is_relative_to(root)]
    return list(dict.fromkeys([*inside, *above, root]))


def _cache(statistics: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in statistics.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in _CACHE:
                return int(value)
    return 0
