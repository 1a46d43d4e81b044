"""Signs of life of several processes, and the last words of those that ended."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from torch.distributed.distributed_c10d import Store

from seqprobe.errors import LostProcess

BEAT, PAUSE, GRACE = 2.0, 0.05, 3.0
"""Seconds between signs of life, between looks at them, and until no last word means none."""
RESUME = "Run the same command again with --resume: it goes on from the finished batches."


class Life:
    """Of `size` processes, this one being `rank`.

    Signs come from a thread: work of any length is not taken for silence, but a process that was
    stopped or killed is silent.
    """

    def __init__(self, store: Store, rank: int, size: int, patience: float) -> None:
        self._store, self._rank, self._patience = store, rank, patience
        self._others = [other for other in range(size) if other != rank]
        self._heard = {other: (b"", time.monotonic()) for other in self._others}
        self._over = threading.Event()
        store.set(_alive(rank), "0")
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Look whether the others are all there.

        Raises:
            LostProcess: one of them has ended, or was silent for too long.
        """
        if self._words():
            raise self.lost()
        now = time.monotonic()
        for other in self._others:
            sign = self._store.get(_alive(other))
            if sign != self._heard[other][0]:
                self._heard[other] = sign, now
            elif now - self._heard[other][1] > self._patience:
                raise _silent([other])

    def about_to_end(self) -> None:
        """Say so at once: to whom nothing is said, this process is lost."""
        with suppress(RuntimeError):
            self._store.set(_ended(self._rank), "")

    def lost(self) -> LostProcess:
        """Who is to blame when all are to end: who complained, else who says nothing."""
        self.about_to_end()
        try:
            words = self._last_words()
        except RuntimeError:
            return LostProcess("the processes cannot reach each other any more", do=RESUME)
        for other, complaint in words.items():
            if complaint:
                return LostProcess(f"rank {other} failed", got=complaint, do=RESUME)
        if silent := [other for other in self._others if other not in words]:
            return _silent(silent)
        return LostProcess("the processes were told to end", got="SIGTERM", do=RESUME)

    def end(self, complaint: str) -> bool:
        """Say the last words; returns whether it falls to this process to tell the user."""
        self._over.set()
        self._thread.join()
        with suppress(RuntimeError):
            self._store.set(_ended(self._rank), complaint)
            if self._rank > 0:
                words = self._last_words()
                return not any(other in words for other in range(self._rank))
        return True

    def _last_words(self) -> dict[int, str]:
        """Of all others that say any before long."""
        until = time.monotonic() + GRACE
        while len(words := self._words()) < len(self._others) and time.monotonic() < until:
            time.sleep(PAUSE)
        return words

    def _words(self) -> dict[int, str]:
        return {
            other: self._store.get(_ended(other)).decode()
            for other in self._others
            if self._store.check([_ended(other)])
        }

    def _beat(self) -> None:
        beats = 0
        with suppress(RuntimeError):
            while not self._over.wait(BEAT):
                beats += 1
                self._store.set(_alive(self._rank), str(beats))


def _alive(rank: int) -> str:
    return f"alive {rank}"


def _ended(rank: int) -> str:
    return f"ended {rank}"


def _silent(ranks: Sequence[int]) -> LostProcess:
    names = " or ".join(f"rank {rank}" for rank in ranks)
    return LostProcess(f"{names} was lost", got="no sign of life", do=RESUME)
