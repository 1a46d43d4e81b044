"""All that is near, a few for each doubling, and what is asked for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from seqprobe.estimators.spaced import spaced


@given(st.integers(1, 5000), st.integers(1, 200), st.integers(1, 20), st.integers(-5, 6000))
def test_near_ones_are_all_there_and_gaps_grow_with_the_distance(last, dense, per_octave, asked):
    found = spaced(last, dense=dense, per_octave=per_octave, also=[asked])
    assert found[: dense + 1] == list(range(min(dense, last) + 1))[: len(found)]
    assert found[-1] == last
    assert asked in found or not 0 <= asked <= last
    growth = 2 ** (1 / per_octave) - 1
    assert all(b - a <= max(1, growth * a + 2) for a, b in pairwise(found))
