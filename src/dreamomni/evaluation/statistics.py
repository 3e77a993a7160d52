"""Numbers with their doubt: proportions, means and unweighted means of scores.

A score that could not be given is counted, never averaged: "unknown" is not zero. The standard error of a
proportion is half the width of its Wilson interval at z = 1, so that 0 of 50 and 50 of 50 keep a doubt
(the textbook sqrt(p (1 - p) / n) says zero there).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Estimate(NamedTuple):
    """One measured number.

    Attributes:
        mean: the average over the scored cases; None when there are none.
        stderr: one standard error; None for fewer than two scored cases.
        num_scored: how many cases the mean is over.
        num_unscored: how many cases could not be judged, so are in no mean.
    """

    mean: float | None
    stderr: float | None
    num_scored: int
    num_unscored: int

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        if self.stderr is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} +- {self.stderr:.3f}"


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of a proportion, inside [0, 1] even at 0 and at ``trials`` successes.

    Args:
        successes: how many of the trials succeeded.
        trials: number of trials, at least one.
        z: half-width in standard errors; 1.96 is 95%.

    Returns:
        The lower and the upper end.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def proportion(outcomes: Sequence[bool | None]) -> Estimate:
    """Share of True among the scored outcomes; None means that the case could not be judged."""
    scored = [outcome for outcome in outcomes if outcome is not None]
    num_unscored = len(outcomes) - len(scored)
    if not scored:
        return Estimate(None, None, 0, num_unscored)
    mean = sum(scored) / len(scored)
    if len(scored) < 2:
        return Estimate(mean, None, len(scored), num_unscored)
    share, n = mean, len(scored)
    half = math.sqrt(share * (1 - share) / n + 1 / (4 * n * n)) / (1 + 1 / n)
    return Estimate(mean, half, n, num_unscored)


def mean_of(values: Sequence[float | None]) -> Estimate:
    """Mean of the scored values with the standard error of the mean; None means not judged."""
    scored = [value for value in values if value is not None]
    num_unscored = len(values) - len(scored)
    n = len(scored)
    if n == 0:
        return Estimate(None, None, 0, num_unscored)
    mean = math.fsum(scored) / n
    if n < 2:
        return Estimate(mean, None, n, num_unscored)
    variance = math.fsum((value - mean) ** 2 for value in scored) / (n - 1)
    return Estimate(mean, math.sqrt(variance / n), n, num_unscored)


def unweighted_mean(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of means, every one with the same weight whatever its number of cases (GenEval's overall score).

    The standard error assumes that the estimates are independent. A member without a mean makes the whole
    unknown: leaving it out would compare different things under one name.
    """
    num_scored = sum(estimate.num_scored for estimate in estimates)
    num_unscored = sum(estimate.num_unscored for estimate in estimates)
    means = [estimate.mean for estimate in estimates if estimate.mean is not None]
    if not estimates or len(means) < len(estimates):
        return Estimate(None, None, num_scored, num_unscored)
    mean = math.fsum(means) / len(means)
    errors = [estimate.stderr for estimate in estimates if estimate.stderr is not None]
    if len(errors) < len(estimates):
        return Estimate(mean, None, num_scored, num_unscored)
    return Estimate(mean, math.sqrt(math.fsum(e * e for e in errors)) / len(errors), num_scored, num_unscored)
