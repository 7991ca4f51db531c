"""How much memory is free, also in a container."""

import pytest

from kerastune.runtime import memory


def system(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


MACHINE = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   8000 kB\n"}
TWO = {"sys/fs/cgroup/memory.max": "5000000", "sys/fs/cgroup/memory.current": "1000000"}
ONE = "sys/fs/cgroup/memory/memory."
NESTED = "sys/fs/cgroup/user/job/memory."


@pytest.mark.parametrize(
    "files, bytes_free",
    [
        ({}, 8_192_000),
        (TWO, 4_000_000),
        ({**TWO, "sys/fs/cgroup/memory.max": "max"}, 8_192_000),
        ({**TWO, "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 600000\n"}, 4_600_000),
        ({f"{ONE}limit_in_bytes": "3000000", f"{ONE}usage_in_bytes": "1"}, 2_999_999),
        ({f"{ONE}limit_in_bytes": str(2**63), f"{ONE}usage_in_bytes": "1"}, 8_192_000),
        (
            {
                **TWO,
                "proc/self/cgroup": "0::/user/job\n",
                f"{NESTED}max": "700",
                f"{NESTED}current": "600",
            },
            100,
        ),
        ({"sys/fs/cgroup/memory.max": "5", "sys/fs/cgroup/memory.current": "9"}, 0),
    ],
)
def test_it_is_that_of_the_container_where_that_is_less(files, bytes_free, tmp_path):
    assert memory.free(system(tmp_path, {**MACHINE, **files})) == bytes_free


def test_it_is_found_where_the_system_tells_nothing(tmp_path):
    assert memory.free(tmp_path) > 1e6
