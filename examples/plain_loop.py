"""A plain training loop, watched: a GRU learns to say what came eight steps ago.

Run it, then `seqprobe report recall.jsonl`, or `seqprobe watch recall.jsonl` while it runs.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import seqprobe
from seqprobe.training import JSONL

LAG = 8


class Recall(nn.Module):
    """A GRU between an embedding and a linear head."""

    def __init__(self, symbols: int = 8, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, symbols)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(self.embedding(tokens))[0])


def main() -> None:
    torch.manual_seed(0)
    model = Recall()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with seqprobe.attach(
        model,
        ["loss-gradient", "states", "gradient-decay", "bottleneck"],
        every={"loss-gradient": 10, "states": 10, "gradient-decay": 20, "bottleneck": 100},
        loggers=[JSONL("recall.jsonl")],
        held_out=torch.randint(8, (16, 32)),
        distance=LAG,
        on_finding=lambda finding: print(f"warning: {finding.statement}"),
    ) as session:
        for step in range(200):
            tokens = torch.randint(8, (32, 32))
            outputs = model(tokens)[:, LAG:]
            loss = cross_entropy(outputs.flatten(0, 1), tokens[:, :-LAG].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            session.step()
            if step % 50 == 0:
                print(f"step {step}: loss {loss.item():.2f}")


if __name__ == "__main__":
    main()
