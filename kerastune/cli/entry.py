"""The door: flags, commands and what they print. Nothing heavy is imported before a command needs
it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerastune.budget import LEAST_STEPS, Budget
from kerastune.cli.command_flags import AUTO, DATA_FLAGS, define, recipe_of
from kerastune.export import versions
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.distill import EXTRA_TRAININGS, GRID
from kerastune.playbook.stages.stage_setup import Wanted
from kerastune.recipe import Recipe
from kerastune.runtime import environment, signals
from kerastune.study import run_directory

COMMANDS = {
    "tune": "find learning rate and number of steps for a model and data, and train it",
    "probe": "suggest a learning rate from 60 batches (S1.7)",
    "train": "train the recipe of a flagfile",
    "ensemble": "train the recipe of a flagfile with several seeds, and combine them where that helps",
    "crossval": "train the recipe of a flagfile on k folds, and tell how well it does on what each holds out",
    "prune": "set the smallest weights of a trained model to zero, as many as validation allows",
    "distill": "train the recipe of a flagfile with a teacher, and keep that where it helps",
    "export": "write what was tuned as TensorFlow Serving, or another runtime, takes it",
    "status": "tell how a search stands, from another terminal or after it",
    "report": "write report.html and report.md of a search anew, from what is in --output_dir",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit status: 0, 2 for what the user must mend, 130 or 143 when it
    was stopped.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    flag_values = flags.FlagValues()
    define(flag_values)
    if not arguments or arguments[0] in ("help", "--help", "-h") or arguments[0] not in COMMANDS:
        return _usage(arguments)
    command, rest = arguments[0], arguments[1:]
    if any(argument in ("--help", "-h", "-help", "--helpfull") for argument in rest):
        print(f"kerastune {command}: {COMMANDS[command]}\n\n{flag_values.get_help()}".rstrip())
        return 0

    def leave(status: int) -> None:
        going_on = signals.resuming_command(["kerastune", *arguments], flag_values.output_dir)
        signals.leave(status, f"kerastune was stopped. It goes on from here with:\n  {going_on}")

    try:
        with signals.listening(leave):
            return run(command, rest, flag_values)
    except signals.Stopped as stopped:
        return leave(stopped.status)
    except Exception as error:
        if (stopped := signals.behind(error)) is not None:
            return leave(stopped.status)
        # A worker that is lost again and again, a network that no memory holds: our words say it,
        # others' bugs do not.
        is_told = isinstance(error, (RuntimeError, MemoryError)) and _is_ours(error)
        if not (is_told or isinstance(error, (flags.Error, ValueError, OSError, ImportError))):
            raise
        if not isinstance(error, (flags.Error, OSError)) and not _is_ours(error):
            traceback.print_exception(error)  # of the user's own code, or of a library under it
        print(f"kerastune {command}: {error}", file=sys.stderr)
        if (
            flag_values.is_parsed()
            and flag_values.output_dir
            and not flag_values["output_dir"].present
        ):
            with contextlib.suppress(OSError):
                os.rmdir(
                    flag_values.output_dir
                )  # made for this run; it stays when something is in it
        return 2


def program(argv: Sequence[str] | None = None) -> int:
    """`main` for a process of its own, which an interrupt ends also in its last moments.

    While Python takes leave it would print an interrupt and end with status 0, as if nobody had
    told it to stop.
    """
    status = main(argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by kerastune itself, whose message then says all."""
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(where).is_relative_to(Path(__file__).parent.parent)


