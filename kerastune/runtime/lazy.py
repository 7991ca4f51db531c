"""Names of a package that are imported when they are used, so that nothing heavy is before."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kerastune.runtime import environment


def attributes(
    package: str, names: Mapping[str, str] | None = None, modules: Iterable[str] = ()
) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562).

    Args:
        package: its name, `__name__` in its `__init__`.
        names: the module that defines each name.
        modules: of the package, that are imported when they are named.

    Example:
        >>> attributes("kerastune", {"Recipe": "kerastune.recipe"})("Recipe").__name__
        'Recipe'
    """
    names, modules = names or {}, tuple(modules)

    def get(name: str) -> Any:
        if name in names:
            with contextlib.nullcontext() if "tensorflow" in sys.modules else environment.quiet():
                return getattr(importlib.import_module(names[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
