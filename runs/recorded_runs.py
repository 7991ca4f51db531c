"""The file of the recorded runs: what `universe.py` writes and `replay.py` plays against.

One compressed JSON file: `tasks` by name, and a list of `runs`, each the curves of one training.
"""

from __future__ import annotations

import gzip
import json
import os
import pathlib
from typing import Any

PATH = pathlib.Path(__file__).parent / "benchmark_results" / "universe.json.gz"


def read(path: pathlib.Path = PATH) -> dict[str, Any]:
    """Tasks and runs; both empty where there is no file yet."""
    if not path.exists():
        return {"tasks": {}, "runs": []}
    return json.loads(gzip.decompress(path.read_bytes()))


def write(universe: dict[str, Any], path: pathlib.Path = PATH) -> None:
    """Writes the file beside and renames it, so that it is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(universe, separators=(",", ":"), sort_keys=True)
    beside = path.with_suffix(".part")
    beside.write_bytes(gzip.compress(text.encode(), mtime=0))
    os.replace(beside, path)
