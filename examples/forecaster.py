"""A forecaster on a real-valued series, watched: does it use the season of 24 steps?

Run it, then `seqprobe report forecast.jsonl`.
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

import seqprobe
from seqprobe.training import JSONL

SEASON, LENGTH = 24, 64


class Forecaster(nn.Module):
    """An LSTM that says the next value at every step."""

    def __init__(self, features: int = 1, width: int = 32) -> None:
        super().__init__()
        self.rnn = nn.LSTM(features, width, batch_first=True)
        self.head = nn.Linear(width, features)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(series)[0])


def seasonal(steps: int) -> torch.Tensor:
    """x_t = 0.9 x_{t-24} + noise, as (steps, 1)."""
    series = torch.randn(steps)
    for step in range(SEASON, steps):
        series[step] = 0.9 * series[step - SEASON] + 0.4 * series[step]
    return series.unsqueeze(-1)


def main() -> None:
    torch.manual_seed(0)
    windows = seasonal(4000).unfold(0, LENGTH + 1, 1).transpose(1, 2)
    training, held_out = windows[:-500], windows[-400::50]
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with seqprobe.attach(
        seqprobe.SequenceModel(model, features=1),
        ["loss-gradient", "states", "gradient-decay"],
        every=20,
        loggers=[JSONL("forecast.jsonl")],
        held_out=held_out[:, :-1],
        distance=SEASON,
    ) as session:
        for step in range(100):
            batch = training[torch.randint(len(training), (32,))]
            loss = mse_loss(model(batch[:, :-1]), batch[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            session.step()
            if step % 25 == 0:
                print(f"step {step}: loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
