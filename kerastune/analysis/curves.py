"""Rules on curves: convergence, divergence, and which run falls fastest and deepest.

Every rule is a pure function on arrays of true step losses. The thresholds are those of the
playbook's section "Words that rules use".
"""

from __future__ import annotations

import numpy as np

SMOOTHING_SHARE = 0.01  # time constant of the smoothing, as a share of the steps
SMOOTHING_LEAST = 10  # steps
NOISY_SHARE = 0.03  # the same, at most, where the steps are noisy
CONVERGED_SHARE = 0.02  # of the total fall
TINY = 1e-12  # instead of zero, below a line
LEVEL_SHARE = 0.2  # of the steps, over which the level of a curve is a mean
DEEP_SHARE = 0.05  # of the lowest fall
LATE_SHARE = 0.8  # of the steps: a run that falls after it could have gone on
EXPLOSION_FACTOR = 3.0  # times the first loss
LEAST_EVALUATIONS = 5  # below, validation cannot tell that it has settled
SINGLE_SHARE = 1 / 3  # of the range of the validation values; a single change above it is no noise
SAME_VALUE = 1e-6  # relative difference of two values that are the same but for rounding
MARGIN = 1.5  # total steps over converged step (S1.4: 4K -> 6K)


def smoothed(losses: np.ndarray, time_constant: float | None = None) -> np.ndarray:
    """Exponential mean of a curve, corrected for its start.

    Weights fall by `1/e` in `time_constant` steps; at step `t` the mean is divided by the weight it
    has gathered so far, so the first value is `losses[0]` itself.

    Args:
        losses: values of every step `[steps]`.
        time_constant: steps, `> 0`; the default is 1 % of the steps and at least 10.

    Returns:
        float64 array `[steps]`; from the first value that is not finite on, nothing is finite.

    Example:
        >>> smoothed(np.array([2.0, 2.0, 2.0])).tolist()
        [2.0, 2.0, 2.0]
    """
    losses = np.asarray(losses, np.float64)
    if time_constant is None:
        time_constant = max(SMOOTHING_LEAST, SMOOTHING_SHARE * len(losses))
    keep = np.exp(-1.0 / time_constant)
    mean, weight = 0.0, 0.0
    result = np.empty_like(losses)
    for step, loss in enumerate(losses.tolist()):
        mean = keep * mean + (1 - keep) * loss
        weight = keep * weight + (1 - keep)
        result[step] = mean / weight
    return result


def diverged_at(losses: np.ndarray, first: float = float("nan")) -> int | None:
    """First step at which a run has diverged.

    Its loss is not finite, or its smoothed loss is above 3x the first.

    Args:
        losses: true loss of every step `[steps]`.
        first: the first loss of the run, when `losses` begins later; NaN for `losses[0]`.

    Returns:
        The step, counted in `losses`, or `None` when the run is sound. The first 10 losses can't
        explode, since one large one among them would be most of their mean. A first loss of
        zero or below never explodes.

    Example:
        >>> diverged_at(np.array([1.0, 1.0, np.nan]))
        2
    """
    losses = np.asarray(losses, np.float64)
    bad = np.flatnonzero(~np.isfinite(losses))
    sound = losses[: bad[0]] if len(bad) else losses
    if np.isnan(first) and len(sound):
        first = sound[0]
    if len(sound) and first > 0:
        exploded = np.flatnonzero(
            smoothed(sound, SMOOTHING_LEAST)[SMOOTHING_LEAST:] > EXPLOSION_FACTOR * first
        )
        if len(exploded):
            return SMOOTHING_LEAST + int(exploded[0])
    return int(bad[0]) if len(bad) else None


def fastest_and_deepest(curves: list[np.ndarray], start: float = float("inf")) -> int | None:
    """Index of the curve that falls fastest and deepest (S1.3).

    Over the steps that all sound curves have, those count as deep whose last smoothed loss is
    within 5 % of the lowest fall. Among them the lowest area under the smoothed loss wins, the
    first one at a tie.

    Args:
        curves: true step losses of every run, arrays `[steps]`; lengths may differ. A run that
            diverged is left out.
        start: loss of a guess (`fall_of`), where it is known.

    Returns:
        The index, or `None` when every run diverged or has no step.

    Example:
        >>> slow, fast = np.linspace(2, 1.0, 100), np.r_[np.linspace(2, 1, 50), np.ones(50)]
        >>> fastest_and_deepest([slow, fast])
        1
    """
    sound = [i for i, curve in enumerate(curves) if len(curve) and diverged_at(curve) is None]
    if not sound:
        return None
    common = min(len(curves[i]) for i in sound)
    smooth = {i: smoothed(curves[i][:common]) for i in sound}
    lowest = min(curve[-1] for curve in smooth.values())
    first = max(curve[0] for curve in smooth.values())
    deep = [
        i for i in sound if smooth[i][-1] <= lowest + DEEP_SHARE * fall_of(first, lowest, start)
    ]
    return min(deep, key=lambda i: (smooth[i].mean(), i))


