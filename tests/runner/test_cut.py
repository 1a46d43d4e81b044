"""Batches cover the sequences once, in equal shares, and stay the same when some are done."""

from itertools import chain, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqprobe.runner.cut import Cut
from seqprobe.runner.memory import LARGEST_BATCH
from seqprobe.runner.ranks import Ranks

cuts = st.builds(Cut, st.integers(1, LARGEST_BATCH), st.integers(1, 9))
numbers = st.builds(lambda start, some: range(start, start + some), *2 * [st.integers(1, 200)])


class Rank(Ranks):
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


@given(cuts, numbers)
def test_every_sequence_is_in_one_batch_that_fits(cut, numbers):
    batches = list(cut.batches(numbers))
    assert list(chain.from_iterable(batches)) == list(numbers)
    assert all(0 < len(batch) <= cut.size for batch in batches)
    assert all(b.start // LARGEST_BATCH == (b.stop - 1) // LARGEST_BATCH for b in batches)


@given(cuts, numbers)
@example(Cut(2, 5), range(6))
def test_shares_differ_by_one_sequence_at_most(cut, numbers):
    batches = list(cut.batches(numbers))
    shared = [list(Rank(rank, cut.shares).share(batches)) for rank in range(cut.shares)]
    assert list(chain.from_iterable(shared)) == batches
    sizes = [sum(map(len, share)) for share in shared]
    assert max(sizes) - min(sizes) <= 1


@given(cuts, numbers, st.sets(st.integers(0, 200)))
def test_what_is_left_is_the_same_batches_without_what_is_done(cut, numbers, places):
    batches = list(cut.batches(numbers))
    done = [batch for place, batch in enumerate(batches) if place in places]
    left = list(cut.left(numbers, set(chain.from_iterable(done))))
    assert left == [batch for batch in batches if batch not in done]


def test_of_a_batch_that_was_halved_the_other_half_is_left():
    assert list(Cut(8, 1).left(range(16), set(range(4)))) == [range(4, 8), range(8, 16)]


def test_fewer_or_more_processes_may_go_on():
    """As many sequences for each as whole batches allow."""
    batches = list(Cut(4, 2).batches(range(32)))
    for size in (1, 2, 3, 5):
        shared = [list(Rank(rank, size).share(batches)) for rank in range(size)]
        assert list(chain.from_iterable(shared)) == batches
        sizes = [sum(map(len, share)) for share in shared]
        assert max(sizes) - min(sizes) <= 4


@pytest.mark.parametrize("shares", [1, 2, 3])
def test_shares_are_neighbours(shares):
    batches = list(Cut(32, shares).batches(range(32)))
    assert len(batches) == shares
    assert all(before.stop == after.start for before, after in pairwise(batches))
