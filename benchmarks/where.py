"""The device that a benchmark runs on, and a clock that waits for it.

DEVICE=cuda python benchmarks/gradients.py
"""

import os
from collections.abc import Callable
from time import perf_counter

import torch

from seqprobe.models.clock import finished
from seqprobe.models.device import device_named
from seqprobe.models.hardware import hardware

DEVICE = device_named(os.environ.get("DEVICE", "cpu"))
HARDWARE = f"torch {torch.__version__}, {hardware(DEVICE)}"


def waiting(clock: Callable[[], float]) -> Callable[[], float]:
    """The clock itself on the CPU; elsewhere seconds, once all that was asked for is done."""
    if DEVICE.type == "cpu":
        return clock

    def done() -> float:
        finished(DEVICE)
        return perf_counter()

    return done
