"""What the commands do, once their flags are parsed and checked.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerastune.budget import LEAST_STEPS
from kerastune.cli.command_flags import AUTO, DATA_FLAGS, define
from kerastune.export import versions
from kerastune.playbook.stages import registry
from kerastune.playbook.stages.distill import EXTRA_TRAININGS, GRID
from kerastune.recipe import Recipe
from kerastune.runtime import environment
from kerastune.study import run_directory


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
    return _train_given(
        flag_values, recipe, ["train", "distill"], trainings=1 + len(GRID) + EXTRA_TRAININGS
    )


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


def status(flag_values: flags.FlagValues, recipe: Recipe) -> int:
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
    return run_directory.RunDir(Path(flag_values.output_dir).resolve())


def report(flag_values: flags.FlagValues, recipe: Recipe) -> int:
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
    wanted = {
        "start": flag_values.batch_size == AUTO,
        "baseline": flag_values.baseline,
        # The size of a built-in network is searched only where --stages names it.
        "model": ":" in flag_values.model and not flag_values.pretrained,
        "finetune": bool(flag_values.pretrained),
        "ensemble": flag_values.ensemble,
        "tta": flag_values.tta,
    }
    return [name for name in registry.ORDER if wanted.get(name, True)]


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
