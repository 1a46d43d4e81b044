"""What a whole analysis costs, in plain forwards and backwards of one batch, on any device.

    python benchmarks/budget.py [--device cuda] [--parameters 100] [--length 2048]
        [--budget standard] [--dtype float32] [-o FILE.json]

A random attention model of so many million parameters reads the standard library as bytes. FB is
one plain forward and backward of all parameters, of a batch of 32 sequences of that length (in
pieces, where it does not fit). Three numbers are compared with it: FLOPs of matrix products,
convolutions and attention, which do not depend on the machine; operators that are launched, which
tell how much of the time a fast device waits for its host; and seconds. Every check is measured
alone, and then all of them together, as `seqprobe analyze` does.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import seqprobe
from seqprobe.models.clock import timed
from seqprobe.models.device import DTYPES, device_named
from seqprobe.models.hardware import hardware
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import build, width_for
from seqprobe.runner.memory import batch_size
from seqprobe.runner.registry import STABLE_IDS

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


def cost(work: Callable[[], object], device: torch.device) -> Cost:
    """Timed without being counted: counting takes time."""
    with counted() as found:
        work()
    return Cost(*found(), timed(work, device))


def plain(model: SequenceModel, batch: Tensor) -> None:
    """One forward and backward of all parameters, in pieces that fit."""
    size = batch_size(model, batch[:1], gradients=True)
    model.module.zero_grad()
    for piece in batch.split(size):
        model.module(piece).float().logsumexp(-1).sum().backward()
    model.module.zero_grad()


def unit(model: SequenceModel, length: int) -> Cost:
    """Of the plain work: the median time of a few."""
    batch = model.example(BATCH, length)
    plain(model, batch)
    each = [cost(lambda: plain(model, batch), model.device) for _ in range(ROUNDS)]
    return Cost(*each[0].numbers[:2], statistics.median(one.seconds for one in each))


def main(words: list[str]) -> None:
    """Print the table; all numbers go to the file, too."""
    asked = arguments(words)
    device, length = device_named(asked.device), asked.length
    torch.manual_seed(0)
    shape = {"vocab_size": 256, "layers": LAYERS, "heads": HEADS, "context": length}
    width = width_for("attention", round(asked.parameters * 1e6), **shape)
    module = build("attention", width=width, **shape).to(device, DTYPES[asked.dtype]).eval()
    model = SequenceModel(module)
    parameters = sum(p.numel() for p in module.parameters())

    def analysed(*probes: str) -> Cost:
        def work() -> None:
            seqprobe.analyze(
                model, data="stdlib", probes=probes or None, length=length, distance=length // 2,
                budget=asked.budget,
            )  # fmt: skip

        return cost(work, device)

    one = unit(model, length)
    print("# What an analysis costs\n")
    print(f"Made by `python benchmarks/budget.py {' '.join(words)}`: {hardware(device)}.")
    print(f"An attention model of {parameters:,} random parameters, {LAYERS} layers, {length:,}")
    print(f"tokens, {asked.dtype}. FB is one plain forward and backward of {BATCH} sequences:")
    print(f"{one.flops:.3g} FLOPs, {one.launches:,} operators, {one.seconds:.3g} s.\n")
    print("| | FLOPs in FB | operators in FB | seconds in FB |\n|---|---|---|---|", flush=True)
    costs: dict[str, Cost] = {}
    for name in (*STABLE_IDS, "all together"):
        costs[name] = analysed(*([name] if name in STABLE_IDS else []))
        row = (f"{number:.3g}" for number in costs[name].over(one).numbers)
        print(f"| {name} | {' | '.join(row)} |", flush=True)
    if asked.output:
        found = {name: asdict(each) for name, each in {"FB": one, **costs}.items()}
        said = {"arguments": vars(asked) | {"output": None}, "hardware": hardware(device)}
        asked.output.write_text(json.dumps({**said, "costs": found}, indent=1) + "\n")


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
