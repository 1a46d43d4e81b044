"""Shortest paths between positions through a stack of modules that mix positions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

Matrix = Float64[np.ndarray, "time time"]


def hop_costs(support: Bool[np.ndarray, "time time"], *, step_by_step: bool) -> Matrix:
    """Hops from position s to t in one module, [t, s]; infinite where there is no path.

    A recurrence walks through every position between s and t; attention and convolution reach
    whatever they see in one hop. A module passes each position on to itself for nothing.
    """
    position = np.arange(len(support))
    steps = np.abs(position[:, None] - position[None, :]).astype(np.float64)
    if step_by_step:
        forward, backward = np.tril(support, -1).any(), np.triu(support, 1).any()
        later = position[:, None] > position[None, :]
        costs = np.where(np.where(later, forward, backward), steps, np.inf)
    else:
        costs = np.where(support, 1.0, np.inf)
    np.fill_diagonal(costs, 0.0)
    return costs


def shortest_paths(modules: Sequence[Matrix]) -> Matrix:
    """Hops from each input position to each output position through all modules in turn."""
    total = modules[0]
    for costs in modules[1:]:
        total = np.stack([np.min(costs + column, axis=1) for column in total.T], axis=1)
    return total


def hops_by_distance(paths: Matrix) -> Float64[np.ndarray, " time"]:
    """The longest of the shortest paths for each distance back; infinite where none exists."""
    time = len(paths)
    diagonals = [np.diagonal(paths, -distance) for distance in range(time)]
    reachable = [diagonal[np.isfinite(diagonal)] for diagonal in diagonals]
    return np.array([hops.max(initial=-np.inf) if len(hops) else np.inf for hops in reachable])
