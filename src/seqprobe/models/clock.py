"""Seconds of work on a device, which goes on after it was asked for."""

from collections.abc import Callable
from time import perf_counter

import torch


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the work is done there; what was asked for before is done first."""
    finished(device)
    started = perf_counter()
    work()
    finished(device)
    return perf_counter() - started


def finished(device: torch.device) -> None:
    """Wait for all that was asked for there."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
