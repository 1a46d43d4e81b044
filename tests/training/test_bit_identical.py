"""Training with and without a session ends in the very same bits."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

import seqprobe
from seqprobe.contracts import Evidence, Measurement, Needs, Observation, Probe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.training.entry import Entry

VOCAB, WIDTH, BATCH, TIME, STEPS = 7, 8, 8, 24, 50


@dataclass(frozen=True)
class All(Probe):
    """Needs all that there is to see in the loop's own passes."""

    id: ClassVar[str] = "all"
    seen: list[Observation] = field(default_factory=list)

    @property
    def needs(self) -> Needs:
        return Needs(stream="loop", states=True, gradients=True, attention=True)

    def observe(self, observation: Observation) -> Evidence:
        self.seen.append(observation)
        return {}

    def measure(self, evidence: Evidence) -> Measurement:
        return Measurement("seen", {}, "")


class Mixed(nn.Module):
    """An embedding, something in the middle, a head."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.embedding, self.middle = nn.Embedding(VOCAB, WIDTH), middle
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed = self.middle(self.embedding(tokens))
        return self.head(mixed[0] if isinstance(mixed, tuple) else mixed)


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1)


class Attention(nn.Module):
    """A fused call with dropout, and a norm over the batch with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.norm = nn.Linear(WIDTH, 3 * WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).chunk(3, -1)
        dropout = 0.2 if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return x + self.norm(mixed.transpose(1, 2)).transpose(1, 2)


class Stateful(nn.Module):
    """Goes on from the state in which the last batch left it."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        fits = self.hidden is not None and self.hidden.shape[1] == len(x)
        output, hidden = self.rnn(x, self.hidden if fits else None)
        self.hidden = hidden.detach()
        return output


def gpt2() -> nn.Module:
    config = GPT2Config(vocab_size=VOCAB, n_positions=32, n_embd=WIDTH, n_layer=1, n_head=2)
    return GPT2LMHeadModel(config)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Mixed(nn.LSTM(WIDTH, WIDTH, 2, batch_first=True, dropout=0.2)),
    "gru": lambda: Mixed(nn.GRU(WIDTH, WIDTH, batch_first=True)),
    "cells": lambda: Mixed(Cells()),
    "encoder": lambda: Mixed(nn.TransformerEncoderLayer(WIDTH, 2, 16, 0.2, batch_first=True)),
    "attention": lambda: Mixed(Attention()),
    "stateful": lambda: Mixed(Stateful()),
    "gpt2": gpt2,
    "features": lambda: nn.Sequential(nn.Linear(3, WIDTH), Attention(), nn.Linear(WIDTH, VOCAB)),
    "raw lstm": lambda: nn.Sequential(nn.LSTM(3, VOCAB, batch_first=True), First()),
}


class First(nn.Module):
    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        return parts[0]


def run(kind: str, *, watched: bool) -> tuple[list[Tensor], list[Entry]]:
    """Everything that a training leaves behind; and what the session logged."""
    torch.manual_seed(0)
    np.random.seed(0)
    model, entries, session = MODELS[kind](), list[Entry](), None
    features = 3 if kind in ("features", "raw lstm") else None
    if watched:
        session = seqprobe.attach(
            SequenceModel(model, features=3) if features else model,
            [All(), *(["gradient-decay", "bottleneck"] if kind == "lstm" else ["gradient-decay"])],
            every={"all": 2, "gradient-decay": 30},
            loggers=[entries.append],
        )
        model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(STEPS):
        inputs = torch.randn(BATCH, TIME, 3) if features else torch.randint(VOCAB, (BATCH, TIME))
        output = model(inputs)
        logits = output if isinstance(output, Tensor) else output.logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), torch.randint(VOCAB, (BATCH * TIME,))).backward()
        optimizer.step()
        if session:
            session.step()
    if session:
        session.remove()
    kept = [each.get("exp_avg_sq") for each in optimizer.state.values()]
    generators = [torch.get_rng_state(), torch.tensor(np.random.rand())]  # jaxtyping uses Python's
    hidden = [part.hidden for part in model.modules() if isinstance(part, Stateful)]
    return [*model.parameters(), *model.buffers(), *kept, *hidden, *generators], entries


@pytest.mark.parametrize("kind", MODELS)
def test_the_training_ends_in_the_same_bits(kind: str) -> None:
    plain, _ = run(kind, watched=False)
    watched, entries = run(kind, watched=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    seen = [entry for entry in entries if entry.check == "all" and entry.measurement]
    assert [entry.step for entry in seen] == list(range(0, STEPS, 2))
    assert not [entry.why_not for entry in entries if "Error" in entry.why_not]