def fall_of(first: float, lowest: float, start: float = float("inf")) -> float:
    """By how much a loss fell, at least 0, as far as that tells one curve from another.

    It is counted from no higher than 3x `start`, the loss of a guess: from a first loss of
    hundreds, on inputs that are not scaled, everything falls, and a fraction of that fall would
    hide all that comes after it.

    Example:
        >>> fall_of(2.5, 0.5), fall_of(500.0, 3.0, start=2.0)
        (2.0, 3.0)
    """
    return max(min(first, EXPLOSION_FACTOR * start) - lowest, 0.0)


def converged_step(losses: np.ndarray) -> int:
    """First step from which a curve has converged.

    From there on the smoothed loss stays within 2 % of its total fall above its lowest level.

    The loss is smoothed there and back: once forwards and the result once backwards, so that it
    does not lag. Where the noise of a step is many times 2 % of the fall, the lowest value of a
    wavering mean is a matter of luck. So the time constant is up to 3 % of the steps then, and the
    level is the lowest mean of a fifth of the steps; what the last fifth still falls beyond noise
    after its middle is taken off. `tests/test_curves.py` holds the curves, labeled by eye, on which
    the shares were tried.

    Args:
        losses: true loss of every step `[steps]`, at least one, all finite.

    Returns:
        A number of steps in `[1, steps]`. A curve that still falls converges near its end; one that
        never falls converges at once.

    Raises:
        ValueError: for an empty curve or one with a loss that is not finite.

    Example:
        >>> converged_step(np.r_[np.linspace(2, 0, 500), np.zeros(1500)])
        501
    """
    curve = np.asarray(losses, np.float64)
    if not len(curve) or not np.isfinite(curve).all():
        raise ValueError(
            f"a converged step needs at least one loss, all finite, got {len(curve)} losses."
        )
    noise = scatter(curve[len(curve) // 2 :])
    lowest = _level(curve, noise)
    fall = max(curve[0] - lowest, 0.0)
    # The variance of such a mean is that of a value over four times the time constant.
    steady = (noise / max(CONVERGED_SHARE * fall / 4, TINY)) ** 2 / 4
    least = max(SMOOTHING_LEAST, SMOOTHING_SHARE * len(curve))
    return _stays_below(
        _twice_smoothed(curve, max(least, min(steady, NOISY_SHARE * len(curve)))), lowest, fall
    )


def surely_flat_step(losses: np.ndarray) -> int:
    """First step from which a curve is flat by the stricter rule.

    From there on the smoothed loss stays within 2 % of its fall above its lowest *value*.

    As `converged_step` where a curve is smooth, and late where it is noisy: a curve that was
    watched well past this step has stopped falling beyond doubt.

    Example:
        >>> surely_flat_step(np.r_[np.linspace(2, 0, 500), np.zeros(1500)])
        501
    """
    smooth = _twice_smoothed(np.asarray(losses, np.float64))
    return _stays_below(smooth, smooth.min(), max(losses[0] - smooth.min(), 0.0))


def _twice_smoothed(curve: np.ndarray, time_constant: float | None = None) -> np.ndarray:
    return smoothed(smoothed(curve, time_constant)[::-1], time_constant)[::-1]


def _stays_below(smooth: np.ndarray, lowest: float, fall: float) -> int:
    if fall <= 0:
        return 1
    outside = np.flatnonzero(smooth > lowest + CONVERGED_SHARE * fall)
    return min(int(outside[-1]) + 2, len(smooth)) if len(outside) else 1


def _level(curve: np.ndarray, noise: float) -> float:
    """What a curve has come down to; `noise` is the standard deviation of a value."""
    width = max(int(LEVEL_SHARE * len(curve)), min(SMOOTHING_LEAST, len(curve)))
    lowest = np.convolve(curve, np.full(width, 1 / width), mode="valid").min()
    places = np.arange(width) - (width - 1) / 2
    spread = max(places @ places, 1.0)
    slope, error = places @ curve[-width:] / spread, noise / np.sqrt(spread)
    return lowest - max(-slope - 2 * error, 0.0) * (width - 1) / 2


def still_falls(losses: np.ndarray) -> bool:
    """Whether a run could have gone on.

    In its last fifth the smoothed loss fell by more than 2 % of its total fall.

    The loss is smoothed as in `converged_step`.

    Args:
        losses: true loss of every step `[steps]`, at least one, all finite.

    Example:
        >>> (
        ...     still_falls(np.linspace(2, 1, 500)),
        ...     still_falls(np.r_[np.linspace(2, 0, 500), np.zeros(1500)]),
        ... )
        (True, False)
    """
    curve = smoothed(smoothed(losses)[::-1])[::-1]
    return bool(
        curve[int(LATE_SHARE * len(curve))] - curve[-1]
        > CONVERGED_SHARE * (losses[0] - curve.min())
    )


def settled_step(steps: np.ndarray, values: np.ndarray) -> int:
    """Step of the evaluation after which validation no longer improves beyond noise.

    The trend is the rising fit: of all curves that never fall, the one closest to the values. Its
    end is the mean over the last fifth of the evaluations (at least 3). Noise is twice the standard
    error of such a mean, from how far evaluations are off the middle between their neighbors, which
    a rise does not change: the median of that second difference without its sign, taken as that of
    a normal distribution; but at least the smallest change that was seen, which for an accuracy is
    a single example, or a third of the range of the values if that is less. The first evaluation
    where the trend is within noise of its end has settled.

    Args:
        steps: step of every evaluation `[evaluations]`, at least one.
        values: the objective there, larger is better `[evaluations]`; one that is not finite is
            passed over.

    Returns:
        One of `steps`; the last one when there are fewer than 5 finite values, which cannot tell.

    Example:
        >>> settled_step(
        ...     np.arange(1, 11) * 100, np.array([50, 70, 80, 90, 91, 90, 90, 91, 90, 90.0])
        ... )
        400
    """
    steps, values = np.asarray(steps), np.asarray(values, np.float64)
    last, sound = int(steps[-1]), np.isfinite(values)
    steps, values = steps[sound], values[sound]
    if len(values) < LEAST_EVALUATIONS:
        return last
    trend = rising_fit(values)
    width = max(3, len(values) // 5)
    noise = 2 * scatter(values) / np.sqrt(width)
    changes = np.abs(np.diff(values))
    seen = changes[changes > SAME_VALUE * np.abs(values).max()]
    single = min(seen.min(), SINGLE_SHARE * np.ptp(values)) if len(seen) else 0.0
    noise = max(noise, (1 + SAME_VALUE) * single)
    return int(steps[np.flatnonzero(trend >= trend[-width:].mean() - noise)[0]])


def scatter(values: np.ndarray) -> float:
    """Standard deviation of evaluations around their trend.

    The trend is not known; `settled_step` describes how it is estimated.

    Args:
        values: of every evaluation, all finite `[evaluations]`; fewer than 3 show no scatter.

    Example:
        >>> round(scatter(np.linspace(0, 1, 1000) + np.random.default_rng(1).normal(size=1000)), 1)
        1.0
    """
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values, 2))) / (0.6745 * np.sqrt(6)))


