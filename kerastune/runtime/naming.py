"""Names that a user gives: of things in modules, and of what may be meant when there is none."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterable
from typing import Any


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the known name nearest to a word, or nothing.

    Example:
        >>> did_you_mean("digit", ["digits", "iris"])
        '; did you mean `digits`?'
    """
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def imported(name: str, what: str) -> Any:
    """What `module:name` names; modules in the working directory are found too.

    Args:
        name: the module's name, a colon, and the name of what is in it.
        what: the setting that this is of, for messages.

    Raises:
        ValueError: with one line, when there is no such module or nothing of that name in it. An
            error inside the module comes as it is.

    Example:
        >>> imported("math:pi", "model")
        3.141592653589793
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or module_name.startswith("."):
        raise ValueError(f"{what} `{name}` names no module; write module:name.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module missing inside the user's own is the user's error, with its own traceback.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{what} `{name}`: there is no module `{module_name}` here or installed."
        ) from None
    if not hasattr(module, attribute):
        hint = did_you_mean(attribute, dir(module))
        raise ValueError(f"{what} `{name}`: module `{module_name}` has no `{attribute}`{hint}.")
    return getattr(module, attribute)


def check_module(name: str, value: str) -> None:
    """Refuses `module:name` of a module that is not there; nothing of it is run.

    Raises:
        ValueError: naming the flag, and where was looked.

    Example:
        >>> check_module("model", "json:loads")
    """
    module = value.partition(":")[0]
    first = module.partition(".")[0]
    path = [os.getcwd(), *sys.path]
    known = first in sys.modules or first in sys.builtin_module_names
    if not first or not (known or importlib.machinery.PathFinder.find_spec(first, path)):
        raise ValueError(
            f"`--{name}` ({value!r}): there is no module `{module}` here ({os.getcwd()}) or installed."
        )
