"""Messages outside of the command line speak in Python's words, never of flags."""

import ast
import re
from pathlib import Path

import pytest

import kerastune

ROOT = Path(kerastune.__file__).parent
# What prints commands and flagfiles for people to copy, styles, and another program's options.
MAY = {
    "executors/capacity.py": "options of nvidia-smi",
    "export/serving_readme.py": "commands to copy",
    "export/usage_files.py": "commands to copy",
    "recipe.py": "lines of a flagfile",
    "report/figures/vector.py": "properties of a style sheet",
    "report/fold_sections.py": "commands to copy",
    "report/search_sections.py": "commands to copy",
    "report/summaries/ending.py": "commands to copy",
    "report/summaries/notebook.py": "properties of a style sheet",
    "report/summaries/why.py": "answers a command, with one to copy",
    "runtime/fields.py": "lines of a flagfile",
    "runtime/signals.py": "the command that goes on",
    "tuner/cross_validation.py": "the first line of a flagfile",
    "tuner/records.py": "the first line of a flagfile",
}
HOLDERS = (ast.Module, ast.ClassDef, ast.FunctionDef)


def texts(tree):
    """Every string of a module but for docstrings."""
    told = [node.body[0] for node in ast.walk(tree) if isinstance(node, HOLDERS) and node.body]
    docs = {id(each.value) for each in told if isinstance(each, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [node.value for node in strings if isinstance(node.value, str) and id(node) not in docs]


def flags_of(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [text for text in texts(tree) if re.search(r"(^|[^\w-])--[a-z]", text)]


MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent.name != "cli"]


def test_no_message_outside_of_the_command_line_speaks_of_flags():
    found = {str(path.relative_to(ROOT)): flags_of(path) for path in MODULES}
    found = {name: flags for name, flags in found.items() if flags}
    assert found.keys() - MAY.keys() == set()
    assert MAY.keys() - found.keys() == set()


@pytest.mark.parametrize("text", ["say --overwrite", "--budget", "`--data`"])
def test_a_flag_would_be_found(tmp_path, text):
    (tmp_path / "a.py").write_text(f'"""--doc"""\nraise ValueError({text!r})\n')
    assert flags_of(tmp_path / "a.py") == [text]
