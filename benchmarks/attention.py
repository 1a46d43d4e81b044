"""What it costs to read attention: beside a plain forward, exact, sampled, and by stored weights.

    python benchmarks/attention.py [LENGTH ...] > docs/attention.md

A decoder of four layers, 256 wide with four heads, reads eight sequences on one thread. `stored`
runs the same model with attention written out, keeps all weights, and takes the same statistics
from them afterwards.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from race import race
from seqprobe.contracts import AttentionCall, AttentionRows
from seqprobe.estimators.attention_statistics import head_statistics, spread_rows
from seqprobe.estimators.head_rows import distance_bins
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import CausalSelfAttention, build
from where import DEVICE, HARDWARE

LENGTHS, BATCH, WIDTH, LAYERS, HEADS, SAMPLED, ROUNDS = (256, 512, 1024), 8, 256, 4, 4, 32, 7


def exact(model: SequenceModel, inputs: Tensor, queries: int | None = None) -> Tensor:
    """Statistics of all layers while the model runs; gives the entropies."""
    edges, ratios = distance_bins(inputs.shape[1]).to(DEVICE), []

    def read(call: AttentionCall) -> None:
        rows = spread_rows(call.time, queries).to(DEVICE)
        ratios.append(head_statistics(call.rows, rows, call.norms, edges).entropy_ratio)

    model.attend(inputs, read)
    return torch.stack(ratios)


def stored(model: SequenceModel, inputs: Tensor) -> Tensor:
    """The same from matrices that are kept until the model is done."""
    kept: list[tuple[Tensor, Tensor]] = []
    with written_out(kept):
        model(inputs)
    edges, rows = (each(inputs.shape[1]).to(DEVICE) for each in (distance_bins, every_row))
    return torch.stack(
        [
            head_statistics(_reader(weights), rows, norms, edges).entropy_ratio
            for weights, norms in kept
        ]
    )


def every_row(time: int) -> Tensor:
    """All queries."""
    return spread_rows(time, None)


def _reader(weights: Tensor) -> Callable[[Tensor], AttentionRows]:
    def read(rows: Tensor) -> AttentionRows:
        some = weights[..., rows, :]
        return AttentionRows(some, some.clamp(min=torch.finfo(some.dtype).tiny).log())

    return read


@contextmanager
def written_out(kept: list[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Within this context reference attention writes its weights out and keeps them."""

    def forward(self: CausalSelfAttention, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(x).chunk(3, dim=-1)
        )
        ahead = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = F.softmax(scores.masked_fill_(ahead, -math.inf), -1)
        kept.append((weights, value.norm(dim=-1)))
        out: Tensor = self.output((weights @ value).transpose(1, 2).flatten(-2))
        return out

    before = CausalSelfAttention.forward
    CausalSelfAttention.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        CausalSelfAttention.forward = before  # type: ignore[method-assign]


def reader_model(length: int) -> SequenceModel:
    """With weights drawn so wide that attention is not spread evenly."""
    torch.manual_seed(0)
    model = build("attention", width=WIDTH, layers=LAYERS, heads=HEADS, context=length + 1)
    for part in model.modules():
        if isinstance(part, CausalSelfAttention):
            nn.init.normal_(part.query_key_value.weight, std=0.12)
    return SequenceModel(model.to(DEVICE))


def row(length: int) -> str:
    """Medians relative to the plain forward, and how far stored weights say the same."""
    model, inputs = reader_model(length), torch.randint(256, (BATCH, length)).to(DEVICE)
    inputs = inputs[:, : model.attend(inputs, lambda _: None).outputs.shape[1]]
    seconds = race(
        {
            "plain": lambda: model(inputs),
            "exact": lambda: exact(model, inputs),
            "sampled": lambda: exact(model, inputs, SAMPLED),
            "stored": lambda: stored(model, inputs),
        },
        ROUNDS,
    )
    plain = median(seconds["plain"])
    ratios = [median(seconds[name]) / plain for name in ("exact", "sampled", "stored")]
    apart = float((exact(model, inputs) - stored(model, inputs)).abs().max())
    mebibytes = LAYERS * BATCH * HEADS * length**2 * 4 / 2**20
    cells = [f"{length:,}", f"{plain:.2f} s", *(f"{r:.2f}" for r in ratios)]
    return f"| {' | '.join(cells)} | {apart:.0e} | {mebibytes:,.0f} MiB |"


def main(lengths: list[int]) -> None:
    """Print one line for each length."""
    torch.set_num_threads(1)
    command = " ".join(["python benchmarks/attention.py", *map(str, lengths)])
    print(
        f"# What it costs to read attention\n\nMade by `{command}` with {HARDWARE}: "
        f"{LAYERS} layers, {WIDTH} wide, {HEADS} heads, {BATCH} sequences. Times "
        f"are medians of {ROUNDS} interleaved rounds, relative to the plain forward. Entropy, mean "
        "distance, weight on the first key (also by the length of values) and by distance are "
        f"taken of all queries, or of {SAMPLED} of them. `stored` writes attention out and keeps "
        "all weights. The last columns are the largest difference of entropies to the stored ones, "
        "and what storing takes; nothing of that size is kept otherwise.\n\n"
        "| length | plain | exact | sampled | stored | difference | stored weights |\n"
        "|---|---|---|---|---|---|---|"
    )
    for length in lengths or LENGTHS:
        print(row(length), flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
