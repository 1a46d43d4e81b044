"""Seconds of work on a device, which goes on after it was asked for."""

from collections.abc import Callable
from time import perf_counter

import torch


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the work is done there; what was asked for before is done first."""
    _done(device)
    started = perf_counter()
    work()
    _done(device)
    return perf_counter() - started


def _done(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
