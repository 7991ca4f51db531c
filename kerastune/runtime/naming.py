"""Names that a user gives: of things in modules, and of what may be meant when there is none."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
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
        raise ValueError(f"{what} `{name}` has no module; write module:name.")
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


def check_module(name: str, flag: str) -> None:
    """Raises `ValueError` unless the module of `module:name` can be found, without importing it.

    Of a package of the user's own every part is looked for; other packages may make parts of
    themselves as they are imported.

    Example:
        >>> check_module("json.decoder:JSONDecoder", "model")
        >>> check_module("jsn:loads", "model")
        Traceback (most recent call last):
            ...
        ValueError: `--model` ('jsn:loads'): there is no module `jsn` here or installed.
    """
    module, _, attribute = name.partition(":")
    if not module or module.startswith(".") or not attribute:
        raise ValueError(f"`--{flag}` ({name!r}) must be module:name, as in mine:build.")
    if not _is_there(module):
        raise ValueError(f"`--{flag}` ({name!r}): there is no module `{module}` here or installed.")


def _is_there(module: str) -> bool:
    importlib.invalidate_caches()
    place, *parts = module.split(".")
    # Found from the working directory first, as it is imported.
    found = PathFinder.find_spec(place, [os.getcwd()])
    if found is None:
        return place in sys.modules or importlib.util.find_spec(place) is not None
    for part in parts:
        place = f"{place}.{part}"
        found = PathFinder.find_spec(place, list(found.submodule_search_locations or ()))
        if found is None:
            return False
    return True
