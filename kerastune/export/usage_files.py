"""Writes what tells how the final model of a search is used: inputs.json, predict.py, MODEL.md."""

from __future__ import annotations

import json
import logging
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune.data import preprocessing
from kerastune.data.new_data import IMAGES, TABLE, TableForm
from kerastune.data.readers import columns, dates
from kerastune.data.readers.columns import BOOLEAN, DATE, NUMBER, Column
from kerastune.data.tabular import safe_name
from kerastune.export import signatures
from kerastune.inference import wording
from kerastune.models import output_kind, saved_models
from kerastune.problem import Problem
from kerastune.runtime.number_format import figure
from kerastune.study import run_directory
from kerastune.study.run_directory import RunDir

logger = logging.getLogger("kerastune")
MOST_ROWS = 200  # of the table of inputs

_SCRIPT = '''\
"""Predicts with {file}: python predict.py. It needs {packages}."""
{imports}

model = keras.models.load_model(Path(__file__).with_name("{file}"))
{body}
'''
_CARD = """\
# {name}

{what}

* Model: `{file}`, {parameters} parameters. It takes raw inputs; preparation is part of it.
* Output: {output}
* In Python: `python predict.py` beside this file, or `kerastune.load({place!r}).predict(data)`.
* In a shell: `{command}`

## Inputs

| input | type | example |
|---|---|---|
{inputs}

## How good it is

{figures}

## How it was made

{made}
"""


