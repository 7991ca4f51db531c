"""Embeddings beside a column for each word or category: python runs/benchmark_embeddings.py
--output_dir=embeddings-out.

Texts of three sets and tables with columns of more than nine categories, each cut anew into
training, validation and test part by every seed. `built-in` is one training of the network that
kerastune chooses, by the values that its searches begin with (256 epochs in 600 to 4,000 steps, the
best of 24 evaluations); `columns` one of `mlp` that has a column of 0 and 1 for every word or
category, by its own values; `linear` scikit-learn's logistic regression or ridge on those columns,
on both parts.

WordNet comes from Debian's package `wordnet-base`, docstrings from the packages that are installed,
tables from pydataset's source archive. Rows are appended to `rows.jsonl`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import pathlib
import re
from functools import partial

import benchmark_tables
import numpy as np
import recorded_tasks
from absl import app, flags
from recorded_tasks import Missing, Task

from kerastune.data import finishing
from kerastune.data.finishing import Wishes
from kerastune.data.raw import Raw
from kerastune.data.readers.columns import CATEGORY, NUMBER, TEXT, Column
from kerastune.problem import Part

FLAGS = flags.FLAGS
WORDNET = pathlib.Path("/usr/share/wordnet")
PACKAGES = ("sklearn", "scipy", "pandas", "matplotlib", "keras", "numpy")
LEAST, MOST = 100, 10_000  # examples of a class, of a set of texts
LONGEST = 400  # characters of a docstring


# Texts and their classes.


def glosses(cache: pathlib.Path) -> tuple:
    """What a meaning of a word is, of WordNet, and the field that it is from."""
    if not WORDNET.is_dir():
        raise Missing("no WordNet: apt-get install wordnet-base")
    lines = [
        line for each in sorted(WORDNET.glob("data.*")) for line in each.open(errors="replace")
    ]
    parts = [line.partition("|") for line in lines if not line.startswith("  ")]
    return some([text.strip() for _, _, text in parts], [head.split()[1] for head, _, _ in parts])


def docstrings(cache: pathlib.Path) -> tuple:
    """First paragraphs of docstrings, without its name, and the package that they are from."""
    found = {}
    for package in PACKAGES:
        place = importlib.util.find_spec(package)
        if place is None:
            raise Missing(f"no package {package}: pip install -e '.[test]'")
        for path in sorted(pathlib.Path(place.origin).parent.rglob("*.py")):
            if "tests" not in path.parts:
                for text in first_paragraphs(path):
                    found[re.sub(package, "", text, flags=re.IGNORECASE)[:LONGEST]] = package
    return some(list(found), list(found.values()))


def first_paragraphs(path: pathlib.Path) -> list[str]:
    kinds = ast.FunctionDef, ast.ClassDef
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [text.split("\n\n")[0] for node in nodes if (text := ast.get_docstring(node))]


def pages(cache: pathlib.Path) -> tuple:
    """Pages of R's documentation, and the package that they are from."""
    texts, labels = recorded_tasks.pages(cache)
    return {"text": np.array([" ".join(words) for words in texts], object)}, labels


def some(texts: list[str], labels: list[str]) -> tuple:
    """Random texts of the classes that have enough of them."""
    classes, counts = np.unique(labels, return_counts=True)
    rows = np.flatnonzero(np.isin(labels, classes[counts >= LEAST]))
    rows = np.random.default_rng(0).permutation(rows)[:MOST]
    return {"text": np.array(texts, object)[rows]}, np.array(labels)[rows]


# Tables with many categories.


def table(place: str, cache: pathlib.Path, label: str, columns: str, logarithm: bool = False):
    """Columns of a table of pydataset, and a number to be predicted."""
    frame = recorded_tasks.frame(place, cache)
    y = frame[label].to_numpy(float)
    y = np.log(y) if logarithm else y
    kept = np.isfinite(y)
    return recorded_tasks.columns(frame.loc[kept, columns.split()]), y[kept]


def of_table(place: str, label: str, columns: str, logarithm: bool = False) -> Task:
    read = partial(table, place, label=label, columns=columns, logarithm=logarithm)
    return Task("table", read, kind="regression")


