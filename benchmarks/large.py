"""Memory of probing a model against its own forward and backward, where memory is short.

    python benchmarks/large.py [own | check NAME | whole]

A transformer of 32 million random parameters, in processes of their own, on sequences of 256
tokens. "Own" is one forward and backward of one sequence, with gradients for the inputs alone.
Checks see one sequence (those that fit decoders, eight), and are told that no memory is free:
they read one sequence at a time, and make no second copy of the model. Memory is the largest
resident set above that before the model was made, sampled every 2 ms. The last part holds the
forecast of a whole analysis, with memory as it is, against what it took. Needs transformers.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import psutil
import torch
from torch import Tensor, nn

import seqprobe
from seqprobe.reference.language_models import build
from seqprobe.runner.forecast import Forecast

CHECKS = (
    "gradient-decay", "jacobian-spectrum", "path-length", "sequential-depth", "memory",
    "throughput", "locality", "position", "context", "order", "window", "carry-over",
    "bottleneck", "capacity", "attention",
)  # fmt: skip
FREE = ("seqprobe.runner.memory.free_bytes", "seqprobe.models.continuation.free_bytes")
FITTED, LENGTH, MIB = ("bottleneck", "capacity"), 256, 2**20
ALONE = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


class Large(nn.Module):
    """Tokens to scores."""

    def __init__(self) -> None:
        super().__init__()
        import transformers

        models: Any = transformers.AutoModelForCausalLM

        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=8192, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
            num_attention_heads=8, num_key_value_heads=4,
        )  # fmt: skip
        self.model: Any = models.from_config(config)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.model(tokens, use_cache=False).logits
        return scores


def own() -> None:
    """A plain forward and backward, twice."""
    module = Large().requires_grad_(False).eval()
    tokens = torch.randint(8192, (1, LENGTH))
    for _ in range(2):
        given = module.model.get_input_embeddings()(tokens).requires_grad_()
        scores = module.model(inputs_embeds=given, use_cache=False).logits
        scores.float().logsumexp(-1).sum().backward()


def check(name: str) -> None:
    """One check as if no memory were free."""
    limit = 8 if name in FITTED else 1
    with mock.patch(f"{FREE[0]}", return_value=0), mock.patch(f"{FREE[1]}", return_value=0):
        report = seqprobe.analyze(
            Large(), data="synthetic:iid", probes=(name,), length=LENGTH, limit=limit
        )
    if report[name].status == "error":
        raise SystemExit(report[name].headline)


def whole() -> None:
    """All checks with few sequences: forecast, seconds."""
    said: list[Forecast] = []
    started = time.monotonic()
    seqprobe.analyze(Large(), data="synthetic:iid", length=LENGTH, limit=8, announce=said.append)
    (forecast,) = said
    print(forecast.seconds, time.monotonic() - started, forecast.parameters + forecast.beside)


def peak(work: Callable[[], None]) -> int:
    """Bytes above what is there now; what is imported late is imported before."""
    small = build("attention", vocab_size=8, width=8, layers=1)
    seqprobe.analyze(small, data="synthetic:iid", length=32, limit=8)
    process, done = psutil.Process(), threading.Event()
    start = process.memory_info().rss
    largest = [start]

    def watch() -> None:
        while not done.wait(0.002):
            largest.append(max(largest[-1], process.memory_info().rss))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return largest[-1] - start


def alone(*words: str) -> list[float]:
    """The numbers that this script prints in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, *words], env=os.environ | ALONE, text=True, check=False,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    if run.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    return [float(word) for word in run.stdout.split()]


def main() -> None:
    """Print the tables."""
    (plain,) = alone("own")
    print("# Memory of large models\n\nMade by `python benchmarks/large.py` with torch", end=" ")
    print(f"{torch.__version__}.\n\n| | MiB | in own |\n|---|---|---|")
    print(f"| own forward and backward | {plain / MIB:.0f} | 1 |", flush=True)
    for name in CHECKS:
        (found,) = alone("check", name)
        print(f"| `{name}` | {found / MIB:.0f} | {found / plain:.2f} |", flush=True)
    said, took, most, reached = alone("whole")
    print(
        f"\nA whole analysis of eight sequences was forecast to take {said:.0f} s and up to "
        f"{most / MIB:.0f} MiB; it took {took:.0f} s and {reached / MIB:.0f} MiB."
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case ["own"]:
            print(peak(own))
        case ["whole"]:
            print(peak(whole))
        case [_, name]:
            print(peak(lambda: check(name)))
