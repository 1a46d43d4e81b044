"""The argument that takes a returned state is found, and what only looks like one is not."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn

from seqprobe.models.carrying import Carrying
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH, SIZES = 7, 6, (9, 4, 1, 1)


class Recurrent(nn.Module):
    def __init__(self, kind=nn.GRU, batch_first=True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.rnn = kind(WIDTH, WIDTH, batch_first=batch_first)
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def read(self, tokens, state):
        hidden, state = self.rnn(self.embedding(tokens), state)
        return self.head(hidden), state


class Pair(Recurrent):
    def forward(self, tokens, hidden=None):
        return self.read(tokens, hidden)


class Apart(Recurrent):
    def forward(self, tokens, h0=None, c0=None):
        return self.read(tokens, None if h0 is None else (h0, c0 * 1))

    def read(self, tokens, state):
        out, (hidden, cell) = super().read(tokens, state)
        return out, hidden, cell


class Named(Recurrent):
    def forward(self, tokens, mask=None, cache=None):
        out, state = self.read(tokens, cache)
        return {"logits": out, "attention": out.softmax(-1), "cache": state}


class Output(NamedTuple):
    prev_state: torch.Tensor
    logits: torch.Tensor


class Record(Recurrent):
    def forward(self, tokens, *, prev_state=None):
        out, state = self.read(tokens, prev_state)
        return Output(state, out)


FOUND = {
    "pair": (Pair, "hidden"),
    "LSTM": (partial(Pair, nn.LSTM), "hidden"),
    "time first": (partial(Pair, batch_first=False), "hidden"),
    "apart": (partial(Apart, nn.LSTM), "h0, c0"),
    "named": (Named, "cache"),
    "record": (Record, "prev_state"),
}


@pytest.mark.parametrize(("make", "argument"), FOUND.values(), ids=FOUND)
def test_chunks_continue_what_was_read(make, argument):
    model = SequenceModel(make())
    carrying, tokens = Carrying(model), torch.randint(SYMBOLS, (3, sum(SIZES)))
    assert carrying.argument == argument
    assert (carrying.chunked(tokens, SIZES) - model(tokens)).abs().max() < 1e-6
    fresh = torch.cat([model(chunk) for chunk in tokens.split(SIZES, dim=1)], dim=1)
    assert (fresh - model(tokens)).abs().max() > 1e-3


class Weights(nn.Module):
    """Attention weights are no state, and a mask takes none."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 1, batch_first=True)

    def forward(self, tokens, memory_mask=None):
        x = self.embedding(tokens)
        time = x.shape[1]
        mask = (
            torch.ones(time, time, dtype=torch.bool).triu(1) if memory_mask is None else memory_mask
        )
        return self.attention(x, x, x, attn_mask=mask)


class Ignoring(Recurrent):
    def forward(self, tokens, hidden=None):
        return self.read(tokens, None)


class Elsewhere(Recurrent):
    """The name of the argument tells of no state."""

    def forward(self, tokens, scale=None):
        return self.read(tokens, scale)


NOT_FOUND = {
    "hidden by a wrapper": lambda: build("lstm", vocab_size=SYMBOLS, width=8, layers=1),
    "no state": lambda: zoo.memoryless().module,
    "weights": Weights,
    "ignoring": Ignoring,
    "elsewhere": Elsewhere,
}


@pytest.mark.parametrize("make", NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_no_state_is_not_taken_for_one(make):
    assert Carrying(SequenceModel(make())).argument == ""


def test_a_language_model_of_transformers_carries_its_cache():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=SYMBOLS, n_embd=8, n_layer=2, n_head=2, n_positions=40,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = SequenceModel(transformers.GPT2LMHeadModel(config).eval())
    carrying, tokens = Carrying(model), torch.randint(SYMBOLS, (2, sum(SIZES)))
    assert carrying.argument == "past_key_values"
    assert (carrying.chunked(tokens, SIZES) - model(tokens)).abs().max() < 1e-6
