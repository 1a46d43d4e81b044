"""How sequences are cut into batches."""

from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import NamedTuple

from seqprobe.runner.memory import LARGEST_BATCH


class Cut(NamedTuple):
    """Batches of at most `size` sequences, for so many equal `shares` of the work.

    No batch goes across a multiple of the largest size, so that a probe may look closer at the
    first sequences. What is cut does not depend on who does the work, nor on what is done already:
    a run that is taken up again has the same batches.
    """

    size: int
    shares: int

    def batches(self, numbers: range) -> Iterator[range]:
        """The sequences with these numbers, in their order."""
        edges = [
            numbers.start + len(numbers) * share // self.shares for share in range(self.shares + 1)
        ]
        for first, stop in pairwise(edges):
            start = first
            while start < stop:
                block = start - start % LARGEST_BATCH + LARGEST_BATCH
                end = min(start + self.size, stop, block)
                yield range(start, end)
                start = end

    def left(self, numbers: range, done: Collection[int]) -> Iterator[range]:
        """The same without what is done; of a batch that was halved, one half may be."""
        for batch in self.batches(numbers):
            left = [number for number in batch if number not in done]
            if left:
                yield range(left[0], left[-1] + 1)