def run(command: str, arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Parses the flags and runs a command.

    Raises:
        absl.flags.Error: for an unknown flag or a value that it does not take.
        ValueError: for settings or data that can't be used.
    """
    surplus = flag_values(["kerastune", *_flags_of_trained(arguments), *arguments])[1:]
    if surplus:
        raise ValueError(f"{surplus[0]!r} is not a flag; flags begin with --, as in --data=digits.")
    if command in ("report", "status"):
        return {"report": report, "status": status}[command](flag_values)
    recipe = recipe_of(flag_values)
    Budget.parse(flag_values.budget)
    registry.check(flag_values.stages)
    if flag_values.groups and command != "crossval":
        raise ValueError(
            f"`--groups` ({flag_values.groups!r}) is for crossval; the other commands cut parts at random."
        )
    if command == "export" and not flag_values.output_dir:
        raise ValueError(
            "`--output_dir` must name the directory that `kerastune tune` has written."
        )
    output_dir = Path(flag_values.output_dir or run_directory.new())
    # A null byte is refused by its own name, not by `resolve`.
    output_dir = output_dir if "\0" in str(output_dir) else output_dir.resolve()
    if not run_directory.NAME.fullmatch(output_dir.name):
        raise ValueError(
            f"`output_dir` must end in 1 to 64 letters, digits, `.`, `_` or `-`, got {str(output_dir)!r}."
        )
    flag_values.output_dir = str(output_dir)
    started = (tune, probe, train, ensemble, distill, prune, crossval, export)
    return {each.__name__: each for each in started}[command](flag_values, recipe)


def tune(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune tune`."""
    return _search(flag_values, recipe, flag_values.stages or _default_stages(flag_values))


def probe(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune probe`."""
    return _search(
        flag_values,
        recipe,
        [name for name in _default_stages(flag_values) if name in ("start", "probe")],
    )


def train(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune train`."""
    return _train_given(flag_values, recipe, ["train"], trainings=1)


def ensemble(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune ensemble`."""
    stages = ["train", "ensemble", *(["tta"] if flag_values.tta else [])]
    return _train_given(flag_values, recipe, stages, trainings=flag_values.members)


def prune(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune prune`."""
    return _train_given(
        flag_values, recipe, ["train", "prune"], trainings=1 + len(flag_values.sparsity)
    )


def distill(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune distill`."""
    if not os.path.isfile(flag_values.teacher):
        raise ValueError(
            f"`--teacher` must name a .keras model, got {flag_values.teacher!r}, which is no file."
        )
    return _train_given(
        flag_values, recipe, ["train", "distill"], trainings=1 + len(GRID) + EXTRA_TRAININGS
    )


def _flags_of_trained(arguments: Sequence[str]) -> list[str]:
    """The flagfile of the output directory that `--trained` names; flags that are given win over
    it.
    """
    asked = flags.FlagValues()
    define(asked)
    asked(["kerastune", *arguments])
    return [f"--flagfile={run_directory.RunDir(asked.trained).flags}"] if asked.trained else []


def _train_given(
    flag_values: flags.FlagValues, recipe: Recipe, stages: list[str], trainings: int
) -> int:
    if not flag_values["budget"].present:
        # The recipe says how long to train; one more leaves room for rounding up to whole
        # evaluations.
        flag_values.budget = f"{max((trainings + 1) * recipe.total_steps, LEAST_STEPS)}steps"
    return _search(flag_values, _with_regularizers(flag_values, recipe), stages)


def _with_regularizers(flag_values: flags.FlagValues, recipe: Recipe) -> Recipe:
    return recipe if flag_values["regularizers"].present else recipe.replace(regularizers="on")


def crossval(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune crossval`."""
    environment.check()
    if flag_values.pretrained:
        raise ValueError(
            "`--pretrained` can't be cross-validated: name a function that loads the weights as --model."
        )
    with environment.quiet_start():
        from kerastune.cli import summary
        from kerastune.data import cross_validation_set
        from kerastune.runtime import devices, logs
        from kerastune.tuner.cross_validation import CrossValidation

        devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    logs.to_screen()
    output_dir = Path(flag_values.output_dir)
    crossed = CrossValidation(
        flag_values.model,
        cross_validation_set.load(**_source(flag_values), groups=flag_values.groups),
        _with_regularizers(flag_values, recipe),
        num_folds=flag_values.folds,
        repeats=flag_values.repeats,
        seed=flag_values.seed,
        objective=flag_values.objective,
        directory=output_dir.parent,
        project_name=output_dir.name,
        overwrite=flag_values.overwrite,
    )
    crossed.run({name: flag_values[name].value for name in (*DATA_FLAGS, "groups")})
    summary.show_folds(crossed)
    return 0


def export(flag_values: flags.FlagValues, recipe: Recipe) -> int:
    """`kerastune export`."""
    environment.check()
    run_dir = run_directory.RunDir(flag_values.output_dir)
    settings = _settings_of(run_dir, flag_values)
    with environment.quiet_start():
        from kerastune.export import from_run
        from kerastune.runtime import devices, logs

        devices.set_up(flag_values.gpu_memory_growth)
    logs.to_screen()
    base = Path(flag_values.export_dir or run_dir.export)
    parts = {"views": flag_values.tta, "ensemble": flag_values.ensemble}
    path = from_run.release(run_dir, base, flag_values.format, settings, **parts)
    print(f"Exported to {path}")
    if flag_values.format == versions.SAVED_MODEL:
        print(f"How to serve and ask it: {base / 'README.md'}")
    return 0


def _settings_of(run_dir: run_directory.RunDir, flag_values: flags.FlagValues) -> dict[str, Any]:
    """What a search was told of data and model: as its flagfile has it, unless it is given now."""
    found = flags.FlagValues()
    define(found)
    files = (path for path in (run_dir.flags, run_dir.crossval_flags) if path.is_file())
    found(["kerastune", *[f"--flagfile={path}" for path in files]])
    sources = (flag_values, found)
    names = (*DATA_FLAGS, "groups")
    return {
        name: values[name].value
        for name in names
        for values in sources[::-1]
        if values[name].present
    }


def status(flag_values: flags.FlagValues) -> int:
    """`kerastune status`."""
    from kerastune.report import status

    run_dir = _run_dir(flag_values)
    is_of_folds = status.is_of_folds(run_dir)
    print(
        *(status.lines_of_folds(run_dir) if is_of_folds else status.lines(status.read(run_dir))),
        sep="\n",
    )
    return 0


def _run_dir(flag_values: flags.FlagValues) -> run_directory.RunDir:
    if not flag_values.output_dir:
        raise ValueError("`--output_dir` must name the output directory of a search.")
    return run_directory.RunDir(Path(flag_values.output_dir).resolve())


def report(flag_values: flags.FlagValues) -> int:
    """`kerastune report`."""
    run_dir = _run_dir(flag_values)
    from kerastune.report import writer
    from kerastune.study.database import Record

    with Record(run_dir.study) as record:
        is_crossval = record.setting("command") == "crossval"
        (writer.write_folds if is_crossval else writer.write)(run_dir, record)
    print(f"{run_dir.report}\n{run_dir.report_markdown}")
    return 0


def _default_stages(flag_values: flags.FlagValues) -> list[str]:
    wanted = Wanted(
        batch_size=flag_values.batch_size == AUTO,
        baseline=flag_values.baseline,
        own_model=":" in flag_values.model and not flag_values.pretrained,
        pretrained=bool(flag_values.pretrained),
        ensemble=flag_values.ensemble,
        tta=flag_values.tta,
    )
    return registry.default_names(wanted)


def _search(flag_values: flags.FlagValues, recipe: Recipe, stages: list[str]) -> int:
    environment.check()
    with environment.quiet_start():
        from kerastune.cli import summary
        from kerastune.data import loading
        from kerastune.runtime import devices, logs
        from kerastune.tuner import teachers
        from kerastune.tuner.playbook_tuner import PlaybookTuner

        notes = devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    logs.to_screen()
    problem = loading.load(**_source(flag_values))
    problem = dataclasses.replace(problem, notes=(*notes, *problem.notes))
    hypermodel, teacher = _hypermodel(flag_values, problem), None
    if flag_values.teacher:
        raw = loading.load(**{**_source(flag_values), "standardize": False, "for_own_model": True})
        problem, hypermodel = teachers.of_raw_inputs(problem, raw, hypermodel)
        teacher = teachers.load(flag_values.teacher)
    output_dir = Path(flag_values.output_dir)
    tuner = PlaybookTuner(
        hypermodel,
        objective=flag_values.objective,
        budget=flag_values.budget,
        directory=output_dir.parent,
        project_name=output_dir.name,
        seed=flag_values.seed,
        overwrite=flag_values.overwrite,
        recipe=recipe,
        stages=stages,
        refit=flag_values.refit,
        members=flag_values.members,
        member_folds=flag_values.member_folds,
        sparsities=_sparsities(flag_values.sparsity),
        trained=flag_values.trained or None,
        teacher=teacher,
        keep=flag_values.keep,
        executor=flag_values.executor,
        jobs=flag_values.jobs,
        ray_address=flag_values.ray_address,
    )
    tuner.search(problem, settings={name: flag_values[name].value for name in DATA_FLAGS})
    summary.show(tuner)
    return 0


def _source(flag_values: flags.FlagValues) -> dict[str, Any]:
    """The data that the flags describe, as arguments of `data.load`."""
    names = ("label", "image_size", "standardize", "seed", "kind")
    values = {name: flag_values[name].value for name in names}
    own_model = bool(flag_values.pretrained) or ":" in flag_values.model
    return {"source": flag_values.data, "for_own_model": own_model, **values}


def _hypermodel(flag_values: flags.FlagValues, problem):
    from kerastune.models import hypermodels

    if flag_values.pretrained:
        return hypermodels.Pretrained(flag_values.pretrained, problem)
    # By its name, since that is what other commands go by later.
    flag_values.model = flag_values.model or hypermodels.fitting(problem)
    return hypermodels.load(flag_values.model, problem)


def _sparsities(given: Sequence[str]) -> list[float]:
    try:
        return [float(text) for text in given]
    except ValueError:
        shown = ",".join(given)
        raise ValueError(
            f"`--sparsity` must be shares in [0, 1), as in 0.5,0.8,0.9, got {shown!r}."
        ) from None


def _usage(arguments: list[str]) -> int:
    unknown = bool(arguments) and arguments[0] not in ("help", "--help", "-h")
    lines = [f"kerastune: there is no command {arguments[0]!r}.", ""] if unknown else []
    lines += ["usage: kerastune COMMAND [--flag=value ...] [--flagfile=FILE]", "", "commands:"]
    lines += [f"  {name:10}{words}" for name, words in COMMANDS.items()]
    lines += ["", "kerastune COMMAND --help lists the flags."]
    print("\n".join(lines), file=sys.stderr if unknown else sys.stdout)
    return 2 if unknown else 0
