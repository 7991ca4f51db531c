"""What flags mean to a command where that is not what the table of flags says."""

from __future__ import annotations

import dataclasses

from kerastune.cli.command_flags import RECIPE_FLAGS
from kerastune.cli.flag import Flag
from kerastune.playbook.stages.start import SUGGESTIBLE

STARTING = {"Recipe": "Recipe to start from"}
REGULARIZED = dataclasses.replace(RECIPE_FLAGS["regularizers"], default="on")
SUGGESTED = tuple(
    dataclasses.replace(RECIPE_FLAGS[name], unset="suggested")
    for name in SUGGESTIBLE
    if name != "batch_size"
)
GIVEN = (
    Flag(
        "budget",
        "Time (90s, 4m, 1.5h) or training steps (6000steps) of the whole command.",
        unit="TIME|STEPS",
        unset="steps of the recipe's trainings",
    ),
    REGULARIZED,
)
OF_SEARCH = Flag("output_dir", "Output directory of a search.", unit="DIRECTORY", unset="required")
NEW_DATA = Flag(
    "data",
    "Data of the form of the search's: a .csv or .parquet, a folder of images, or a .npz.",
    unit="FILE|FOLDER",
    unset="required",
)
TO_EXPORT = (
    OF_SEARCH,
    Flag(
        "data",
        "Data set with examples to check the export on.",
        unit="NAME|FILE|FOLDER|MODULE:FUNCTION",
        unset="as in the search",
    ),
    Flag("label", "Column of a table that was predicted.", unit="COLUMN"),
    Flag("groups", "Column of a table, or array of a .npz, that is not an input.", unit="COLUMN"),
    Flag(
        "image_size",
        "Height and width that the images of a folder are resized to.",
        None,
        "integer",
        unset="as in the search",
    ),
    Flag(
        "model",
        "Model of the search; your module is imported.",
        unit="mlp|cnn|resnet|series|text|MODULE:NAME",
        unset="as in the search",
    ),
    Flag(
        "pretrained",
        "Pretrained model of the search; your module is imported.",
        unit="FILE.keras|MODULE:FUNCTION",
        unset="as in the search",
    ),
    Flag("ensemble", "Export the ensemble, where there is one.", True, "switch"),
    Flag("tta", "Export test-time augmentation, where there is one.", True, "switch"),
)
