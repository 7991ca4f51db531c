"""What flags alone tell to be wrong: refused in one line before TensorFlow is imported.

Every check takes the values of flags, reads files at most, and raises `ValueError`, `OSError` or
`ImportError` with the flag, its value, what is expected and what to do.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from kerastune.budget import Budget
from kerastune.cli.command_flags import recipe_of
from kerastune.data import new_data as forms
from kerastune.executors import dispatch
from kerastune.export import versions
from kerastune.objective import Objective
from kerastune.playbook import extending, warm_start
from kerastune.playbook.stages import prune, registry
from kerastune.runtime import mlflow_settings
from kerastune.study.reader import Record, is_study
from kerastune.study.run_directory import NAME, RunDir


def flagfiles(paths: Sequence[str]) -> None:
    """Every `--flagfile` is there."""
    for path in paths:
        if path and not os.path.exists(os.path.expanduser(path)):
            raise FileNotFoundError(
                f"`--flagfile` ({path}) is not there (looked in {os.getcwd()}): name a file of "
                "flags, such as digits-out/best.flags."
            )


def recipe(flag_values: flags.FlagValues) -> None:
    """The flags describe a recipe."""
    recipe_of(flag_values)


def budget(flag_values: flags.FlagValues) -> None:
    """`--budget` is a time or a number of steps, or extends the search of the output directory."""
    asked = Budget.parse(flag_values.budget)
    if not asked.extends:
        return
    if flag_values.overwrite:
        raise ValueError(extending.deleted(asked))
    study = RunDir(flag_values.output_dir).study
    if not flag_values.output_dir or not is_study(study):
        where = flag_values.output_dir or "a new output directory"
        raise ValueError(extending.nothing_to_extend(asked, where))
    with Record(study) as record:
        extending.check(record, asked)


def stages(flag_values: flags.FlagValues) -> None:
    """`--stages` are stages, in their order."""
    registry.check(flag_values.stages)


def objective(flag_values: flags.FlagValues) -> None:
    """`--objective` has a name and a direction."""
    if flag_values.objective:
        Objective.parse(flag_values.objective)


def not_pretrained(flag_values: flags.FlagValues) -> None:
    """No `--pretrained`, which also a flagfile may have."""
    if flag_values.pretrained:
        raise ValueError(
            f"`--pretrained` ({flag_values.pretrained!r}) can't be cross-validated: name a "
            "function that loads the weights as --model."
        )


def output_dir(flag_values: flags.FlagValues) -> None:
    """`--output_dir` can be made and written, and holds nothing that is not kerastune's."""
    text = flag_values.output_dir
    if not text:
        _check_writable(Path("a new one"), Path.cwd())
        return
    # A null byte is refused by its own name, not by `resolve`.
    path = Path(text) if "\0" in text else Path(text).resolve()
    if not NAME.fullmatch(path.name):
        raise ValueError(
            "`output_dir` must end in a name of 1 to 64 characters, none of them a control "
            f"character or a backslash, got {str(path)!r}."
        )
    _check_writable(path, next(each for each in (path, *path.parents) if each.exists()))
    held = [each.name for each in path.iterdir()] if path.is_dir() else []
    if held:
        RunDir(path).check(flag_values.overwrite)


def _check_writable(path: Path, nearest: Path) -> None:
    """A directory can be made, or written, in the nearest of its parents that there is."""
    if not nearest.is_dir():
        raise ValueError(
            f"`output_dir` ({path}) can't be created ({nearest} is a file): name another one."
        )
    try:
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
        # Some file systems take a directory from nobody, whatever the permissions say.
        if nearest != path:
            os.rmdir(tempfile.mkdtemp(dir=nearest))
    except OSError as error:
        raise ValueError(
            f"`output_dir` ({path}) can't be written ({nearest}: {error.strerror or error}): name "
            "another one."
        ) from error


def has_study(flag_values: flags.FlagValues) -> None:
    """`--output_dir` holds a study."""
    study = RunDir(_named(flag_values)).study
    if not is_study(study):
        raise ValueError(
            f"`output_dir` ({study.parent}) holds no study of kerastune: name a search's output "
            "directory."
        )


def is_search(flag_values: flags.FlagValues) -> None:
    """The study of `--output_dir` is that of a search."""
    with Record(RunDir(_named(flag_values)).study) as record:
        if record.setting("command") == "crossval":
            raise ValueError(
                f"`output_dir` ({flag_values.output_dir}) holds a cross-validation, which decides "
                "nothing: name a search's output directory."
            )


def has_models(flag_values: flags.FlagValues) -> None:
    """`--output_dir` holds a model."""
    run_dir = RunDir(_named(flag_values))
    models = (run_dir.model, run_dir.calibrated, run_dir.ensemble, run_dir.tta)
    if not any(path.is_file() for path in models):
        raise ValueError(
            f"`output_dir` ({run_dir.path}) holds no {run_dir.model.name}: let `kerastune tune` "
            "finish, or name another one."
        )


