"""Refuses environments that kerastune can't run under, and starts TensorFlow quietly."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

GENERATED = "__autograph_generated_file"  # begins the names of modules that TensorFlow writes
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")  # what layers may compute in
VERSIONS = ("kerastune", "tensorflow", "keras", "keras-tuner", "numpy")
KERAS_TUNER_WORKERS = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")


def check(variables: Mapping[str, str] = os.environ) -> None:
    """Refuses environment variables under which Keras or KerasTuner would misbehave.

    Raises:
        ValueError: naming the variable: another Keras backend, legacy Keras, or KerasTuner's chief
            and workers.

    Example:
        >>> check({"TF_USE_LEGACY_KERAS": "1"})
        Traceback (most recent call last):
            ...
        ValueError: TF_USE_LEGACY_KERAS is '1', but kerastune works with Keras 3: unset it.
    """
    backend = variables.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND is {backend!r}, but kerastune needs 'tensorflow': unset it."
        )
    legacy = variables.get("TF_USE_LEGACY_KERAS", "")
    if legacy.lower() in ("1", "true"):
        raise ValueError(
            f"TF_USE_LEGACY_KERAS is {legacy!r}, but kerastune works with Keras 3: unset it."
        )
    for name in KERAS_TUNER_WORKERS:
        if name in variables:
            raise ValueError(
                f"{name} is set, but kerastune does not run as KerasTuner's chief or worker: unset "
                "it."
            )


def described() -> dict[str, str]:
    """What a search ran under, for the report: date, versions, cores."""
    found = {"written": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")}
    found["Python"] = platform.python_version()
    for name in VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # A checkout that is not installed, or tensorflow-cpu.
            continue
    return found | {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
    }


def remove_generated(modules: Mapping[str, Any] = sys.modules) -> None:
    """Removes files that TensorFlow has written into the temporary folder for this process.

    It removes them itself where a process ends by itself; what it has loaded from them stays.

    Args:
        modules: by name.
    """
    for name, module in list(modules.items()):
        path = getattr(module, "__file__", None)
        if name.startswith(GENERATED) and path:
            with contextlib.suppress(OSError):
                os.unlink(path)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Says that TensorFlow is loaded, and hides what its C++ code prints unless it fails."""
    from kerastune.runtime import screen

    shown = os.dup(2)
    try:
        with screen.waiting("Loading TensorFlow …", shown), quiet():
            yield
    finally:
        os.close(shown)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what TensorFlow's C++ code prints while it starts, unless it fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(screen, held.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