TASKS = {
    "glosses": Task("text", glosses),
    "docstrings": Task("text", docstrings),
    "pages": Task("text", pages),
    "goals": of_table("vcd/Bundesliga", "HomeGoals", "HomeTeam AwayTeam Round Year"),
    "baseball": of_table("plyr/baseball", "hr", "year team lg g ab rbi sb bb so"),
    "companies": of_table(
        "HSAUR/Forbes2000", "marketvalue", "country category sales profits assets", True
    ),
    "nations": of_table("Ecdat/SumHes", "gdp", "country year pop sr opec com", True),
    "families": of_table("HistData/GaltonFamilies", "childHeight", "family father mother gender"),
    "elections": of_table("pscl/presidentialElections", "demVote", "state year south"),
    "cigarettes": of_table(
        "Ecdat/Cigarette", "packpc", "state year cpi pop income tax avgprs taxs"
    ),
    "states": of_table("Ecdat/Produc", "gsp", "state year unemp hwy", True),
    "wages": of_table(
        "Ecdat/Males", "wage", "year school exper union ethn married health industry residence"
    ),
}


# Contestants: of a task's data and a seed, the score on the test part.


def prepared(task: Task, data: tuple, seed: int, embeds: bool):
    """A problem for a built-in network; without embeddings a column for every word."""
    x, y = data
    found = recorded_tasks.cut(y, seed, task.kind == "classification", test_seed=seed)
    parts = {
        where: Part({name: cells[rows] for name, cells in x.items()}, y[rows])
        for where, rows in found.items()
    }
    of_text = TEXT if task.data == "text" else CATEGORY
    columns = [
        Column(name, of_text if cells.dtype.kind in "UO" else NUMBER)
        for name, cells in {**x, "label": y}.items()
    ]
    # Texts for a network of the user's have a column for every word.
    as_columns = task.data == "text" and not embeds
    wishes = Wishes(
        seed=seed,
        kind=task.kind,
        for_own_model=as_columns,
        standardize=True,
        standardize_targets=True,
    )
    raw = Raw("data", parts, is_table=True, columns=tuple(columns[:-1]), label=columns[-1])
    return dataclasses.replace(finishing.finish(raw, wishes), cut="random")


def built_in(task: Task, data: tuple, seed: int) -> float:
    from kerastune.models import hypermodels

    problem = prepared(task, data, seed, embeds=True)
    return of_network(problem, hypermodels.load("", problem), seed)


def without(task: Task, data: tuple, seed: int) -> float:
    from kerastune.models import hypermodels

    problem = prepared(task, data, seed, embeds=False)
    hypermodel = hypermodels.load("mlp", problem)
    hypermodel.columns = dataclasses.replace(hypermodel.columns, categories=(), texts=())
    return of_network(problem, hypermodel, seed)


def of_network(problem, hypermodel, seed: int) -> float:
    import keras_tuner

    def build():
        return hypermodel.build(keras_tuner.HyperParameters())

    outputs = benchmark_tables.trained(problem, seed, build, hypermodel.starting_recipe)
    return benchmark_tables.score(problem, outputs)


def linear(task: Task, data: tuple, seed: int) -> float:
    from sklearn import linear_model

    problem = prepared(task, data, seed, embeds=False)
    is_regression = problem.kind == "regression"
    model = linear_model.Ridge() if is_regression else linear_model.LogisticRegression(max_iter=300)
    fitted = model.fit(*benchmark_tables.both_parts(problem))
    return benchmark_tables.score(problem, fitted.predict(problem.test.x))


CONTESTANTS = {"built-in": built_in, "columns": without, "linear": linear}


def main(argv):
    cache, rows_file = pathlib.Path(FLAGS.cache), pathlib.Path(FLAGS.output_dir) / "rows.jsonl"
    recorded_tasks.fetch(cache)
    rows_file.parent.mkdir(parents=True, exist_ok=True)
    lines = rows_file.read_text().splitlines() if rows_file.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["task"], row["seed"], row["contestant"]) for row in rows}
    for name in FLAGS.tasks:
        try:
            data = TASKS[name].read(cache)
        except Missing as error:
            print(f"{name}: skipped, {error}", flush=True)
            continue
        for seed in range(1, FLAGS.seeds + 1):
            for each in [each for each in CONTESTANTS if (name, seed, each) not in done]:
                score = CONTESTANTS[each](TASKS[name], data, seed)
                rows.append({"task": name, "seed": seed, "contestant": each, "score": score})
                with rows_file.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps(rows[-1]), flush=True)
    print("\n".join(benchmark_tables.table(rows, list(CONTESTANTS))))


if __name__ == "__main__":
    flags.DEFINE_list("tasks", list(TASKS), f"Among {', '.join(TASKS)}.")
    flags.DEFINE_integer("seeds", 3, "Cuts of the examples into three parts.", 1)
    flags.DEFINE_string("cache", "benchmark-data", "Where archives of the tasks are kept.")
    flags.DEFINE_string("output_dir", "embeddings-out", "Where rows go.")
    app.run(main)
