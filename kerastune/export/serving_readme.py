"""Writes `models.config` and `README.md`, which say how to serve and ask the models."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from kerastune.export import versions
from kerastune.study import run_directory

CONFIG, README = "models.config", "README.md"
EXTRA = "assets.extra"
NOTES = "notes.txt"
_SERVED_AT = "/models"
_INTERNAL = "__saved_model_init_op"

_HEAD = """\
# Served by TensorFlow Serving

In this directory, start the server with every model that stands here:

```
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD:{served_at}:ro" tensorflow/serving \\
  --model_config_file={served_at}/{config} --model_config_file_poll_wait_seconds=60
```

Without Docker, change the paths in `{config}` to where the models are, and start:

```
tensorflow_model_server --port=8500 --rest_api_port=8501 --model_config_file={config}
```

A new version is loaded, warmed up and served as soon as its directory is there; the old one is
served until then.
"""

_MODEL = """
## {name}

Newest version: {version}. Each request is one example that stands beside it:

```
curl http://localhost:8501/v1/models/{name}
{curls}
```

| signature | inputs | outputs |
|---|---|---|
{signatures}

{notes}Over gRPC (port 8500) the same names go into `PredictRequest.inputs`.
"""


def write(base: Path) -> None:
    """Writes both files for all models in a directory that have a version.

    Example:
        >>> import tempfile
        >>> base = Path(tempfile.mkdtemp())
        >>> write(base)
        >>> (base / "models.config").read_text()
        'model_config_list {\\n}\\n'
    """
    with versions.locked(base):
        newest = {
            entry.name: versions.versions(entry)
            for entry in sorted(base.iterdir())
            if entry.is_dir()
        }
        newest = {
            name: found[-1]
            for name, found in newest.items()
            if found and run_directory.NAME.fullmatch(name)
        }
        run_directory.write_text(base / CONFIG, config(newest))
        sections = [_section(base, name, version) for name, version in newest.items()]
        run_directory.write_text(
            base / README, _HEAD.format(served_at=_SERVED_AT, config=CONFIG) + "".join(sections)
        )


def config(names: Iterable[str]) -> str:
    """The server's configuration for models of these names.

    As protobuf's text of `ModelServerConfig`.

    Example:
        >>> print(config(["digits"]))
        model_config_list {
          config {
            name: "digits"
            base_path: "/models/digits"
            model_platform: "tensorflow"
          }
        }
        <BLANKLINE>
    """
    lines = ["model_config_list {"]
    for name in names:
        lines += [
            "  config {",
            f'    name: "{name}"',
            f'    base_path: "{_SERVED_AT}/{name}"',
            '    model_platform: "tensorflow"',
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def request(signature: str, inputs: Mapping[str, np.ndarray]) -> str:
    """The body of a REST request with one instance for every example.

    Example:
        >>> request("serving_default", {"age": np.array([[3.5]])})
        '{"signature_name": "serving_default", "instances": [{"age": [3.5]}]}'
    """
    rows = zip(*(x.tolist() for x in inputs.values()), strict=True)
    is_bytes = "bytes" in signature
    instances = [
        {name: _json(value, is_bytes) for name, value in zip(inputs, row, strict=True)}
        for row in rows
    ]
    return json.dumps({"signature_name": signature, "instances": instances})


def _json(value: Any, is_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_json(each, is_bytes) for each in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if is_bytes else value.decode()
    return value


def _section(base: Path, name: str, version: int) -> str:
    directory = base / name / str(version)
    bodies = sorted(
        (directory / EXTRA).glob("*.json"), key=lambda path: path.name != "serving_default.json"
    )
    curls = [
        f"curl -d @{body.relative_to(base)} http://localhost:8501/v1/models/{name}:predict"
        for body in bodies
    ]
    rows = [
        f"| `{key}` | {_tensors(signature.inputs)} | {_tensors(signature.outputs)} |"
        for key, signature in sorted(signatures(directory).items())
    ]
    path = directory / EXTRA / NOTES
    notes = path.read_text(encoding="utf-8") if path.is_file() else ""
    rows, curls = "\n".join(rows), "\n".join(curls)
    return _MODEL.format(name=name, version=version, curls=curls, signatures=rows, notes=notes)


def signatures(directory: Path) -> dict[str, Any]:
    """The signatures of a SavedModel, as its file has them."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((directory / "saved_model.pb").read_bytes())
    found = saved.meta_graphs[0].signature_def
    return {name: found[name] for name in found if name != _INTERNAL}


def _tensors(described) -> str:
    words = []
    for name, tensor in sorted(described.items()):
        sides = [
            "n",
            *(str(side.size) if side.size >= 0 else "?" for side in tensor.tensor_shape.dim[1:]),
        ]
        words.append(
            f"`{name}` {types_pb2.DataType.Name(tensor.dtype)[3:].lower()} [{', '.join(sides)}]"
        )
    return ", ".join(words)
