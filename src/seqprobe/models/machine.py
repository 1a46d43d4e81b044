"""What a device has to measure with, and what will be slow: tried and timed, not looked up."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from seqprobe.models.clock import timed
from seqprobe.models.device import free_bytes

PRODUCT = {"cpu": 1024, "cuda": 8192}
COPIED_BYTES, ROUNDS, CALLS = 1 << 26, 5, 300
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FUSED = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
}
PASSES, TOKENS, LARGE = 50, 32 * 256, 1e8
"""What a whole analysis takes (docs/budget.md), in passes of so many tokens; a large model."""
MINUTE, STEPS, OPERATORS, ROOM = 60.0, 2048, 20, 2**30


def ceilings(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """FLOPs of a large matrix product and bytes of a copy beyond all caches, per second."""
    size = PRODUCT.get(device.type, 1024)
    a = torch.randn(size, size, device=device).to(dtype)
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = _least(lambda: a @ a, device)
    copy = _least(lambda: target.copy_(source), device)
    return 2 * size**3 / product, 2 * COPIED_BYTES / copy


def _least(work: Callable[[], object], device: torch.device) -> float:
    return min(timed(work, device) for _ in range(ROUNDS))


@dataclass(frozen=True)
class Machine:
    """One device and the host that feeds it.

    `products` are FLOP per second by precision, `copies` bytes per second, `launch` seconds for an
    operator on a single number. `attention`: in which precisions each fused kernel runs.
    """

    device: str
    threads: int
    processors: int
    free: int
    products: dict[str, float]
    copies: float
    launch: float
    attention: dict[str, tuple[str, ...]]
    recurrences: str
    flushes: bool
    rounded: bool

    @classmethod
    def measured(cls, device: torch.device) -> "Machine":
        """Takes a second or two."""
        found = {name: ceilings(device, dtype) for name, dtype in PRECISIONS.items()}
        return cls(
            device.type,
            torch.get_num_threads(),
            _processors(),
            free_bytes(device),
            {name: product for name, (product, _) in found.items()},
            max(copies for _, copies in found.values()),
            _least(partial(_many_additions, device), device) / CALLS,
            _attention(device),
            _recurrences(device),
            _flushes(),
            device.type == "cuda" and torch.get_float32_matmul_precision() != "highest",
        )

    @property
    def slow(self) -> Iterator[str]:
        """What will take long here, or come out less exact, and what to do."""
        yield from self._threads()
        yield from self._arithmetic()
        if self.device == "cuda" and not self.attention:
            yield "attention runs without a fused kernel: memory grows with the square of length"
        if self.device == "cuda" and not self.recurrences:
            yield "recurrences run without cuDNN, operator by operator"
        step = STEPS * OPERATORS * self.launch
        if step > 1:
            yield (
                f"recurrences that are unrolled wait for the host: {STEPS:,} steps of {OPERATORS} "
                f"operators take {step:.1f} s, however small the model"
            )
        if self.device == "cpu" and not self.flushes:
            yield (
                "numbers too small for full precision cannot be flushed to zero on this processor: "
                "gradients that decay may take many times as long"
            )
        if self.free < ROOM:
            yield f"{self.free / 2**30:.1f} GiB of memory are free: batches will be small"

    def _threads(self) -> Iterator[str]:
        if self.threads > self.processors:
            yield (
                f"{self.threads} threads on {self.processors} processors get in each other's way: "
                f"set OMP_NUM_THREADS={self.processors}"
            )
        elif self.device == "cpu" and self.threads < self.processors // 2:
            yield (
                f"{self.threads} of {self.processors} processors are used: set "
                f"OMP_NUM_THREADS={self.processors}"
            )

    def _arithmetic(self) -> Iterator[str]:
        whole = self.products["float32"]
        if self.rounded:
            yield (
                "float32 products are rounded to TF32, about three digits: for numbers that can be "
                'held against the CPU set torch.set_float32_matmul_precision("highest")'
            )
        for name in ("bfloat16", "float16"):
            if self.products[name] < whole / 2:
                times = whole / self.products[name]
                yield f"{name} takes {times:.1f} times as long as float32: use --dtype float32"
        seconds = PASSES * TOKENS * 6 * LARGE / whole
        if seconds > MINUTE:
            yield (
                f"large models: all checks of {LARGE / 1e6:.0f} million parameters at 256 tokens "
                f"take at least {seconds / MINUTE:,.0f} minutes; --budget quick reads a quarter"
            )


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _many_additions(device: torch.device) -> None:
    number = torch.zeros(1, device=device)
    for _ in range(CALLS):
        number = number + 1


def _attention(device: torch.device) -> dict[str, tuple[str, ...]]:
    """By trying each kernel on a small input."""
    found = {
        name: tuple(p for p, dtype in PRECISIONS.items() if _attends(kernel, device, dtype))
        for name, kernel in FUSED.items()
    }
    return {name: precisions for name, precisions in found.items() if precisions}


def _attends(kernel: SDPBackend, device: torch.device, dtype: torch.dtype) -> bool:
    given = torch.zeros(1, 2, 64, 64, dtype=dtype, device=device)
    try:
        with sdpa_kernel([kernel]):
            F.scaled_dot_product_attention(given, given, given, is_causal=True)
    except RuntimeError:
        return False
    return True


def _recurrences(device: torch.device) -> str:
    """Which library has fused ones; empty where none has."""
    if device.type == "cuda":
        cudnn = torch.backends.cudnn
        return f"cuDNN {cudnn.version()}" if cudnn.is_available() and cudnn.enabled else ""
    return "oneDNN" if torch.backends.mkldnn.is_available() else ""


def _flushes() -> bool:
    """Whether the processor can; it is asked to, and put back."""
    before = float(torch.tensor(torch.finfo(torch.float32).tiny) / 2) == 0
    able = torch.set_flush_denormal(True)
    torch.set_flush_denormal(before)
    return able
