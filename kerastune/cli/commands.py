"""The commands in one table: which flags each takes, what is checked, which stages run, and what
else it does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from absl import flags

from kerastune.cli import actions, flag_checks, source_checks
from kerastune.cli.command_flags import GROUPS, HYPERPARAMETERS, given_values
from kerastune.cli.flag import Flag
from kerastune.cli.own_flags import (
    GIVEN,
    NEW_DATA,
    OF_SEARCH,
    REGULARIZED,
    STARTING,
    SUGGESTED,
    TO_EXPORT,
)
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.stage_setup import Wanted
from kerastune.playbook.stages.start import leaves_some

Check = Callable[[flags.FlagValues], None]

RECIPE = (HYPERPARAMETERS, *(flag.name for flag in GROUPS["Recipe"]))
OF_DATA = (
    *("data", "label", "ignore", "types", "time", "groups", "validation_data", "test_data"),
    *("image_size", "skip_broken"),
)
DATA = (*OF_DATA, "kind", "standardize", "standardize_targets")
MODEL = ("model", "pretrained")
TRAINING = (
    *("budget", "objective", "refit", "keep", "executor", "jobs", "ray_address"),
    "mlflow",
)
RUN = ("output_dir", "overwrite", "precision", "gpu_memory_growth", "verbose")
SEARCH = (*DATA, *MODEL, *TRAINING, *RUN, *RECIPE)
MEMBERS = ("members", "member_folds", "tta")

READS_DATA = (flag_checks.recipe, source_checks.data, source_checks.model, flag_checks.objective)
SEARCHES = (
    flag_checks.budget,
    *READS_DATA,
    source_checks.pretrained,
    flag_checks.executor,
    flag_checks.tracker,
    flag_checks.output_dir,
)


def no_stages(flag_values: flags.FlagValues) -> Sequence[str]:
    """Of a command that is no search."""
    return ()


def tune_stages(flag_values: flags.FlagValues) -> Sequence[str]:
    """Those that `--stages` names, or else all that apply."""
    return flag_values.stages or _default_stages(flag_values)


def probe_stages(flag_values: flags.FlagValues) -> Sequence[str]:
    """The first two of `kerastune tune`."""
    return [name for name in _default_stages(flag_values) if name in ("start", "probe")]


def _default_stages(flag_values: flags.FlagValues) -> list[str]:
    wanted = Wanted(
        suggestions=leaves_some(given_values(flag_values)),
        baseline=flag_values.baseline,
        own_model=":" in flag_values.model and not flag_values.pretrained,
        pretrained=bool(flag_values.pretrained),
        ensemble=flag_values.ensemble,
        tta=flag_values.tta,
    )
    return registry.default_names(wanted)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: as it is typed.
        help: one line.
        flags: names of those that it takes on the command line; of a flagfile others have no
            effect.
        checks: of the values of flags, before anything heavy is imported; each raises `ValueError`
            or `OSError` in one line.
        run: does it, and gives lines to print.
        examples: two command lines.
        stages: names of the stages that run, from the flags.
        bare: name of the flag whose value may stand alone; empty for none.
        is_passing: whether nothing is left behind unless an output directory is named.
        own: flags that mean something else here than the table of flags says.
        titles: of groups of flags that have another one here.

    Example:
        >>> COMMANDS["status"].flags
        ('output_dir',)
    """

    name: str
    help: str
    flags: tuple[str, ...]
    checks: tuple[Check, ...]
    run: Callable[[flags.FlagValues, Sequence[str]], Sequence[str]]
    examples: tuple[str, str]
    stages: Callable[[flags.FlagValues], Sequence[str]] = no_stages
    is_passing: bool = False
    bare: str = ""
    own: tuple[Flag, ...] = ()
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)