def rising_fit(values: np.ndarray) -> np.ndarray:
    """The curve closest to the values, in squares, of all that never fall (isotonic regression).

    Neighbors that fall are replaced by their mean until none are left.

    Example:
        >>> rising_fit(np.array([1.0, 3.0, 2.0, 4.0])).tolist()
        [1.0, 2.5, 2.5, 4.0]
    """
    means: list[float] = []
    sizes: list[int] = []
    for mean in np.asarray(values, np.float64).tolist():
        size = 1
        while means and means[-1] >= mean:
            before = sizes.pop()
            mean = (means.pop() * before + mean * size) / (before + size)
            size += before
        means.append(mean)
        sizes.append(size)
    return np.repeat(means, sizes)


def total_steps(converged: int) -> int:
    """Steps to train for: 1.5 times the converged step (S1.4).

    Example:
        >>> total_steps(4000)
        6000
    """
    return int(np.ceil(MARGIN * converged))


def hopeless(last_losses: np.ndarray, noise: float) -> np.ndarray:
    """Which runs to stop at a rung.

    Those significantly worse than the best, and in the lower half.

    Args:
        last_losses: smoothed loss of every run at the rung `[runs]`; not finite for a run that
            diverged.
        noise: difference of losses that means nothing, `>= 0`.

    Returns:
        Booleans `[runs]`; the best run is never among them, a diverged one always is.

    Example:
        >>> hopeless(np.array([0.1, 0.11, 0.5, 0.9]), noise=0.05).tolist()
        [False, False, True, True]
    """
    losses = np.where(np.isfinite(last_losses), last_losses, np.inf)
    if not np.isfinite(losses).any():
        return np.ones(len(losses), bool)
    rank = np.argsort(np.argsort(losses, kind="stable"), kind="stable")
    lower_half = rank >= (len(losses) + 1) // 2
    return ((losses > losses.min() + noise) & lower_half) | ~np.isfinite(losses)