def write(
    run_dir: RunDir, problem: Problem, figures: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Writes `inputs.json`, `predict.py` and `MODEL.md` beside a saved model.

    Args:
        run_dir: of a search whose models are saved.
        problem: its data.
        figures: as `result.json` has them.
        settings: the flags of data and model that were given.
    """
    path = saved_models.to_use(run_dir)
    if path is None:
        return
    model_setting = settings.get("pretrained") or settings.get("model", "")
    about = {
        "kind": problem.kind,
        "classes": [str(name) for name in problem.class_names],
        "reading": problem.reading,
        "model": model_setting,
    }
    try:
        model = saved_models.load(path, model_setting, compiled=path == run_dir.model)
    except ValueError as error:  # a layer of the user's that Keras does not know
        logger.warning("%s was not written: %s", run_dir.predict_script.name, error)
        return
    is_classifier = problem.kind == "classification"
    single = model if path == run_dir.model else None
    about["gives_logits"] = bool(
        is_classifier and single is not None and output_kind.gives_logits(single)
    )
    about["inputs"] = _inputs(model, problem.validation.x)
    text = json.dumps(about, sort_keys=True, indent=2) + "\n"
    run_directory.write_text(run_dir.inputs, text)
    run_directory.write_text(run_dir.predict_script, script(about, path.name))
    words = card(about, run_dir, path, problem, figures, model.count_params())
    run_directory.write_text(run_dir.model_card, words)


def _inputs(model: keras.Model, x: Any) -> list[dict[str, Any]]:
    """Name, shape and type of every input; those of a subclass, which does not know them, as data
    feed it.
    """
    tensors = keras.tree.flatten(getattr(model, "inputs", None) or [])
    names = signatures.input_names(tensors)
    if not tensors:
        tensors = keras.tree.flatten(x)
        names = [f"inputs_{number}" for number in range(len(tensors))]
        if isinstance(x, dict):
            names = keras.tree.flatten({key: key for key in x})
    size = preprocessing.training_size(model)
    resized = {} if size is None else {"resized_to": list(size)}
    return [
        {"name": str(name), "shape": list(each.shape[1:]), "type": str(each.dtype), **resized}
        for name, each in zip(names, tensors, strict=True)
    ]


def script(about: Mapping[str, Any], file: str) -> str:
    """The text of `predict.py`.

    Args:
        about: as `inputs.json` has it.
        file: name of the model's file beside it.

    Example:
        >>> about = {"kind": "regression", "classes": [], "reading": {}, "gives_logits": False}
        >>> about["inputs"] = [{"name": "x", "shape": [4], "type": "float32"}]
        >>> 'np.zeros([1, 4], "float32")' in script(about, "model.keras")
        True
    """
    form = about["reading"].get("form")
    body, packages = (
        _of_table(TableForm.of(about["reading"]))
        if form == TABLE
        else _of_images(about["reading"]["image_size"])
        if form == IMAGES
        else _of_arrays(about["inputs"])
    )
    if about["kind"] == "classification":
        body += ["outputs = model.predict(inputs, verbose=0)", *_class_lines(about)]
    else:
        body += ["print(model.predict(inputs, verbose=0))"]
    first = ["import sys"] if form == IMAGES else []
    imports = [
        *first,
        "from pathlib import Path",
        "",
        *(_IMPORTS[each] for each in ("keras", *packages)),
    ]
    return _SCRIPT.format(
        packages=", ".join(dict.fromkeys(["keras", "tensorflow", *packages])),
        imports="\n".join(imports),
        file=file,
        body="\n".join(body),
    )


_IMPORTS = {
    "keras": "import keras",
    "numpy": "import numpy as np",
    "pandas": "import pandas as pd",
    "tensorflow": "import tensorflow as tf",
}


def _class_lines(about: Mapping[str, Any]) -> list[str]:
    lines = [f"classes = {_quoted(about['classes'])}"]
    if about["gives_logits"]:
        lines.append("outputs = keras.ops.convert_to_numpy(keras.ops.softmax(outputs))")
    return [*lines, "for row in outputs:", "    print(classes[row.argmax()], row.round(4))"]


def _of_table(form: TableForm) -> tuple[list[str], list[str]]:
    lines = ["rows = pd.DataFrame(", "    {"]
    lines += [f"        {_quoted(each.name)}: [{_literal(each)}]," for each in form.taken]
    lines += ["    }", ")"]
    for each in form.taken:
        if each.kind == DATE:
            column = f"rows[{_quoted(each.name)}]"
            parsed = f'pd.to_datetime({column}, format="ISO8601", utc=True)'
            lines.append(f"when = {parsed}  # 2024-12-31")
            lines.append(f'{column} = (when - pd.Timestamp(0, tz="UTC")).dt.total_seconds()')
    renamed = {each.name: safe_name(each.name) for each in form.taken}
    if form.is_one_array:
        return [*lines, 'inputs = rows.to_numpy("float64")'], ["pandas"]
    changed = {name: safe for name, safe in renamed.items() if name != safe}
    if changed:
        lines.append(f"rows = rows.rename(columns={_quoted(changed)})")
    lines.append("inputs = tf.data.Dataset.from_tensor_slices(dict(rows)).batch(256)")
    return lines, ["pandas", "tensorflow"]


def _literal(column: Column) -> str:
    """An example of a column as Python has it."""
    if column.kind in (NUMBER, BOOLEAN):
        cell = np.array([column.example], object)
        value = float(columns.values(cell, column)[0])
        return 'float("nan")' if math.isnan(value) else repr(value)
    if column.kind == DATE:
        cell = np.array([column.example], object)
        return _quoted(dates.text(float(columns.values(cell, column)[0])))
    return _quoted(column.example)


def _quoted(value: Any) -> str:
    """Texts as a literal of Python's that spans one line."""
    return json.dumps(value, ensure_ascii=False)


def _of_images(image_size: int) -> tuple[list[str], list[str]]:
    return [
        f"size = ({image_size}, {image_size})",
        "images = [",
        '    np.asarray(keras.utils.load_img(path, target_size=size, interpolation="bilinear"))',
        "    for path in sys.argv[1:]  # 8-bit images of any size",
        "] or [np.zeros([*size, 3])]",
        'inputs = np.stack(images).astype("uint8")',
    ], ["numpy"]


def _of_arrays(inputs: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    made = [_zeros(each) for each in inputs]
    if len(made) == 1:
        return [f"inputs = {made[0]}  # your examples"], ["numpy"]
    return ["inputs = [", *(f"    {each}," for each in made), "]"], ["numpy"]


def _zeros(each: Mapping[str, Any]) -> str:
    shape = [1, *(size or 1 for size in each["shape"])]
    if each["type"] == "string":
        return f'np.full({shape}, "text", object)'
    return f'np.zeros({shape}, "{each["type"]}")'


def card(
    about: Mapping[str, Any],
    run_dir: RunDir,
    path: Path,
    problem: Problem,
    figures: Mapping[str, Any],
    num_parameters: int,
) -> str:
    """The text of `MODEL.md`."""
    label = about["reading"].get("label", {}).get("name", "")
    classes = about["classes"]
    output = f"probabilities of the classes {', '.join(classes)}, in this order."
    if about["kind"] != "classification":
        output = f"`{label}`, in its own units." if label else "numbers, in the targets' units."
    new = {TABLE: "new.csv", IMAGES: "images/"}.get(about["reading"].get("form"), "new.npz")
    place = shlex.quote(run_dir.path.name)
    words = f"Predicts `{label}`" if label else "Predicts the targets"
    return _CARD.format(
        name=run_dir.path.name,
        what=f"{words} of `{problem.name}` ({about['kind']}).",
        file=path.name,
        parameters=f"{num_parameters:,}",
        output=output,
        place=run_dir.path.name,
        command=f"kerastune predict --output_dir={place} --data={new}",
        inputs="\n".join(_input_rows(about)),
        figures="\n".join(_figure_rows(figures, path)),
        made="\n".join(f"* {note}" for note in problem.notes)
        + f"\n* Found by kerastune; `{run_dir.report_markdown.name}` has every decision.",
    )


def _input_rows(about: Mapping[str, Any]) -> list[str]:
    if about["reading"].get("form") != TABLE:
        return [
            f"| {each['name']} | {each['type']} {each['shape']} | {_resized(each)} |"
            for each in about["inputs"]
        ]
    taken = TableForm.of(about["reading"]).taken
    rows = [f"| {_cell(each.name)} | {_type(each)} | {_cell(each.example)} |" for each in taken]
    left_out = len(rows) - MOST_ROWS
    more = [f"| and {left_out} more, see inputs.json | | |"] if left_out > 0 else []
    return rows[:MOST_ROWS] + more


def _resized(each: Mapping[str, Any]) -> str:
    if not (size := each.get("resized_to")):
        return ""
    return f"any size, resized to {size[0]} x {size[1]} inside"


def _type(column: Column) -> str:
    kind = f"{column.kind} ({column.written})" if column.written else column.kind
    safe = safe_name(column.name)
    return kind if safe == column.name else f"{kind}, input `{safe}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:60]


def _figure_rows(figures: Mapping[str, Any], path: Path) -> list[str]:
    name = path.stem if path.stem in figures else "final"
    found = figures.get(name, {})
    if not found:
        return ["No metrics were measured."]
    metrics = list(next(iter(found.values())))
    rows = [f"| part | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for part, values in found.items():
        rows.append(f"| {part} | {' | '.join(figure(values[each]) for each in metrics)} |")
    for part, found in figures.get("rare_class", {}).items():
        lines = wording.rare_class(found, figures["classes"])
        judged, exported = figures.get("rare_class_model"), figures.get("exported", {}).get("model")
        by = "this model" if judged == exported else "the single model"
        rows += ["", f"The rarer class, {part}, by {by}:", ""]
        rows += [f"* {line}" for line in lines]
    return rows