def has_inputs(flag_values: flags.FlagValues) -> None:
    """`--output_dir` holds a finished search."""
    has_models(flag_values)
    run_dir = RunDir(flag_values.output_dir)
    if not run_dir.inputs.is_file():
        raise ValueError(
            f"`output_dir` ({run_dir.path}) holds no {run_dir.inputs.name}: let the search finish, "
            "or name another one."
        )


def new_data(flag_values: flags.FlagValues) -> None:
    """`--data` is there, and a table has the columns that the model takes."""
    if not flag_values.data:
        raise ValueError("`--data` is missing: name the file or folder, e.g. --data=new.csv.")
    path = Path(flag_values.data)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path} (looked in {os.getcwd()}).")
    about = json.loads(RunDir(flag_values.output_dir).inputs.read_text(encoding="utf-8"))
    forms.check(path, about["reading"])


def predictions(flag_values: flags.FlagValues) -> None:
    """`--predictions` can be written."""
    path = Path(flag_values.predictions or ".").expanduser()
    if flag_values.predictions and (path.is_dir() or not path.parent.is_dir()):
        raise ValueError(
            f"`--predictions` ({path}) must be a file in a folder that is there: name another one."
        )


def _named(flag_values: flags.FlagValues) -> str:
    if not flag_values.output_dir:
        raise ValueError(
            "`--output_dir` is missing: name a search's output directory, "
            "e.g. --output_dir=digits-out."
        )
    return flag_values.output_dir


def trained(directory: str) -> None:
    """`--trained` is the output directory of a search."""
    run_dir = RunDir(directory)
    if not (is_study(run_dir.study) and run_dir.flags.is_file()):
        raise ValueError(
            f"`--trained` ({directory}) holds no finished search of kerastune: name a search's "
            "output directory."
        )


def trained_stages(flag_values: flags.FlagValues) -> None:
    """With `--trained`, `--stages` are those that follow a training."""
    if flag_values.trained:
        warm_start.check_stages(flag_values.stages)


def teacher(flag_values: flags.FlagValues) -> None:
    """`--teacher` is a file."""
    if not os.path.isfile(flag_values.teacher):
        raise ValueError(
            f"`--teacher` must name a .keras file, got {flag_values.teacher!r}, which is not a "
            "file."
        )


def teacher_of_stages(flag_values: flags.FlagValues) -> None:
    """`--teacher` and stage `distill` come together."""
    if "distill" in flag_values.stages:
        teacher(flag_values)
    elif flag_values.teacher:
        raise ValueError(
            f"`--teacher` ({flag_values.teacher!r}) is for stage distill: add it to --stages, or "
            "use kerastune distill."
        )


def sparsity(flag_values: flags.FlagValues) -> None:
    """`--sparsity` are different numbers in [0, 1)."""
    try:
        given = [float(text) for text in flag_values.sparsity]
    except ValueError:
        shown = ",".join(flag_values.sparsity)
        raise ValueError(
            f"`--sparsity` must be fractions in [0, 1), as in 0.5,0.8,0.9, got {shown!r}."
        ) from None
    prune.checked(given)


def members(flag_values: flags.FlagValues) -> None:
    """`--member_folds` leaves a member without."""
    folds_of_members, most = flag_values.member_folds, flag_values.members
    if folds_of_members and not 2 <= folds_of_members < most:
        raise ValueError(
            f"`member_folds` must be 0, or at least 2 and less than `members` ({most}), got "
            f"{folds_of_members}: one member is trained on all examples."
        )


def folds(flag_values: flags.FlagValues) -> None:
    """`--folds` and `--repeats` can be cut."""
    if flag_values.folds < 2:
        raise ValueError(
            f"`folds` must be at least 2, got {flag_values.folds}: one is held out, the others are "
            "trained on."
        )
    if flag_values.repeats < 1:
        raise ValueError(f"`repeats` must be at least 1, got {flag_values.repeats}.")


def executor(flag_values: flags.FlagValues) -> None:
    """`--executor` and `--jobs` fit each other, and Ray is there where it is named."""
    dispatch.check(flag_values.executor, flag_values.jobs)


def tracker(flag_values: flags.FlagValues) -> None:
    """The packages of `--mlflow` are installed."""
    if flag_values.mlflow:
        mlflow_settings.check()


def export_format(flag_values: flags.FlagValues) -> None:
    """The packages of `--format` are installed."""
    versions.check_packages(flag_values.format)


def against(flag_values: flags.FlagValues) -> None:
    """`--against` is a version of a SavedModel, and one is exported."""
    path = flag_values.against
    if not path:
        return
    if flag_values.format != versions.SAVED_MODEL:
        raise ValueError(
            f"`--against` ({path}) is for --format={versions.SAVED_MODEL}, got "
            f"{flag_values.format!r}: leave it out."
        )
    if not (Path(path) / "saved_model.pb").is_file():
        raise ValueError(
            f"`--against` ({path}) holds no exported version: name its directory, e.g. "
            "digits-out/export/digits-out/1."
        )
