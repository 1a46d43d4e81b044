"""The processes that share the work of one run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

T = TypeVar("T")


class Ranks:
    """This process alone.

    Of several ones, each has a `rank` below `size`; the first decides what is to be done, brings
    together what was found, and speaks.
    """

    rank, size = 0, 1
    speaks = True
    """Whether it falls to this process to tell the user how the run ended."""

    @property
    def first(self) -> bool:
        """Whether this is the process that decides, and speaks."""
        return self.rank == 0

    def share(self, batches: Sequence[range]) -> Iterator[range]:
        """The batches that are this process's to do: those that end within its part of all.

        The parts are those of a `Cut` for as many shares as there are processes.
        """
        total, end = sum(map(len, batches)), 0
        for batch in batches:
            end += len(batch)
            if (end * self.size - 1) // total == self.rank:
                yield batch

    def told(self, _kind: type[T], ask: Callable[[], T]) -> T:
        """What the first process says, of a kind that JSON can hold; only there is it asked."""
        return ask()

    def gathered(self, _own: Sequence[T]) -> list[T]:
        """To the first process: what the others found, in the order of ranks. Else nothing."""
        return []

    def heeding(self) -> AbstractContextManager[None]:
        """Inside, a signal to end interrupts at once; outside it waits for the next such time.

        Raises:
            LostProcess: another process is not there any more, or this one was told to end.
        """
        return nullcontext()


ALONE = Ranks()
