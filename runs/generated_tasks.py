"""Seeded data sets made by formula, as `module:function` gives them to `--data`: arrays `(x, y)`.

Those of the probe's table come first; the constants of the probe were fitted on the last group.
Those for the benchmark are harder: a rate that is a little off, or too few steps, leaves them at
chance.
"""

from __future__ import annotations

import numpy as np

FITTING_TABLES = (
    "rings",
    "blobs",
    "few_blobs",
    "checkerboard",
    "teacher",
    "needles",
    "friedman",
    "few_friedman",
)
FITTING_IMAGES = ("strokes", "textures", "dots", "patches")


# Reported.


def spirals(n: int = 2000, seed: int = 1, turns: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Two spirals of one and a half turns, `[n, 2]`, with a little noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    radius = rng.uniform(0.1, 1.0, n)
    angle = 2 * np.pi * turns * radius + np.pi * y
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + rng.normal(0, 0.02, x.shape), y


def parity(n: int = 5000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Twenty signs `[n, 20]`; the class is the product of two of them."""
    x = np.random.default_rng(seed).choice([-1.0, 1.0], (n, 20))
    return x, (x[:, 3] * x[:, 11] > 0).astype(int)


def gratings(n: int = 4000, seed: int = 1, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Noisy waves `[n, side, side]` in one of eight orientations, of any phase and of several
    wavelengths.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 8, n)
    angle, phase, length = y * np.pi / 8, rng.uniform(0, 2 * np.pi, n), rng.uniform(4, 9, n)
    rows, columns = np.mgrid[:side, :side]
    along = np.cos(angle)[:, None, None] * rows + np.sin(angle)[:, None, None] * columns
    x = np.sin(2 * np.pi * along / length[:, None, None] + phase[:, None, None])
    return x + rng.normal(0, 0.7, x.shape), y


def shapes(n: int = 4000, seed: int = 1, side: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A disc, square, diamond, ring or cross, anywhere, of any size, in noise `[n, side, side]`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)
    size = rng.uniform(4, 8, n)[:, None, None]
    center = rng.uniform(8, side - 8, (2, n))[:, :, None, None]
    down, right = np.abs(np.mgrid[:side, :side][:, None] - center)
    disc = np.hypot(down, right) < size
    square = np.maximum(down, right) < 0.85 * size
    cross = square & (np.minimum(down, right) < 0.3 * size)
    kinds = [
        disc,
        square,
        down + right < 1.2 * size,
        disc & (np.hypot(down, right) > 0.6 * size),
        cross,
    ]
    return np.choose(y[:, None, None], kinds) + rng.normal(0, 0.4, (n, side, side)), y


def fashion_first() -> tuple:
    """Fashion-MNIST's classes 0 to 4, training and test part."""
    return _fashion(range(5))


def fashion_last() -> tuple:
    """Fashion-MNIST's classes 5 to 9, training and test part."""
    return _fashion(range(5, 10))


def _fashion(classes: range) -> tuple:
    from kerastune.data import sources

    parts = sources.read("fashion_mnist").parts
    kept = [
        part.take(np.flatnonzero(np.isin(part.y, classes)))
        for part in (parts["training"], parts["test"])
    ]
    return tuple((part.x, part.y - classes.start) for part in kept)


# For the benchmark.


def long_spirals() -> tuple[np.ndarray, np.ndarray]:
    """Two spirals of three turns, `[3000, 2]`."""
    return spirals(3000, seed=3, turns=3.0)


def sparse_parity(n: int = 8000, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Twenty-five signs `[n, 25]`; the class is the product of five of them, so that no four tell
    anything of it.
    """
    x = np.random.default_rng(seed).choice([-1.0, 1.0], (n, 25))
    return x, (x[:, [2, 7, 13, 19, 23]].prod(axis=1) > 0).astype(int)


# For fitting.


def rings(n: int = 1500, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Three rings around one another `[n, 2]`."""
    rng = np.random.default_rng(seed)
    y, angle = rng.integers(0, 3, n), rng.uniform(0, 2 * np.pi, n)
    radius = 1 + y + rng.normal(0, 0.2, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def blobs(
    n: int = 4000, seed: int = 1, classes: int = 10, features: int = 30
) -> tuple[np.ndarray, np.ndarray]:
    """Normal clouds that touch `[n, features]`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(0, 0.8, (classes, features))[y] + rng.normal(0, 1, (n, features)), y


def few_blobs() -> tuple[np.ndarray, np.ndarray]:
    """A small set: 200 examples of three clouds in ten dimensions."""
    return blobs(200, seed=2, classes=3, features=10)


def checkerboard(n: int = 3000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The color of a field of a board of 3 x 3 fields `[n, 2]`."""
    x = np.random.default_rng(seed).uniform(0, 3, (n, 2))
    return x, np.floor(x).sum(axis=1).astype(int) % 2


def teacher(
    n: int = 6000, seed: int = 1, features: int = 60, classes: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """Classes by a random network with one hidden layer, of normal inputs `[n, features]`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, features))
    hidden = np.tanh(x @ rng.normal(0, 2 / np.sqrt(features), (features, 20)))
    return x, np.argmax(hidden @ rng.normal(0, 1, (20, classes)), axis=1)


def needles(n: int = 3000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features `[n, 200]`, six of which tell the class; a tenth of the labels is wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, 200))
    y = x[:, :5].sum(axis=1) + x[:, 0] * x[:, 5] > 0
    return x, (y ^ (rng.uniform(size=n) < 0.1)).astype(int)


def friedman(n: int = 5000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Friedman's first regression problem: five of ten uniform features matter `[n, 10]`."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, 10))
    y = (
        10 * np.sin(np.pi * x[:, 0] * x[:, 1])
        + 20 * (x[:, 2] - 0.5) ** 2
        + 10 * x[:, 3]
        + 5 * x[:, 4]
    )
    return x, y + rng.normal(0, 1, n)


def few_friedman() -> tuple[np.ndarray, np.ndarray]:
    """A small set: 400 examples of Friedman's problem."""
    return friedman(400, seed=2)


def strokes(n: int = 4000, seed: int = 1, side: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Ten characters of three strokes each, every end of which is jittered, `[n, side, side]`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n)
    ends = rng.uniform(0.15, 0.85, (10, 3, 2, 2))[y] + rng.normal(0, 0.05, (n, 3, 2, 2))
    points = np.stack(np.mgrid[:side, :side], axis=-1) / (side - 1)
    image = np.zeros((n, side, side))
    for start, end in np.moveaxis(ends, 0, 2):
        line = (end - start)[:, None, None]
        away = points - start[:, None, None]
        along = np.clip((away * line).sum(-1) / np.maximum((line**2).sum(-1), 1e-6), 0, 1)
        distance = np.linalg.norm(away - along[..., None] * line, axis=-1)
        image = np.maximum(image, np.exp(-((distance * side) ** 2)))
    return image, y


def textures(n: int = 4000, seed: int = 1, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Noise of six colors: white to brown in its spectrum, `[n, side, side]`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, n)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1 / side
    spectrum = np.fft.fft2(rng.normal(0, 1, (n, side, side))) * frequency ** (
        -0.4 * y[:, None, None]
    )
    x = np.fft.ifft2(spectrum).real
    return x / x.std(axis=(1, 2), keepdims=True), y


def dots(n: int = 4000, seed: int = 1, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A regression: how many of up to twelve dots there are in a noisy image `[n, side, side]`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(1, 13, n)
    scores = rng.uniform(size=(n, side * side))
    x = scores <= np.take_along_axis(np.sort(scores, axis=1), y[:, None] - 1, axis=1)
    return x.reshape(n, side, side) + rng.normal(0, 0.2, (n, side, side)), y.astype(
        float
    ) + rng.normal(0, 0.1, n)


def patches(n: int = 4000, seed: int = 1, side: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """Color images `[n, side, side, 3]` that hold one of seven small random patterns somewhere, in
    noise.
    """
    rng = np.random.default_rng(seed)
    patterns = rng.normal(0, 1.5, (7, 5, 5, 3))
    y = rng.integers(0, 7, n)
    x = rng.normal(0, 0.7, (n, side, side, 3))
    for image, label, (row, column) in zip(x, y, rng.integers(0, side - 4, (n, 2))):
        image[row : row + 5, column : column + 5] += patterns[label]
    return x, y
