"""What MLflow needs before it is called: its packages, and settings that suit a search."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # where MLflow stores without a server
# Unless the user has set them: MLflow's own would wait for minutes for a server that is down.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def check() -> None:
    """Raises `ImportError` with what to do, where a package that logging needs is not installed."""
    store = os.environ.get("MLFLOW_TRACKING_URI", "") or DATABASES[0]
    needed = ["mlflow", *(["sqlalchemy", "alembic"] if store.startswith(DATABASES) else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"`mlflow` needs {' and '.join(missing)}, not installed: "
            "pip install 'kerastune[mlflow]'."
        )


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Has MLflow give up soon on a server that does not answer, unless the user set it."""
    ours = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what MLflow and its database tell of themselves off the screen."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [each.level for each in loggers]
    import mlflow  # noqa: F401  sets its levels as it is imported

    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
