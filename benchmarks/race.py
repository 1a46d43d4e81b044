"""Several things timed beside each other, so that a busy moment hits all of them."""

import random
from collections.abc import Callable, Mapping
from time import perf_counter

from where import waiting


def race(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every candidate in every round, in changing order, after one to warm up."""
    clock = waiting(clock)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name in random.sample(list(candidates), len(candidates)):
            started = clock()
            candidates[name]()
            if turn:
                seconds[name].append(clock() - started)
    return seconds
