"""Randomization tests by the thousand: all on the same random swaps, as a few matrix products."""

from collections.abc import Sequence

import numpy as np

SWAPS = 1999  # of each test at first
LEAST = 9999  # of a test that goes on
FEW = 20  # a test with fewer swaps as extreme as what was observed goes on
PER_TEST = (
    200  # swaps that such a test is given for each test of the family: its p-value can pass Holm's tenfold
)
ROUNDING = 1e-5  # of single precision, relative to the sum of all differences
CHUNK = 2**24  # random numbers at a time: 64 MiB


def swap_tests(differences: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Two-sided p-values [m] that the sum of each test's per-image ``differences`` is not zero.

    The same test as `pets.metrics.paired.swap_test`, by random swaps only, of which the observed one counts
    as one. A test goes on beyond the first 1,999 swaps only while hardly any is as extreme (Besag, Clifford:
    Sequential Monte Carlo p-values, Biometrika 1991), to 9,999 or 100 for each of the m
    tests. So a p-value is small enough to survive a correction for all of them, and most tests stay short.
    """
    columns = np.zeros((max(map(len, differences), default=0), len(differences)), dtype=np.float32)
    for test, values in enumerate(differences):
        columns[: len(values), test] = np.abs(values)
    totals = columns.sum(0)
    observed = np.abs([values.sum() for values in differences]) - ROUNDING * totals
    generator = np.random.default_rng(seed)
    extreme = _count(columns, totals, observed, SWAPS, generator)
    swaps = np.full(len(differences), SWAPS)
    rare = extreme < FEW
    further = max(LEAST, PER_TEST * len(differences)) - SWAPS
    if rare.any():
        extreme[rare] += _count(columns[:, rare], totals[rare], observed[rare], further, generator)
        swaps[rare] += further
    return np.asarray((1 + extreme) / (1 + swaps), dtype=float)


def _count(
    columns: np.ndarray, totals: np.ndarray, observed: np.ndarray, swaps: int, generator: np.random.Generator
) -> np.ndarray:
    """How many of so many random swaps give sums [m] at least as far from zero as ``observed``."""
    images = len(columns)
    rows = max(1, CHUNK // max(1, images))
    found = np.zeros(len(totals), dtype=int)
    for start in range(0, swaps, rows):
        size = min(rows, swaps - start)
        bits = generator.integers(0, 256, size=(size, -(-images // 8)), dtype=np.uint8)
        kept = np.unpackbits(bits, axis=1, count=images).astype(np.float32)
        found += (np.abs(2 * (kept @ columns) - totals) >= observed).sum(0)  # the others change their sign
    return found
