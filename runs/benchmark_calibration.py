"""What a temperature fitted to few validation examples does to the log-likelihood of others.

    python runs/benchmark_calibration.py

Networks and forests on scikit-learn's sets; many random cuts of what they were not trained on into
examples that the temperature is fitted to and others that it is judged on. Three columns: without
a temperature, with the one that is fitted, and with it where it helps significantly (cross-fitted),
as a search keeps it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn import datasets, ensemble, exceptions, neural_network, preprocessing

from kerastune.analysis import calibration, ensemble_selection

SETS = ("breast_cancer", "wine", "digits")
TRAINED_ON = 0.4  # fraction of a set's examples
COUNTS = (20, 50, 100, 200, 500, 1000)  # examples that a temperature is fitted to
LEAST_OTHERS = 50


def models(seed: int) -> dict:
    """Classifiers of different certainty, by name."""
    return {
        "network": neural_network.MLPClassifier((64,), max_iter=60, random_state=seed),
        "network, long": neural_network.MLPClassifier((128, 128), max_iter=200, random_state=seed),
        "forest": ensemble.RandomForestClassifier(50, random_state=seed),
    }


def rows(repeats: int, cuts: int) -> Iterator[tuple[tuple, list[float]]]:
    """Set, model and count, with mean log losses of the others: before, fitted, kept."""
    generator = np.random.default_rng(0)
    for name in SETS:
        data = getattr(datasets, f"load_{name}")()
        for repeat in range(repeats):
            order = generator.permutation(len(data.target))
            train, rest = np.split(order, [int(TRAINED_ON * len(order))])
            scaler = preprocessing.StandardScaler().fit(data.data[train])
            for title, model in models(repeat).items():
                model.fit(scaler.transform(data.data[train]), data.target[train])
                given = model.predict_proba(scaler.transform(data.data[rest]))
                for count in [n for n in COUNTS if n + LEAST_OTHERS <= len(rest)]:
                    for _ in range(cuts):
                        cut = np.split(generator.permutation(len(rest)), [count])
                        yield (
                            (name, title, count),
                            losses(given, data.target[rest], *cut),
                        )


def losses(given: np.ndarray, true: np.ndarray, fit: np.ndarray, others: np.ndarray) -> list[float]:
    """Mean log losses of the others: before, with the fitted temperature, and as it is kept."""
    fitted = calibration.best_temperature(given[fit], true[fit])
    kept = ensemble_selection.calibrated(given[fit], true[fit]).value
    return [
        float(calibration.log_losses(calibration.tempered(given[others], t), true[others]).mean())
        for t in (1.0, fitted, kept)
    ]


def main() -> None:
    """Prints the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8, help="trainings of every model")
    parser.add_argument("--cuts", type=int, default=6, help="random cuts of each count")
    flags = parser.parse_args()
    warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
    found: dict[tuple, list[list[float]]] = {}
    for key, values in rows(flags.repeats, flags.cuts):
        found.setdefault(key, []).append(values)
    print("| set | model | examples | before | fitted | kept | largest rise, kept |")
    print("|---|---|---|---|---|---|---|")
    for (name, title, count), values in found.items():
        table = np.array(values)
        means = " | ".join(f"{mean:.4f}" for mean in table.mean(axis=0))
        print(f"| {name} | {title} | {count} | {means} | {(table[:, 2] - table[:, 0]).max():.4f} |")


if __name__ == "__main__":
    main()
