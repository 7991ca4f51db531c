"""What each command does with its flags; TensorFlow is imported inside of these functions only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from kerastune.budget import LEAST_STEPS
from kerastune.cli.command_flags import DATA_FLAGS, parsed, recipe_of
from kerastune.export import versions
from kerastune.playbook.stages.distill import GRID
from kerastune.recipe import Recipe
from kerastune.runtime import environment
from kerastune.study.run_directory import RunDir

Lines = Sequence[str]  # that a command prints at its end


def search(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Runs the stages from the recipe of the flags."""
    return _search(flag_values, recipe_of(flag_values), stages)


def probe(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Runs the probe from the recipe of the flags, and ends with the flag to copy."""
    tuner = _searched(flag_values, recipe_of(flag_values), stages)
    return "", f"--learning_rate={tuner.recipe.learning_rate:.2g}"


def train(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Trains the recipe of the flags for its own steps, and runs the stages that follow."""
    recipe = recipe_of(flag_values)
    if not flag_values["budget"].present:
        # The recipe says how long to train; one more leaves room for rounding up to whole
        # evaluations.
        trainings = 1 + _trainings(flag_values, stages)
        flag_values.budget = f"{max(trainings * recipe.total_steps, LEAST_STEPS)}steps"
    return _search(flag_values, _regularized(flag_values, recipe), stages)


def _trainings(flag_values: flags.FlagValues, stages: Sequence[str]) -> int:
    further = {
        "ensemble": flag_values.members - 1,
        "prune": len(flag_values.sparsity),
        "distill": len(GRID),
    }
    return 1 + sum(further.get(name, 0) for name in stages)


def _regularized(flag_values: flags.FlagValues, recipe: Recipe) -> Recipe:
    return recipe if flag_values["regularizers"].present else recipe.replace(regularizers="on")


def crossval(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Trains the recipe of the flags on every fold."""
    environment.check()
    with environment.quiet_start():
        from kerastune.cli import summary
        from kerastune.data import cross_validation_set
        from kerastune.runtime import devices
        from kerastune.tuner.cross_validation import CrossValidation

        devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
    output_dir = Path(flag_values.output_dir)
    crossed = CrossValidation(
        flag_values.model,
        cross_validation_set.load(**_source(flag_values), groups=flag_values.groups),
        _regularized(flag_values, recipe_of(flag_values)),
        num_folds=flag_values.folds,
        repeats=flag_values.repeats,
        seed=flag_values.seed,
        objective=flag_values.objective,
        directory=output_dir.parent,
        project_name=output_dir.name,
        overwrite=flag_values.overwrite,
    )
    given = {name: flag_values[name].value for name in (*DATA_FLAGS, "groups")}
    crossed.run(given, verbose=1 + flag_values.verbose)
    summary.show_folds(crossed)
    return ()


def export(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Writes the final model of an output directory for other programs."""
    environment.check()
    run_dir = RunDir(flag_values.output_dir)
    settings = _settings_of(run_dir, flag_values)
    with environment.quiet_start():
        from kerastune.export import from_run
        from kerastune.runtime import devices, logs

        devices.set_up(flag_values.gpu_memory_growth)
    logs.to_screen(verbose=True)
    base = Path(flag_values.export_dir or run_dir.export)
    parts = {"views": flag_values.tta, "ensemble": flag_values.ensemble}
    path = from_run.release(run_dir, base, flag_values.format, settings, **parts)
    if flag_values.format != versions.SAVED_MODEL:
        return (f"Exported to {path}",)
    return f"Exported to {path}", f"How to serve it: {base / 'README.md'}"


def _settings_of(run_dir: RunDir, flag_values: flags.FlagValues) -> dict[str, Any]:
    """What a search was told of data and model: as its flagfile has it, unless it is given now."""
    files = [path for path in (run_dir.flags, run_dir.crossval_flags) if path.is_file()]
    found = parsed([f"--flagfile={path}" for path in files])
    return {
        name: values[name].value
        for name in (*DATA_FLAGS, "groups")
        for values in (found, flag_values)
        if values[name].present
    }


def status(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Tells how a search, or a cross-validation, stands."""
    from kerastune.report import status as state

    run_dir = RunDir(flag_values.output_dir)
    if state.is_of_folds(run_dir):
        return state.lines_of_folds(run_dir)
    return state.lines(state.read(run_dir))


def report(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Writes the report anew from what is on disk."""
    from kerastune.report import writer
    from kerastune.study.database import Record

    run_dir = RunDir(flag_values.output_dir)
    with Record(run_dir.study) as record:
        is_crossval = record.setting("command") == "crossval"
        (writer.write_folds if is_crossval else writer.write)(run_dir, record)
    return str(run_dir.report), str(run_dir.report_markdown)


def why(flag_values: flags.FlagValues, stages: Sequence[str]) -> Lines:
    """Answers from the study why something was chosen, or was not."""
    from kerastune.playbook.stages import registry
    from kerastune.report import writer
    from kerastune.report.summaries import why as reasons
    from kerastune.study.database import Record

    with Record(RunDir(flag_values.output_dir).study) as record:
        decisions = [registry.decision(plain) for plain in record.decisions()]
        objective, outcomes = writer.objective_of(record), record.outcomes()
        known = record.fact(writer.ABOUT) or {}
        measure = known.get("scored_by", objective.name)
        return reasons.answer(flag_values.about, decisions, outcomes, objective, measure)


def _search(flag_values: flags.FlagValues, recipe: Recipe, stages: Sequence[str]) -> Lines:
    tuner = _searched(flag_values, recipe, stages)
    from kerastune.cli import commands, summary

    return summary.of_search(tuner, commands.COMMANDS)


def _searched(flag_values: flags.FlagValues, recipe: Recipe, stages: Sequence[str]):
    environment.check()
    with environment.quiet_start():
        from kerastune.data import loading
        from kerastune.runtime import devices
        from kerastune.tuner import teachers
        from kerastune.tuner.playbook_tuner import PlaybookTuner

        notes = devices.set_up(flag_values.gpu_memory_growth, flag_values.precision)
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
        stages=list(stages),
        refit=flag_values.refit,
        members=flag_values.members,
        member_folds=flag_values.member_folds,
        sparsities=[float(text) for text in flag_values.sparsity],
        trained=flag_values.trained or None,
        teacher=teacher,
        keep=flag_values.keep,
        executor=flag_values.executor,
        jobs=flag_values.jobs,
        ray_address=flag_values.ray_address,
    )
    given = {name: flag_values[name].value for name in DATA_FLAGS}
    tuner.search(problem, settings=given, verbose=1 + flag_values.verbose)
    return tuner


def _source(flag_values: flags.FlagValues) -> dict[str, Any]:
    """The data that the flags describe, as arguments of `data.load`."""
    names = ("label", "image_size", "standardize", "standardize_targets", "seed", "kind")
    values = {name: flag_values[name].value for name in names}
    is_named = ":" in flag_values.model and not flag_values.pretrained
    own_model = bool(flag_values.pretrained) or is_named
    ask = _asking(flag_values) if is_named else None
    return {"source": flag_values.data, "for_own_model": own_model, "ask": ask, **values}


def _asking(flag_values: flags.FlagValues):
    """What tells of the targets of a user's own model."""
    from kerastune.models import hypermodels

    return hypermodels.asking(hypermodels.load(flag_values.model, None), {})


def _hypermodel(flag_values: flags.FlagValues, problem):
    from kerastune.models import hypermodels

    if flag_values.pretrained:
        return hypermodels.Pretrained(flag_values.pretrained, problem)
    # By its name, since that is what other commands go by later.
    flag_values.model = flag_values.model or hypermodels.fitting(problem)
    return hypermodels.load(flag_values.model, problem)
