"""Constructor arguments of KerasTuner's tuners: which work, and what takes the others' place."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from kerastune.runtime import naming

_BUDGET = "the budget says how long a search may be: leave it out, and pass budget="
_OWN_STAGES = "the playbook's stages search, and no tuner of KerasTuner's: leave it out"
# By name: the values that change nothing, and what takes the place of others.
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "max_retries_per_trial": (
        (0, None),
        "a trial that was lost is trained again by itself, and a network that can't be trained is "
        "passed over: leave it out",
    ),
    "max_consecutive_failed_trials": (
        (3, None),
        "networks that can't be trained are passed over, however many: leave it out",
    ),
    "distribution_strategy": (
        (None,),
        "trials run side by side instead: pass executor='processes' or executor='ray'",
    ),
    "optimizer": (
        (None,),
        "the optimizer is tuned: leave it out, and pass recipe={'optimizer': 'adam'} to start "
        "with one",
    ),
    "factor": ((3,), _BUDGET),
    "hyperband_iterations": ((1,), _BUDGET),
    "num_initial_points": ((None,), _OWN_STAGES),
    "alpha": ((1e-4, None), _OWN_STAGES),
    "beta": ((2.6, None), _OWN_STAGES),
    "oracle": ((None,), _OWN_STAGES),
    "logger": ((None,), "the log is kerastune.log in the project's directory: leave it out"),
    "tuner_id": (
        (None,),
        "one process holds a search, and trials run side by side by executor='processes': leave it "
        "out",
    ),
}


def refuse(given: dict[str, Any], known: list[str]) -> None:
    """Refuses arguments that have no meaning here.

    Args:
        given: arguments by name, of KerasTuner's or of nobody's.
        known: names of the arguments that there are.

    Raises:
        ValueError: by name, with what takes its place.

    Example:
        >>> refuse({"factor": 3, "tuner_id": None}, [])
        >>> refuse({"budgit": "2m"}, ["budget"])
        Traceback (most recent call last):
        ValueError: PlaybookTuner has no argument `budgit`; did you mean `budget`?
    """
    for name, value in given.items():
        if name not in REFUSED:
            hint = naming.did_you_mean(name, known)
            raise ValueError(f"PlaybookTuner has no argument `{name}`{hint or ': leave it out.'}")
        unchanged, instead = REFUSED[name]
        if not any(value is each or value == each for each in unchanged):
            raise ValueError(f"`{name}` ({value!r}) can't be given: {instead}.")


def at_least_one(name: str, value: int | None) -> int | None:
    """An integer of 1 or more, or `None`; else `ValueError`.

    Example:
        >>> at_least_one("max_trials", 5), at_least_one("max_epochs", None)
        (5, None)
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and value >= 1):
        raise ValueError(f"`{name}` must be an integer >= 1, got {value!r}.")
    return value


def notes(executions_per_trial: int) -> tuple[str, ...]:
    """What a search says of arguments that it takes otherwise than KerasTuner, a sentence each.

    Example:
        >>> notes(1)
        ()
    """
    if executions_per_trial == 1:
        return ()
    return (
        f"`executions_per_trial` ({executions_per_trial}): a trial is trained once, and the "
        "final model with other seeds, too, where the budget holds them.",
    )


def check_hypermodel(hypermodel: Any) -> None:
    """Raises `ValueError` for what does not build a model."""
    if isinstance(hypermodel, keras.layers.Layer):
        raise ValueError(
            "`hypermodel` must be a function build(hp) that makes a new model at each call, got "
            f"the model {hypermodel.name!r}: move what makes it into the function."
        )
    if not (isinstance(hypermodel, keras_tuner.HyperModel) or callable(hypermodel)):
        raise ValueError(
            "`hypermodel` must be a function build(hp) or a keras_tuner.HyperModel, "
            f"got {hypermodel!r}."
        )
