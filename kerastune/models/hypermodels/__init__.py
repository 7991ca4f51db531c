"""The networks that `--model` and `--pretrained` can name, as KerasTuner hypermodels."""

from kerastune.models.hypermodels.built_in import (
    BUILT_IN,
    Cnn,
    Mlp,
    ResNet,
    Series,
    Text,
    fitting,
    hidden_units,
)
from kerastune.models.hypermodels.hyperparameters import builder, settled
from kerastune.models.hypermodels.named import (
    BuildFunction,
    asking,
    is_built_in,
    load,
    of,
    takes_columns,
)
from kerastune.models.hypermodels.pretrained import Pretrained

__all__ = [
    "BUILT_IN",
    "BuildFunction",
    "Cnn",
    "Mlp",
    "Pretrained",
    "ResNet",
    "Series",
    "Text",
    "asking",
    "builder",
    "fitting",
    "hidden_units",
    "is_built_in",
    "load",
    "of",
    "settled",
    "takes_columns",
]
