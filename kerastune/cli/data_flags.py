"""The flags that say what the data are."""

from __future__ import annotations

from kerastune.cli.flag import Flag

KINDS = ("", "classification", "regression")

FLAGS = (
    Flag(
        "data",
        "Data set (digits, iris, mnist …), .csv, .parquet, .npz, folder with a folder of images "
        "per class, .csv of image paths, or function that returns arrays.",
        unit="NAME|FILE|FOLDER|MODULE:FUNCTION",
        unset="required",
    ),
    Flag("label", "Column of a table to predict.", unit="COLUMN"),
    Flag("ignore", "Columns of a table that are no inputs.", (), "list", "COLUMN,…", unset="none"),
    Flag(
        "types",
        "What columns are: number, boolean, date, d/m/y, m/d/y, category or text.",
        (),
        "list",
        "COLUMN:TYPE,…",
        unset="from their cells",
    ),
    Flag(
        "time",
        "Column of a table to cut by: the latest rows are the test part, those before them the "
        "validation part.",
        unit="COLUMN",
    ),
    Flag(
        "groups",
        "Column of a table, or array of a .npz: examples of one group stay in the same part or "
        "fold.",
        unit="COLUMN",
    ),
    Flag(
        "validation_data",
        "Validation part, in a table of the same form.",
        unit="FILE",
        unset="cut off --data",
    ),
    Flag(
        "test_data",
        "Test part, in a table of the same form.",
        unit="FILE",
        unset="cut off --data",
    ),
    Flag(
        "kind",
        "What the targets are.",
        kind="choice",
        choices=KINDS,
        unset="from the targets",
    ),
    Flag(
        "image_size",
        "Height and width that the images of a folder are resized to.",
        64,
        "integer",
        "pixels",
        least=1,
    ),
    Flag("skip_broken", "Leave out images that can't be read.", False, "switch"),
    Flag(
        "standardize",
        "Standardize inputs to mean 0 and std 1.",
        None,
        "switch",
        unset="for built-in models only",
    ),
    Flag(
        "standardize_targets",
        "Standardize the numbers to predict; predictions are in their own units all the same.",
        None,
        "switch",
        unset="for all but compiled models",
    ),
)
