"""What following the operators of a run costs, beside the run itself.

    python benchmarks/cost.py > docs/cost.md

FB is one plain forward and backward of the same sequence. Everything is timed in one run, round by
round in changing order; the table has medians, and the spread of the rounds.
"""

import random
import statistics
from collections.abc import Mapping
from functools import partial
from itertools import product

import torch
from torch import nn

from race import race
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import AttentionLM, RecurrentLM

WIDTH, TIME, ROUNDS, SOURCES = 256, 128, 9, 16
THREADS = (1, 2)

MODELS: dict[str, nn.Module] = {
    "LSTM, 2 layers": RecurrentLM("lstm", 256, WIDTH, layers=2),
    "attention, 4 layers": AttentionLM(256, WIDTH, layers=4, heads=4, context=TIME),
}


def plain(model: SequenceModel, tokens: torch.Tensor) -> None:
    """One forward and backward."""
    model.module.zero_grad()
    model.module(tokens).logsumexp(-1).sum().backward()


def cells(seconds: Mapping[str, list[float]]) -> dict[str, str]:
    """Medians in FB, with the fastest and the slowest round."""
    unit = statistics.median(seconds["FB"])
    return {
        name: f"{statistics.median(s) / unit:.3g} ({min(s) / unit:.3g} .. {max(s) / unit:.3g})"
        for name, s in seconds.items()
    }


def spread(sources: int) -> list[int]:
    """Source positions over the whole sequence."""
    return torch.linspace(0, TIME - 1, sources).long().tolist()


def main() -> None:
    """Print the table."""
    random.seed(0)
    torch.manual_seed(0)
    print("# What following the operators of a run costs\n")
    print(f"Made by `python benchmarks/cost.py` with torch {torch.__version__}. Width {WIDTH}, one")
    print(f"sequence of {TIME}; FB is one plain forward and backward of it. Medians of {ROUNDS}")
    print("rounds, with the fastest and the slowest.\n")
    print(
        f"| model | threads | depth, work | and paths from {SOURCES} sources "
        f"| from all {TIME} | ms per FB |"
    )
    print("|---|---|---|---|---|---|")
    for (name, module), threads in product(MODELS.items(), THREADS):
        torch.set_num_threads(threads)
        seconds = timed(SequenceModel(module.eval()))
        found, unit = cells(seconds), 1e3 * statistics.median(seconds["FB"])
        print(
            f"| {name} | {threads} | {found['0']} | {found['some']} "
            f"| {found['all']} | {unit:.0f} |",
            flush=True,
        )


def timed(model: SequenceModel) -> dict[str, list[float]]:
    """A plain run, and runs that are followed from no, some and all sources."""
    tokens = model.example(1, TIME)
    return race(
        {
            "FB": partial(plain, model, tokens),
            "0": partial(model.trace, tokens),
            "some": partial(model.trace, tokens, spread(SOURCES)),
            "all": partial(model.trace, tokens, range(TIME)),
        },
        ROUNDS,
    )


if __name__ == "__main__":
    main()
