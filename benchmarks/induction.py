"""Two layers of attention learn induction, one does not: train both, and watch the probe see it.

    python benchmarks/induction.py > docs/induction.md

Random sequences that repeat, each with a period of its own, are read by models of attention
alone: In-context learning and induction heads (Olsson et al., 2022). Takes some minutes on two
cores, two runs at a time.
"""

import math
import sys
from collections.abc import Iterator
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from seqprobe import Estimate
from seqprobe.contracts import Observation
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.attention import Attention
from seqprobe.reference.attention_circuits import AttentionOnlyLM
from seqprobe.sequences.generator import generator
from seqprobe.sequences.tasks import Induction

TASK = Induction(longest=32, symbols=64)
WIDTH, HEADS, BATCH, RATE, STEPS = 64, 4, 64, 3e-3, 2000
EVERY, SEQUENCES = 500, 32
LAYERS, SEEDS = (2, 1), range(3)


class Seen(NamedTuple):
    """What was measured at one step of one training."""

    layers: int
    seed: int
    step: int
    bits: float
    induction: Estimate
    previous: Estimate


def watched(job: tuple[int, int]) -> list[Seen]:
    """Train one model, and look at it now and then."""
    torch.set_num_threads(1)
    layers, seed = job
    torch.manual_seed(seed)
    model = AttentionOnlyLM(TASK.vocab_size, WIDTH, layers, HEADS, TASK.context)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    seen = []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            seen.append(Seen(layers, seed, step, held_out_bits(model), *measured(model)))
        inputs, targets = TASK.batch(BATCH, generator(seed, step))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        optimizer.step()
    return seen


@torch.no_grad()
def held_out_bits(model: nn.Module) -> float:
    """Loss on the second copy, at the longest period."""
    inputs, targets = TASK.held_out(256)
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    return float(loss) / math.log(2)


def measured(module: nn.Module) -> tuple[Estimate, Estimate]:
    """The scores of the best heads."""
    model, inputs = SequenceModel(module), TASK.held_out(SEQUENCES)[0]
    chances = torch.full((TASK.vocab_size,), 1 / TASK.vocab_size)
    observation = Observation(
        range(SEQUENCES), inputs, model(inputs), attend=model.attend, frequencies=chances
    )
    found = Attention().update(observation).compute().metrics
    return found["induction_score"], found["previous_token_score"]


def row(seen: Seen) -> str:
    """One line of the table."""
    null = seen.induction.null
    beside = "" if null is None or null.value is None else f"{null.value:.2f}"
    return (
        f"| {seen.layers} | {seen.seed} | {seen.step:,} | {seen.bits:.2f} "
        f"| {with_interval(seen.induction)} | {beside} | {with_interval(seen.previous)} |"
    )


def with_interval(estimate: Estimate) -> str:
    """A value with what bounds it."""
    value, low, high = (
        math.nan if v is None else v for v in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def finished() -> Iterator[Seen]:
    """All runs in their order, two at a time."""
    with get_context("spawn").Pool(2) as pool:
        for seen in pool.imap(watched, product(LAYERS, SEEDS)):
            print(row(seen[-1]), file=sys.stderr)
            yield from seen


def main() -> None:
    """Print the table."""
    print(
        "# Induction: two layers learn it, one does not\n\nMade by `python benchmarks/induction.py`"
        f" with torch {torch.__version__}: models of attention alone, {WIDTH} wide with {HEADS} "
        f"heads and learned positions, read {TASK.symbols} random symbols that repeat after "
        f"{TASK.longest // 2} to {TASK.longest} steps; AdamW {RATE:g}, batches of {BATCH}. The "
        f"loss is that of the second copy at period {TASK.longest}, "
        f"{math.log2(TASK.symbols):.0f} bits by guessing. Scores are those of the probe "
        "`attention` for the best head, with 95 % intervals; `null` is the same at another "
        "period.\n\n"
        "| layers | seed | step | loss (bits) | induction score | null | previous token |\n"
        "|---|---|---|---|---|---|---|"
    )
    for seen in finished():
        print(row(seen), flush=True)


if __name__ == "__main__":
    main()
