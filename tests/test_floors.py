"""The house: a floor for every room, imports downwards only, and a door that opens at once."""

import ast
import re
import resource
import subprocess
import sys

import pytest
from places import ROOT

import kerastune

PACKAGE = ROOT / "kerastune"

# The floors from the ground up. A room imports what is below it, and nothing else; rooms of one
# floor are one another's neighbors.
FLOORS = (
    {"runtime"},
    {"analysis"},
    {"budget", "objective", "problem", "recipe", "trial"},
    {"schedules"},
    {"data", "study"},
    {"models", "playbook"},
    {"inference"},
    {"callbacks", "training"},
    {"executors", "export", "report"},
    {"tuner"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONE_ROOM = {frozenset(("callbacks", "training"))}  # a floor's only rooms that import each other
WORDS = {"budget", "objective", "problem", "recipe", "trial"}
# Where nothing heavy is imported, not even when everything in it is.
LIGHT = (
    "analysis",
    "budget",
    "cli.entry",
    "objective",
    "playbook",
    "problem",
    "recipe",
    "study",
    "trial",
)
# The rooms, or modules, that may import a library at all; the lazy ones only inside of functions.
ONLY_IN = {
    "absl": {"cli"},
    "keras_tuner": {"models.hypermodels", "tuner"},
    "google": {"export"},  # protobuf
    "matplotlib": {"report.figures"},
    "mlflow": {"report.mlflow_runs", "runtime.mlflow_settings"},
    "onnx": {"export"},
    "ray": {"executors.ray_actors"},
    "PIL": {"data.readers.image_files"},
    "pyarrow": {"data.readers.table_files"},
    "rich": {"cli.column_table", "cli.summary", "runtime.logs", "runtime.screen"},
    "jinja2": {"report.html"},
    "markupsafe": {"report.html"},
    "IPython": {"runtime.screen"},
    "tensorboard": {"callbacks", "report", "runtime.tensorboard_writer"},
    "keras": {
        "callbacks",
        "data",
        "export",
        "inference",
        "models",
        "report",
        "runtime",
        "schedules",
    }
    | {"training", "tuner"},
}
ONLY_IN["keras"] |= {"executors.worker_setup"}
ONLY_IN["tensorflow"] = ONLY_IN["keras"]
ANYWHERE = ("numpy", "pandas", "scipy", "sklearn")
LAZY = ("PIL", "mlflow", "pandas", "pyarrow", "ray", "scipy", "sklearn")
PRINTS = {"cli.entry", "cli.running", "cli.summary"}
MOST_LINES = 350
MOST_FILES = 20


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name):
    """Every import of a module: the dotted name and whether it is inside a function."""
    tree = TREES[name]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, functions)
        for node in ast.walk(function)
    }
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


def room(module):
    return module.partition(".")[0]


def is_in(module, places):
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_every_room_has_a_floor_and_every_floor_its_rooms():
    assert {room(name) for name in MODULES} - {""} == set(FLOOR_OF)


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_arrows_point_down(name):
    for dotted, _ in imports(name):
        if dotted.split(".")[0] != "kerastune":
            continue
        there, here = room(room_of(dotted)), room(name)
        if not there or there == here or {there, here} <= WORDS:
            continue
        is_below = FLOOR_OF[there] < FLOOR_OF[here]
        assert is_below or frozenset((here, there)) in ONE_ROOM, f"{name} imports {dotted}"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_in_their_rooms(name):
    for dotted, lazy in imports(name):
        library = dotted.split(".")[0]
        if library == "kerastune" or library in sys.stdlib_module_names:
            continue
        assert library in (*ONLY_IN, *ANYWHERE), f"{name} imports {dotted}"
        assert library in ANYWHERE or is_in(name, ONLY_IN[library]), f"{name} imports {dotted}"
        assert lazy or library not in LAZY, f"{name} imports {library} outside a function"


def test_no_folder_is_crowded():
    folders = {path.parent for path in (*MODULES.values(), *(ROOT / "tests").rglob("*.py"))}
    assert len(list(PACKAGE.glob("*.*"))) <= 8
    for folder in folders:
        assert len([path for path in folder.iterdir() if path.is_file()]) <= MOST_FILES, folder


def test_no_two_test_files_have_one_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))  # pytest imports them by name


@pytest.mark.parametrize("name", MODULES)
def test_keras_tuner_is_used_by_its_public_names(name):
    rooms = ("oracle", "trial", "tuner", "metrics_tracking", "hyperparameters")
    public = tuple(f"keras_tuner.engine.{room}" for room in rooms)
    for dotted, _ in imports(name):
        assert not dotted.startswith("keras_tuner.src")
        assert not dotted.startswith("keras_tuner.engine") or dotted.startswith(public)


def test_only_the_training_fits():
    fitting = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("model.fit"):
                fitting.add(name)
    assert fitting == {"training.trainer"}


@pytest.mark.parametrize("name", MODULES)
def test_no_asserts_no_prints_no_todos_and_no_long_modules(name):
    text = MODULES[name].read_text(encoding="utf-8")
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Assert), f"{name}:{getattr(node, 'lineno', 0)} asserts"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            assert name in PRINTS, f"{name}:{node.lineno} prints"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno} has a bare except"
    for word in ("TODO", "FIXME", "XXX"):
        assert word not in text, f"{name} has a {word}"
    assert len(text.splitlines()) <= MOST_LINES, f"{name} is too long"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    assert ast.get_docstring(TREES[name]) or not MODULES[name].read_text(encoding="utf-8")


HEAVY = (
    "tensorflow",
    "keras",
    "keras_tuner",
    "matplotlib",
    "tensorboard",
    "scipy",
    "sklearn",
    "pandas",
)


def imported_by(statement):
    """Which heavy libraries a fresh process holds after a statement."""
    code = f"{statement}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ast.literal_eval(ran.stdout.splitlines()[-1])


def test_importing_the_package_or_the_door_imports_nothing_heavy():
    assert imported_by("import kerastune, kerastune.cli.entry") == []


def test_importing_what_is_light_imports_nothing_heavy():
    names = ", ".join(f"kerastune.{name}" for name in MODULES if is_in(name, LIGHT))
    used = "kerastune.Recipe, kerastune.Budget, kerastune.analysis.curves, kerastune.Decision"
    assert imported_by(f"import {names}\n{used}") == []


def test_the_door_is_small_and_every_name_of_it_is_there():
    assert len(kerastune.__all__) == len(set(kerastune.__all__)) <= 20
    for name in kerastune.__all__:
        assert getattr(kerastune, name) is not None


def test_what_the_readme_names_is_behind_the_door():
    named = re.findall(r"\bkerastune\.(\w+)[.`(]", (ROOT / "README.md").read_text())
    files = {"log"}  # kerastune.log
    assert {"PlaybookTuner", "callbacks", "inference"} <= set(named) <= {*kerastune.__all__, *files}


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kerastune.nothing


def seconds_of(arguments):
    """Seconds of the processor that a program takes, whoever else is using the machine, and what it
    prints.
    """
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime, ran.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["tune", "--help"]])
def test_help_is_there_within_a_second(arguments):
    code = f"import sys; from kerastune.cli import entry; sys.exit(entry.main({arguments}))"
    # The best of a few: what counts is what is done, not who else is using the machine.
    for _ in range(6):
        seconds, shown = seconds_of(["-c", code])
        if seconds < 1:
            break
    assert seconds < 1
    assert "tune" in shown and ("--budget" in shown) == (arguments != ["--help"])
