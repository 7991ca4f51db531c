"""Version directories that are there whole or not at all.

A polling server may read them at any moment.

TensorFlow Serving looks for directories with whole numbers for names, and loads the largest. It has
loaded models that were still being copied, with variables missing, and called that success
(tensorflow/serving#1086).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from kerastune.study import run_directory

SAVED_MODEL = "tf_saved_model"
# File endings of the formats that a model is exported in, and the packages that Keras converts
# with.
ENDINGS = {SAVED_MODEL: "", "keras": ".keras", "onnx": ".onnx", "litert": ".tflite"}
NEEDED = {"onnx": ("onnx", "tf2onnx")}

_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")
_UNFINISHED = ".tmp-"
_LOCK = ".lock"


def check_packages(format: str) -> None:
    """Raises `ImportError` where a package that Keras converts to a format with is not installed.

    Example:
        >>> check_packages("keras")
    """
    missing = [name for name in NEEDED.get(format, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"format `{format}` needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        )


def versions(model_dir: Path) -> list[int]:
    """The versions in a model's directory, ascending.

    Example:
        >>> import tempfile
        >>> model_dir = Path(tempfile.mkdtemp())
        >>> for name in ("2", "10", ".tmp-3-x", "notes"):
        ...     (model_dir / name).mkdir()
        >>> versions(model_dir)
        [2, 10]
    """
    if not model_dir.is_dir():
        return []
    return sorted(
        int(entry.name) for entry in model_dir.iterdir() if _VERSION.fullmatch(entry.name)
    )


@contextlib.contextmanager
def new_version(model_dir: Path, version: int | None = None) -> Iterator[tuple[Path, Path]]:
    """Gives a directory to build a version in.

    When the block ends well, it is renamed to the version's number.

    Files and directories are synced before the rename and the parent after it, so that this holds
    after a power cut too. A block that raises leaves nothing. What a killed process left is removed
    by the next one; a lock, which dies with its holder, tells the two from each other, and lets
    exports of the same model wait for one another.

    Args:
        model_dir: directory of the model; made if it is not there.
        version: number of the version, at least 0; by default 1 more than the largest, or 1.

    Yields:
        Where to build, and what it will be renamed to.

    Raises:
        ValueError: for a version that is there already, or no number.

    Example:
        >>> import tempfile
        >>> with new_version(Path(tempfile.mkdtemp())) as (build_dir, final_dir):
        ...     _ = (build_dir / "saved_model.pb").write_bytes(b"...")
        ...     final_dir.exists()
        False
        >>> final_dir.name, sorted(entry.name for entry in final_dir.iterdir())
        ('1', ['saved_model.pb'])
    """
    if version is not None and not _VERSION.fullmatch(str(version)):
        raise ValueError(f"`version` must be a whole number from 0 to 10^18, got {version!r}.")
    made = _make_directories(model_dir)
    with locked(model_dir):
        for leftover in model_dir.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover)
        final = model_dir / str(
            max(versions(model_dir), default=0) + 1 if version is None else version
        )
        if final.exists():
            raise ValueError(
                f"`version` {version} of {model_dir} exists: leave `version` out, or remove that "
                "directory."
            )
        build = model_dir / f"{_UNFINISHED}{final.name}-{secrets.token_hex(3)}"
        build.mkdir()
        try:
            yield build, final
            _sync_all(build)
            os.rename(build, final)
        except BaseException:
            shutil.rmtree(build, ignore_errors=True)
            raise
        for directory in (model_dir, *made):
            run_directory.sync(directory)


def _sync_all(directory: Path) -> None:
    """Waits until everything in a directory is on disk."""
    for folder, _, names in os.walk(directory, topdown=False):
        for name in names:
            run_directory.sync(Path(folder) / name)
        run_directory.sync(Path(folder))


def _make_directories(path: Path) -> list[Path]:
    """Makes a directory; gives the parents in which something new stands."""
    parents = []
    for directory in (path, *path.parents):
        if directory.exists():
            break
        parents.append(directory.parent)
    path.mkdir(parents=True, exist_ok=True)
    return parents


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lets one process at a time change what is in a directory; the others wait."""
    with open(directory / _LOCK, "a", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