TABLE = (
    Command(
        "tune",
        "find learning rate, batch size, schedule and regularization, and train the model",
        flags=(
            *SEARCH,
            *("stages", "baseline", "ensemble", *MEMBERS),
            *("trained", "sparsity", "teacher"),
        ),
        checks=(
            flag_checks.stages,
            flag_checks.members,
            *SEARCHES,
            flag_checks.sparsity,
            flag_checks.trained_stages,
            flag_checks.teacher_of_stages,
        ),
        run=actions.search,
        examples=(
            "kerastune tune --data=digits --budget=2m --output_dir=digits-out",
            "kerastune tune --data=people.csv --label=income --model=mine:build",
        ),
        stages=tune_stages,
        own=SUGGESTED,
        titles=STARTING,
    ),
    Command(
        "probe",
        "suggest a learning rate from 60 batches",
        flags=(*DATA, *MODEL, "budget", "objective", *RUN, *RECIPE),
        checks=SEARCHES,
        run=actions.probe,
        examples=(
            "kerastune probe --data=fashion_mnist --model=cnn",
            "kerastune probe --data=mine.npz --model=mine:build --optimizer=adam",
        ),
        stages=probe_stages,
        own=SUGGESTED,
        is_passing=True,
        titles=STARTING,
    ),
    Command(
        "train",
        "train one model with a given recipe, for example from a flagfile",
        flags=SEARCH,
        checks=SEARCHES,
        run=actions.train,
        examples=(
            "kerastune train --flagfile=digits-out/best.flags --output_dir=again-out",
            "kerastune train --data=digits --learning_rate=0.1 --total_steps=2000",
        ),
        stages=lambda flag_values: ["train"],
        own=GIVEN,
    ),
    Command(
        "ensemble",
        "train a given recipe with several seeds, and combine them where that helps",
        flags=(*SEARCH, *MEMBERS, "trained"),
        checks=(flag_checks.members, *SEARCHES),
        run=actions.train,
        examples=(
            "kerastune ensemble --flagfile=digits-out/best.flags --output_dir=ensemble-out",
            "kerastune ensemble --trained=digits-out --members=20 --member_folds=5",
        ),
        stages=lambda flag_values: ["train", "ensemble", *(["tta"] if flag_values.tta else [])],
        own=GIVEN,
    ),
    Command(
        "crossval",
        "cross-validate a given recipe on k folds",
        flags=(
            *(name for name in DATA if name != "validation_data"),
            *("model", "objective", "folds", "repeats"),
            *RUN,
            *RECIPE,
        ),
        checks=(
            flag_checks.not_pretrained,
            flag_checks.folds,
            *READS_DATA,
            flag_checks.output_dir,
        ),
        run=actions.crossval,
        examples=(
            "kerastune crossval --flagfile=digits-out/best.flags --folds=5 --repeats=2",
            "kerastune crossval --flagfile=people-out/best.flags --groups=household",
        ),
        own=(REGULARIZED,),
    ),
    Command(
        "prune",
        "set the smallest weights of a trained model to zero, while validation metrics hold",
        flags=(*SEARCH, "trained", "sparsity"),
        checks=(flag_checks.sparsity, *SEARCHES),
        run=actions.train,
        examples=(
            "kerastune prune --trained=digits-out --output_dir=pruned-out",
            "kerastune prune --flagfile=digits-out/best.flags --sparsity=0.5,0.8,0.9",
        ),
        stages=lambda flag_values: ["train", "prune"],
        own=GIVEN,
    ),
    Command(
        "distill",
        "distill a teacher into a model with a given recipe, where that helps",
        flags=(*SEARCH, "trained", "teacher"),
        checks=(flag_checks.teacher, *SEARCHES),
        run=actions.train,
        examples=(
            "kerastune distill --flagfile=small-out/best.flags --teacher=digits-out/ensemble.keras",
            "kerastune distill --trained=small-out --teacher=large.keras --output_dir=taught-out",
        ),
        stages=lambda flag_values: ["train", "distill"],
        own=GIVEN,
    ),
    Command(
        "predict",
        "predict new data with the final model of a search",
        flags=("output_dir", "data", "predictions", "gpu_memory_growth"),
        checks=(flag_checks.has_inputs, flag_checks.new_data, flag_checks.predictions),
        run=actions.predict,
        examples=(
            "kerastune predict --output_dir=people-out --data=new.csv",
            "kerastune predict --output_dir=pets-out --data=photos --predictions=pets.csv",
        ),
        own=(OF_SEARCH, NEW_DATA),
    ),
    Command(
        "evaluate",
        "metrics of the final model of a search on labelled data",
        flags=("output_dir", "data", "gpu_memory_growth"),
        checks=(flag_checks.has_inputs, flag_checks.new_data),
        run=actions.evaluate,
        examples=(
            "kerastune evaluate --output_dir=people-out --data=labelled.csv",
            "kerastune evaluate --output_dir=pets-out --data=pets/test",
        ),
        own=(OF_SEARCH, NEW_DATA),
    ),
    Command(
        "export",
        "write the final model for TensorFlow Serving, or as a Keras, ONNX or LiteRT file",
        flags=(
            *("output_dir", "export_dir", "format", "against", "ensemble", "tta"),
            *OF_DATA,
            *("model", "pretrained"),
            "gpu_memory_growth",
        ),
        checks=(
            flag_checks.has_models,
            flag_checks.export_format,
            flag_checks.against,
            source_checks.model,
            source_checks.pretrained,
        ),
        run=actions.export,
        examples=(
            "kerastune export --output_dir=digits-out",
            "kerastune export --output_dir=digits-out --format=onnx --noensemble --notta",
        ),
        own=TO_EXPORT,
    ),
    Command(
        "status",
        "show the progress of a search",
        flags=("output_dir",),
        checks=(flag_checks.has_study,),
        run=actions.status,
        examples=(
            "kerastune status --output_dir=digits-out",
            "watch -n 10 kerastune status --output_dir=digits-out",
        ),
        own=(OF_SEARCH,),
    ),
    Command(
        "why",
        "explain a decision: what else was tried, what it gave, what would change the answer",
        flags=("output_dir", "about"),
        checks=(flag_checks.has_study, flag_checks.is_search),
        run=actions.why,
        examples=(
            "kerastune why --output_dir=digits-out",
            "kerastune why --output_dir=digits-out --about=batch_size=256",
        ),
        own=(OF_SEARCH,),
        bare="about",
    ),
    Command(
        "report",
        "write report.html and report.md of a search again",
        flags=("output_dir",),
        checks=(flag_checks.has_study,),
        run=actions.report,
        examples=(
            "kerastune report --output_dir=digits-out",
            "kerastune report --output_dir=folds-out",
        ),
        own=(OF_SEARCH,),
    ),
)
COMMANDS = {command.name: command for command in TABLE}


def users_of(flag: str) -> list[str]:
    """Names of the commands that take a flag.

    Example:
        >>> users_of("folds")
        ['crossval']
    """
    return [command.name for command in TABLE if flag in command.flags]
