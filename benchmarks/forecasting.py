"""Does a lag of 48 steps show itself in what trained forecasters use and store?

    python benchmarks/forecasting.py > docs/forecasting.md

Small models are trained for a minute each on series in which every value depends on one
earlier value alone (`synthetic:lag-48`, and shorter lags), and measured on series that they have
not seen. Takes about ten minutes on one core.
"""

import math
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.report import Report
from seqprobe.sequences.lagged import PHI, LaggedStream

WIDTH, HEADS, BATCH, RATE, SECONDS = 32, 2, 32, 3e-3, 60
LENGTH, SEQUENCES, FRESH = 160, 64, 1_000_000
PROBES = ("position", "context", "order", "bottleneck", "window")
NEIGHBOURS = 5


class Recurrent(nn.Module):
    """A GRU or LSTM, and a linear head."""

    def __init__(self, kind: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.rnn, self.head = kind(1, WIDTH, batch_first=True), nn.Linear(WIDTH, 1)

    def forward(self, series: Float[Tensor, "batch time 1"]) -> Float[Tensor, "batch time 1"]:
        """The next value at every step."""
        said: Tensor = self.head(self.rnn(series)[0])
        return said


class Block(nn.Module):
    """Causal attention beside what was there."""

    def __init__(self) -> None:
        super().__init__()
        self.query_key_value, self.mixed = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """The same shape."""
        parts = self.query_key_value(x).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        said: Tensor = x + self.mixed(mixed.transpose(1, 2).flatten(2))
        return said


class Attention(nn.Module):
    """One layer of attention, with learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.widen, self.place = nn.Linear(1, WIDTH), nn.Embedding(4 * LENGTH, WIDTH)
        self.block, self.head = Block(), nn.Linear(WIDTH, 1)

    def forward(self, series: Float[Tensor, "batch time 1"]) -> Float[Tensor, "batch time 1"]:
        """The next value at every step."""
        x = self.widen(series) + self.place.weight[: series.shape[1]]
        said: Tensor = self.head(self.block(x))
        return said


class Trained(NamedTuple):
    """A forecaster after its training."""

    name: str
    lag: int
    steps: int
    model: SequenceModel


def trained(name: str, module: nn.Module, lag: int) -> Trained:
    """By Adam on new sequences in every step, until the time is up."""
    torch.manual_seed(0)
    stream, step = LaggedStream(lag, 1, torch.float32), 0
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    started = time.monotonic()
    while (gone := time.monotonic() - started) < SECONDS:
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 - 2 * gone / SECONDS)
        series = stream.take(range(FRESH + step * BATCH, FRESH + (step + 1) * BATCH), LENGTH + 1)
        optimizer.zero_grad()
        F.mse_loss(module(series[:, :-1]), series[:, 1:]).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        step += 1
    model = SequenceModel(module, features=1)
    model.trained_length = LENGTH
    print(f"{name}, lag {lag}: {step} steps", file=sys.stderr)
    return Trained(name, lag, step, model)


def all_trained() -> Iterator[Trained]:
    """Every model of the table, made and trained."""
    for lag in (48, 4):
        torch.manual_seed(1)
        yield trained("attention", Attention(), lag)
    for lag in (48, 12, 4):
        torch.manual_seed(1)
        yield trained("GRU", Recurrent(nn.GRU), lag)
        yield trained("LSTM", Recurrent(nn.LSTM), lag)


def measured(made: Trained) -> Report:
    """On sequences that no training saw."""
    return seqprobe.analyze(
        made.model, data=f"synthetic:lag-{made.lag}", probes=PROBES, length=LENGTH,
        limit=SEQUENCES, distance=made.lag - 1,
    )  # fmt: skip


def peak(report: Report, probe: str, column: str, lag: int) -> str:
    """The number at the lag, and the largest of its neighbours; the first site alone."""
    table = report.table(probe)
    sites = table.column("site") if probe == "bottleneck" else None
    found = {
        distance: value or 0.0
        for row, (distance, value) in enumerate(
            zip(table.column("distance"), table.column(column), strict=True)
        )
        if sites is None or sites[row] == sites[0]
    }
    far = lag - 1
    near = [found[k] for k in range(max(far - NEIGHBOURS, 1), far + NEIGHBOURS + 1) if k != far]
    return f"{found[far]:.2f} | {max(near):.2f}"


def row(made: Trained) -> str:
    """One line of the table."""
    report = measured(made)
    forecasts = any(step.step.startswith("predicts") for step in report.model.verification)
    noise = report["position"].method.partition("deviation of each, ")[2].partition(",")[0]
    finding = next((f.statement for f in report.findings if f.rule.startswith("look-back")), "")
    return (
        f"| {made.name} | {made.lag} | {made.steps:,} | {noise if forecasts else 'not learned'} "
        f"| {peak(report, 'position', 'kl_bits', made.lag)} "
        f"| {peak(report, 'bottleneck', 'lower_bound', made.lag)} | {finding} |"
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    best, most = math.sqrt(1 - PHI**2), PHI**2 / (1 - PHI**2) / math.log(2)
    print(
        "# Forecasters and a known lag\n\nMade by `python benchmarks/forecasting.py` with torch "
        f"{torch.__version__}: models {WIDTH} wide with one layer, trained by Adam for {SECONDS} "
        f"seconds each on one core, on sequences of {LENGTH} steps of x_t = {PHI} x_(t-lag) + "
        "noise. The value that matters lies lag - 1 steps before the present one. The best "
        f"forecast has an error of {best:.3f}, and uses {most:.2f} bits of that value; nothing "
        "else is worth anything. Error: the standard deviation that the report names. Use: "
        "`position`, bits when one value is replaced, at lag - 1 and the largest of the "
        f"{NEIGHBOURS} distances on either side. Storage: bits that `bottleneck` finds in the "
        "state, on noise, likewise; of attention it is the vector at one position.\n\n"
        "| model | lag | steps | error | use at lag - 1 | near | stored at lag - 1 | near "
        "| finding |\n|---|---|---|---|---|---|---|---|---|"
    )
    for made in all_trained():
        print(row(made), flush=True)
    print(
        "\nWhere the lag is learned it is where the use is. Attention fetches the one value, and a "
        "recurrence carries all values on their way, so that it stores the neighbours as well. "
        "`not learned`: the report takes the outputs for no forecasts."
    )


if __name__ == "__main__":
    main()
