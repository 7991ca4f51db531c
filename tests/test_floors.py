"""The house: four floors, imports downwards only, and a door that opens at once."""

import ast
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import kerastune

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kerastune"

GROUND, KERAS, TUNER, DOOR = range(4)
FLOORS = {
    "": GROUND,  # kerastune/__init__.py, whose names are resolved when they are used
    "__main__": DOOR,
    "arguments": TUNER,
    "augment": KERAS,
    "batches": KERAS,
    "boards": KERAS,
    "building": TUNER,
    "budget": GROUND,
    "calibration": GROUND,
    "callbacks": KERAS,
    "callbacks.distillation": KERAS,
    "callbacks.ensemble_evaluation": KERAS,
    "callbacks.evaluation_callback": KERAS,
    "callbacks.exponential_decay": KERAS,
    "callbacks.linear_decay": KERAS,
    "callbacks.magnitude_pruning": KERAS,
    "callbacks.rate_decay": KERAS,
    "callbacks.recording_callback": KERAS,
    "callbacks.step_logger": KERAS,
    "callbacks.tta_evaluation": KERAS,
    "callbacks.update_ratio": KERAS,
    "cli": DOOR,
    "command_flags": DOOR,
    "combining": KERAS,
    "combining_figures": KERAS,
    "crossval": TUNER,
    "crossval_figures": KERAS,
    "crossval_report": GROUND,
    "crossval_results": KERAS,
    "csv_source": KERAS,
    "curves": GROUND,
    "data": KERAS,
    "ensemble": KERAS,
    "depth": KERAS,
    "diagnostics": GROUND,
    "distillation": KERAS,
    "drawing": KERAS,
    "environment": GROUND,
    "execution": TUNER,
    "evaluate": KERAS,
    "export": KERAS,
    "examples": GROUND,
    "executors": GROUND,
    "executors.base": GROUND,
    "executors.capacity": GROUND,
    "executors.crew": GROUND,
    "executors.outfit": KERAS,
    "executors.processes": GROUND,
    "executors.ray_actors": GROUND,
    "executors.sharing": GROUND,
    "executors.worker": GROUND,
    "figures": KERAS,
    "foldable": KERAS,
    "folds": GROUND,
    "guide": KERAS,
    "hypermodels": TUNER,
    "identity": KERAS,
    "initialisers": KERAS,
    "inheriting": GROUND,
    "keeping": GROUND,
    "knowledge": KERAS,
    "ladder": GROUND,
    "latency": GROUND,
    "locks": GROUND,
    "layer_rates": GROUND,
    "logs": GROUND,
    "measures": KERAS,
    "models": KERAS,
    "naming": GROUND,
    "optimizers": KERAS,
    "oracle": TUNER,
    "outputs": KERAS,
    "pictures": KERAS,
    "packing": GROUND,
    "playbook": GROUND,
    "predictions": GROUND,
    "pretrained": KERAS,
    "preflight": GROUND,
    "preprocessing": KERAS,
    "probe": GROUND,
    "progress": GROUND,
    "pruning": KERAS,
    "publishing": GROUND,
    "recipe": GROUND,
    "record": GROUND,
    "recording": KERAS,
    "release": KERAS,
    "report": GROUND,
    "report_blocks": GROUND,
    "report_errors": GROUND,
    "report_html": GROUND,
    "report_markdown": GROUND,
    "reporting": KERAS,
    "result_figures": KERAS,
    "regularisers": KERAS,
    "rundirs": GROUND,
    "runtime": KERAS,
    "schedules": GROUND,
    "schedules.exponential": GROUND,
    "schedules.keras_schedules": KERAS,
    "schedules.linear": GROUND,
    "schedules.of_recipe": GROUND,
    "samplers": TUNER,
    "scores": GROUND,
    "segment": KERAS,
    "selection": GROUND,
    "serving": KERAS,
    "siblings": KERAS,
    "smoothing": KERAS,
    "sources": KERAS,
    "stacking": KERAS,
    "sparsity": GROUND,
    "splits": GROUND,
    "stacked_layers": KERAS,
    "stages": GROUND,
    "stages.base": GROUND,
    "stages.batch": GROUND,
    "stages.comparing": GROUND,
    "stages.convergence": GROUND,
    "stages.decay": GROUND,
    "stages.distil": GROUND,
    "stages.ensemble": GROUND,
    "stages.finetune": GROUND,
    "stages.learning_rate": GROUND,
    "stages.model": GROUND,
    "stages.model_search": GROUND,
    "stages.order": GROUND,
    "stages.overfitting": GROUND,
    "stages.peaks": GROUND,
    "stages.probing": GROUND,
    "stages.prune": GROUND,
    "stages.race": GROUND,
    "stages.reference": GROUND,
    "stages.regularise": GROUND,
    "stages.settings": GROUND,
    "stages.start": GROUND,
    "stages.strengths": GROUND,
    "stages.train": GROUND,
    "stages.tta": GROUND,
    "stages.walking": GROUND,
    "stages.weights": GROUND,
    "stages.whole": GROUND,
    "story": KERAS,
    "stopping": GROUND,
    "stored": GROUND,
    "streams": KERAS,
    "status": GROUND,
    "study": GROUND,
    "summary": DOOR,
    "surgery": KERAS,
    "tables": KERAS,
    "timing": GROUND,
    "task": GROUND,
    "teachers": TUNER,
    "training": KERAS,
    "trial": GROUND,
    "tta": KERAS,
    "tuner": TUNER,
    "warmup": KERAS,
    "views": KERAS,
    "waves": GROUND,
    "wrapping": KERAS,
}
# Floor from which on a library may be imported; rich draws lines on a screen, and only two rooms may; Ray is optional.
LIBRARIES = {
    "numpy": GROUND,
    "scipy": GROUND,
    "sklearn": GROUND,
    "rich": GROUND,
    "ray": GROUND,
    "keras": KERAS,
    "tensorflow": KERAS,
    "onnx": KERAS,
    "tensorboard": KERAS,
    "matplotlib": KERAS,
    "keras_tuner": TUNER,
    "absl": DOOR,
}
ONLY_IN = {
    "ray": {"executors.ray_actors"},
    "rich": {"logs", "progress", "summary"},
    "absl": {"cli", "command_flags"},
    "keras_tuner": {"arguments", "building", "hypermodels", "oracle", "samplers", "teachers", "tuner"},
}
# The package's and the schedules' `__init__` resolve these names lazily.
LAZY = {("schedules", "schedules.keras_schedules")}
PRINTS = {"cli", "summary"}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name):
    """Every import of a module: the dotted name and whether it is inside a function."""
    tree = TREES[name]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    lazy = {id(node) for function in ast.walk(tree) if isinstance(function, functions) for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in lazy
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in lazy


def room_of(dotted):
    """The module of kerastune that a dotted name is, or is in."""
    parts = dotted.split(".")[1:]
    while ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def test_every_module_has_a_floor_and_every_floor_its_module():
    assert set(MODULES) == set(FLOORS)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_from_a_floor_above(name):
    for dotted, _ in imports(name):
        if dotted.split(".")[0] == "kerastune":
            room = room_of(dotted)
            assert FLOORS[room] <= FLOORS[name] or (name, room) in LAZY, f"{name} imports {room}"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_on_their_floor(name):
    for dotted, lazy in imports(name):
        library = dotted.split(".")[0]
        if library == "kerastune" or library in sys.stdlib_module_names:
            continue
        assert library in LIBRARIES, f"{name} imports {dotted}"
        assert LIBRARIES[library] <= FLOORS[name], f"{name} imports {dotted}"
        assert name in ONLY_IN.get(library, {name}), f"{name} imports {dotted}"
        assert lazy or library not in ("scipy", "sklearn", "ray"), f"{name} imports {library} outside a function"


@pytest.mark.parametrize("name", MODULES)
def test_keras_tuner_is_used_by_its_public_names(name):
    public = ("keras_tuner.engine.oracle", "keras_tuner.engine.trial", "keras_tuner.engine.tuner")
    for dotted, _ in imports(name):
        assert not dotted.startswith("keras_tuner.src")
        assert not dotted.startswith("keras_tuner.engine") or dotted.startswith(public)


def test_only_the_training_fits():
    fitting = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("model.fit"):
                fitting.add(name)
    assert fitting == {"training"}


@pytest.mark.parametrize("name", MODULES)
def test_no_asserts_no_prints_no_todos_and_no_long_modules(name):
    text = MODULES[name].read_text(encoding="utf-8")
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Assert), f"{name}:{getattr(node, 'lineno', 0)} asserts"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert name in PRINTS, f"{name}:{node.lineno} prints"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno} has a bare except"
    for word in ("TODO", "FIXME", "XXX"):
        assert word not in text, f"{name} has a {word}"
    assert len(text.splitlines()) <= 400, f"{name} is too long"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    assert ast.get_docstring(TREES[name]) or not MODULES[name].read_text(encoding="utf-8")


