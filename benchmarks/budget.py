"""What a whole analysis costs, in plain forwards and backwards of one batch, on any device.

    python benchmarks/budget.py [--device cuda] [--parameters 100] [--length 2048]
        [--budget standard] [--dtype float32] [-o FILE.json]

A random attention model of so many million parameters reads the standard library as bytes. FB is
one plain forward and backward of all parameters, of a batch of 32 sequences of that length (in
pieces, where it does not fit). Three numbers of a whole analysis are compared with it: FLOPs of
matrix products, convolutions and attention, which do not depend on the machine; operators that are
launched, which tell how much of the time a fast device waits for its host; and seconds, of another
run in which nothing is counted, check by check as the report has them.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import seqprobe
from seqprobe.models.clock import timed
from seqprobe.models.device import DTYPES, device_named
from seqprobe.models.hardware import hardware
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import build, width_for
from seqprobe.runner.memory import batch_size

BATCH, LAYERS, HEADS, ROUNDS = 32, 12, 12, 5


@dataclass(frozen=True)
class Cost:
    """What some work took."""

    flops: float
    launches: float
    seconds: float

    def over(self, unit: "Cost") -> "Cost":
        """In units of another cost."""
        return Cost(*(a / b for a, b in zip(self.numbers, unit.numbers, strict=True)))

    @property
    def numbers(self) -> tuple[float, float, float]:
        """All three."""
        return self.flops, self.launches, self.seconds


class Launches(TorchDispatchMode):
    """Counts operators, those of backwards too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Callable[[], tuple[int, int]]]:
    """FLOPs and launches within this context, once it is over."""
    flops, launches = FlopCounterMode(display=False), Launches()
    with flops, launches:
        yield lambda: (flops.get_total_flops(), launches.count)


def plain(model: SequenceModel, batch: Tensor) -> None:
    """One forward and backward of all parameters, in pieces that fit."""
    size = batch_size(model, batch[:1], gradients=True)
    model.module.zero_grad()
    for piece in batch.split(size):
        model.module(piece).float().logsumexp(-1).sum().backward()
    model.module.zero_grad()


def unit(model: SequenceModel, length: int) -> Cost:
    """Of the plain work: the median time of a few."""
    work = partial(plain, model, model.example(BATCH, length))
    work()  # which size fits is found out once
    with counted() as found:
        work()
    seconds = statistics.median(timed(work, model.device) for _ in range(ROUNDS))
    return Cost(*found(), seconds)


def analysed(model: SequenceModel, length: int, budget: str) -> tuple[Cost, dict[str, float]]:
    """Of everything, and the seconds of each check."""
    how: dict[str, Any] = {"data": "stdlib", "length": length, "distance": length // 2}
    started = perf_counter()
    report = seqprobe.analyze(model, budget=budget, **how)
    seconds = perf_counter() - started
    with counted() as found:
        seqprobe.analyze(model, budget=budget, **how)
    return Cost(*found(), seconds), {check.id: check.seconds for check in report.checks}


def model_of(parameters: int, length: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Attention with random weights."""
    torch.manual_seed(0)
    shape = {"vocab_size": 256, "layers": LAYERS, "heads": HEADS, "context": length}
    width = width_for("attention", parameters, **shape)
    return build("attention", width=width, **shape).to(device, dtype).eval()


def main(words: list[str]) -> None:
    """Print the tables; all numbers go to the file, too."""
    asked = arguments(words)
    device, command = device_named(asked.device), " ".join(["benchmarks/budget.py", *words])
    module = model_of(round(asked.parameters * 1e6), asked.length, DTYPES[asked.dtype], device)
    model, parameters = SequenceModel(module), sum(p.numel() for p in module.parameters())
    one = unit(model, asked.length)
    whole, each = analysed(model, asked.length, asked.budget)
    made = f"`python {command}` with torch {torch.__version__}, {hardware(device)}"
    print(f"# What an analysis costs\n\nMade by {made}.\n")
    print(
        f"An attention model of {parameters:,} random parameters in {LAYERS} layers reads sequences"
    )
    print(f"of {asked.length:,} tokens, {asked.dtype}. FB is one plain forward and backward of")
    print(
        f"{BATCH} of them: {one.flops:.3g} FLOPs, {one.launches:,} operators, {one.seconds:.3g} s."
    )
    print("\n| a whole analysis | in FB |\n|---|---|")
    for what, number in asdict(whole.over(one)).items():
        print(f"| {what} | {number:.3g} |")
    print("\n| check | seconds in FB |\n|---|---|")
    for check, seconds in each.items():
        print(f"| `{check}` | {seconds / one.seconds:.2g} |")
    if asked.output:
        costs = {"FB": asdict(one), "analysis": asdict(whole), "seconds of checks": each}
        asked.output.write_text(json.dumps({"made by": made, **costs}, indent=1) + "\n")


def arguments(words: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32", choices=DTYPES)
    parser.add_argument("--parameters", type=float, default=100.0, help="in millions")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--budget", default="standard")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args(words)


if __name__ == "__main__":
    main(sys.argv[1:])
