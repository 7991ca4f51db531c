"""Views: the same example seen a little differently, with its label kept (S4.7).

Every view is a registered Keras layer without weights: deterministic, the same for an example
whatever else is in its batch, and made of Keras's own operations, so that it works inside a
SavedModel.
"""

from kerastune.inference.views.applying import apply, checked
from kerastune.inference.views.as_values import from_values, to_values
from kerastune.inference.views.base import View
from kerastune.inference.views.image_views import Crop, Flip, Rotate, Scale, Shift
from kerastune.inference.views.sequence_views import TimeShift
from kerastune.inference.views.standard_views import candidates
from kerastune.inference.views.table_views import Noise

__all__ = [
    "Crop",
    "Flip",
    "Noise",
    "Rotate",
    "Scale",
    "Shift",
    "TimeShift",
    "View",
    "apply",
    "candidates",
    "checked",
    "from_values",
    "to_values",
]
