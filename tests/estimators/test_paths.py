"""Shortest paths against breadth-first search and closed forms."""

import numpy as np
import pytest

from seqprobe.estimators.paths import hop_costs, hops_by_distance, shortest_paths


def searched(supports, time):
    """A slow twin: search through (layer, position); staying costs nothing, moving one hop."""
    best = np.full((time, time), np.inf)
    for source in range(time):
        cost = {source: 0}
        for support in supports:
            after: dict[int, int] = {}
            for position, hops in cost.items():
                for target in np.flatnonzero(support[:, position]):
                    moved = hops + (target != position)
                    after[target] = min(after.get(target, 10**9), moved)
                after[position] = min(after.get(position, 10**9), hops)
            cost = after
        for target, hops in cost.items():
            best[target, source] = hops
    return best


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_search_through_random_layers(seed):
    random = np.random.default_rng(seed)
    supports = [np.tril(random.random((12, 12)) < 0.2) for _ in range(3)]
    composed = shortest_paths([hop_costs(s, step_by_step=False) for s in supports])
    assert (composed == searched(supports, 12)).all()


def test_recurrence_above_attention_takes_the_shorter_way():
    everything = np.tril(np.ones((16, 16), dtype=bool))
    recurrence = hop_costs(everything, step_by_step=True)
    attention = hop_costs(everything, step_by_step=False)
    assert hops_by_distance(recurrence)[10] == 10
    assert hops_by_distance(shortest_paths([recurrence, attention]))[10] == 1


def test_the_longest_of_the_shortest_paths_counts():
    """One position reaches five steps back at once, all others step by step."""
    everything = np.ones((8, 8), dtype=bool)
    support = np.tril(everything) & ~np.tril(everything, -2)
    support[5, 0] = True
    paths = shortest_paths([hop_costs(support, step_by_step=False)] * 7)
    assert paths[5, 0] == 1
    assert paths[6, 1] == 5
    assert hops_by_distance(paths)[5] == 5
    few = shortest_paths([hop_costs(support, step_by_step=False)] * 3)
    assert np.isinf(hops_by_distance(few)[4])
    assert hops_by_distance(few)[5] == 1
