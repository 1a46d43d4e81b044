"""Several processes that torchrun started share the work of one run."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch.distributed as dist
from pydantic import TypeAdapter
from torch.distributed.rendezvous import rendezvous

from seqprobe.errors import LostProcess, SeqProbeError
from seqprobe.runner.life import PAUSE, Life
from seqprobe.runner.ranks import ALONE, Ranks

PATIENCE = 300.0
"""Seconds without a sign of life, or for handing over evidence, after which a process is lost."""
SIGNALS = signal.SIGINT, signal.SIGTERM
T = TypeVar("T")


@contextmanager
def joined(patience: float = PATIENCE) -> Iterator[Ranks]:
    """The processes of this run, joined for as long as the context lasts.

    This process is alone where torchrun did not start it, or where somebody else has set up
    torch.distributed already.

    Raises:
        LostProcess: not all came together.
    """
    several = dist.is_torchelastic_launched() and os.environ["WORLD_SIZE"] != "1"
    if not several or dist.is_initialized():
        yield ALONE
        return
    ranks = Torchrun(patience)
    handlers = [signal.signal(each, ranks.told_to_end) for each in SIGNALS]
    complaint = ""
    try:
        yield ranks
    except LostProcess:
        raise
    except Exception as error:
        kind = "" if isinstance(error, SeqProbeError) else f"{type(error).__name__}: "
        complaint = f"{kind}{error}"
        raise
    finally:
        ranks.leave(complaint)
        for each, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(each, handler)


class Torchrun(Ranks):
    """One of several processes.

    They wait for each other at the store that torchrun gave them, where a wait can be ended, and
    hand over evidence by torch.distributed: arrays in main memory, so gloo serves every device.
    """

    def __init__(self, patience: float) -> None:
        """Join the others."""
        within = timedelta(seconds=patience)
        try:
            store, self.rank, self.size = next(iter(rendezvous("env://", timeout=within)))
            self._life = Life(store, self.rank, self.size, patience)
            dist.init_process_group(
                "gloo", store=store, rank=self.rank, world_size=self.size, timeout=within
            )
        except (RuntimeError, ValueError) as error:
            raise LostProcess(
                "the processes did not come together",
                got=str(error).split("\n")[0],
                expected=f"all of them within {patience:.0f} seconds",
                do="Start them all by one `torchrun --nproc-per-node=N`.",
            ) from error
        self._store, self._turn = store, 0
        self._heeds, self._signal = False, 0
        self.speaks = self.first

    def told(self, kind: type[T], ask: Callable[[], T]) -> T:
        """The first waits for nobody here, so that what it has is not lost with another one."""
        self._turn += 1
        key, plain = f"told {self._turn}", TypeAdapter(kind)
        if self.first:
            said = ask()
            with suppress(RuntimeError):
                self._store.set(key, plain.dump_json(said).decode())
            return said
        try:
            self._until(key)
            return plain.validate_json(self._store.get(key))
        except RuntimeError as error:
            raise self._life.lost() from error

    def gathered(self, own: Sequence[T]) -> list[T]:
        self._turn += 1
        here = [f"here {self._turn} {rank}" for rank in range(self.size)]
        found: list[Any] | None = [None] * self.size if self.first else None
        try:
            self._store.set(here[self.rank], "")
            self._until(*here)
            dist.gather_object(list(own), found)
        except RuntimeError as error:
            raise self._life.lost() from error
        return [each for others in (found or [])[1:] for each in others]

    @contextmanager
    def heeding(self) -> Iterator[None]:
        try:
            self._obey()
            self._heeds = True
            yield
        except KeyboardInterrupt:
            self._life.about_to_end()
            self._obey()
            raise
        finally:
            self._heeds = False

    def told_to_end(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: torchrun sends a second one after the user's Ctrl-C."""
        self._signal = self._signal or number
        if self._heeds:
            self._heeds = False
            raise KeyboardInterrupt

    def leave(self, complaint: str) -> None:
        """End without waiting for anybody for long."""
        self.speaks = self._life.end(complaint)
        with suppress(RuntimeError):
            dist.destroy_process_group()

    def _until(self, *keys: str) -> None:
        """Wait until all of this is written at the store."""
        while not self._store.check(list(keys)):
            self._obey()
            self._life.check()
            time.sleep(PAUSE)

    def _obey(self) -> None:
        """Raise what the signal meant, if there was one."""
        if self._signal == signal.SIGTERM:
            raise self._life.lost()
        if self._signal:
            raise KeyboardInterrupt
