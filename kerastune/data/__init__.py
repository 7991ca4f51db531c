"""From what a user brings to a `Problem`: read, checked, split and prepared."""

from kerastune.runtime import lazy

__getattr__ = lazy.attributes(
    __name__, {name: "kerastune.data.loading" for name in ("from_arrays", "load")}
)