HEAVY = ("tensorflow", "keras", "keras_tuner", "matplotlib", "tensorboard", "scipy", "sklearn", "pandas")


def imported_by(statement):
    """Which heavy libraries a fresh process holds after a statement."""
    code = f"{statement}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(ran.stdout.splitlines()[-1])


def test_importing_the_package_or_the_door_imports_nothing_heavy():
    assert imported_by("import kerastune, kerastune.cli") == []


def test_using_the_ground_floor_imports_nothing_heavy():
    ground = [name for name, floor in FLOORS.items() if floor == GROUND]
    names = ", ".join(f"kerastune.{name}" if name else "kerastune" for name in ground)
    used = "kerastune.Recipe, kerastune.Budget, kerastune.curves, kerastune.Decision"
    assert imported_by(f"import {names}\n{used}") == []


def test_the_door_is_small_and_every_name_of_it_is_there():
    assert len(kerastune.__all__) == len(set(kerastune.__all__)) <= 20
    for name, module in kerastune._WHERE.items():
        defined = [getattr(node, "name", "") for node in TREES[room_of(module)].body]
        assert name in defined, f"{module} has no {name}"
    assert set(kerastune._MODULES) <= set(MODULES)


def test_what_the_readme_names_is_behind_the_door():
    named = re.findall(r"`kerastune\.(\w+)[.`(]", (ROOT / "README.md").read_text())
    assert {"tta", "views", "callbacks"} <= set(named) <= {*kerastune.__all__, "log"}  # kerastune.log is a file


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kerastune.nothing


def seconds_of(arguments):
    """Seconds of the processor that a program takes, whoever else is using the machine, and what it prints."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime, ran.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["tune", "--help"]])
def test_help_is_there_within_a_second(arguments):
    code = f"import sys; from kerastune.cli import main; sys.exit(main({arguments}))"
    # The best of a few: what counts is what is done, not who else is using the machine.
    for _ in range(6):
        seconds, shown = seconds_of(["-c", code])
        if seconds < 1:
            break
    assert seconds < 1
    assert "tune" in shown and ("--budget" in shown) == (arguments != ["--help"])
