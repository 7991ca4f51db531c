"""What is made of trained models: averages, views (TTA), stacked ensembles."""

from kerastune.runtime import lazy

__getattr__ = lazy.attributes(__name__, modules=("averaging", "stacking", "tta", "views"))
