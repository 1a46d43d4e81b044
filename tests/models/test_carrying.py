"""The argument that takes a returned state is found, and what only looks like one is not."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn

from seqprobe.models.carrying import Carrying
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.broken import half_carried
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


class Asked(Recurrent):
    """The state comes only to those who ask for it."""

    def forward(self, tokens, past=None, use_cache=False):
        out, state = self.read(tokens, past)
        return (out, state) if use_cache else out


FOUND = {
    "pair": (Pair, "hidden"),
    "LSTM": (partial(Pair, nn.LSTM), "hidden"),
    "time first": (partial(Pair, batch_first=False), "hidden"),
    "apart": (partial(Apart, nn.LSTM), "h0, c0"),
    "named": (Named, "cache"),
    "record": (Record, "prev_state"),
    "asked": (Asked, "past"),
}


@pytest.mark.parametrize(("make", "argument"), FOUND.values(), ids=FOUND)
def test_chunks_continue_what_was_read(make, argument):
    model = SequenceModel(make())
    carrying, tokens = Carrying(model), torch.randint(SYMBOLS, (3, sum(SIZES)))
    assert carrying.argument == argument
    assert (carrying.chunked(tokens, SIZES) - model(tokens)).abs().max() < 1e-6
    fresh = torch.cat([model(chunk) for chunk in tokens.split(SIZES, dim=1)], dim=1)
    assert (fresh - model(tokens)).abs().max() > 1e-3


class Singly(Recurrent):
    """Several steps at once begin anew."""

    def forward(self, tokens, state=None):
        return self.read(tokens, state if tokens.shape[1] == 1 else None)


class Counted(Recurrent):
    """A position is told, or counted from zero."""

    def __init__(self, singly=False) -> None:
        super().__init__()
        self.position, self.singly = nn.Embedding(40, SYMBOLS), singly

    def forward(self, tokens, state=None, position_ids=None):
        time = tokens.shape[1]
        places = torch.arange(time)[None] if position_ids is None else position_ids
        out, state = self.read(tokens, state if time == 1 or not self.singly else None)
        return out + self.position(places), state


@pytest.mark.parametrize(
    ("make", "singly"),
    [(Singly, True), (Counted, False), (partial(Counted, singly=True), True), (Pair, False)],
)
def test_single_steps_and_positions_only_where_nothing_else_continues(make, singly):
    model = SequenceModel(make())
    carrying, tokens = Carrying(model), model.example(2, 9)
    assert carrying.argument in ("state", "hidden")
    assert carrying.singly == singly
    chunked = carrying.chunked(tokens, [6, 1, 1, 1] if singly else [4, 3, 2])
    assert (chunked - model(tokens)).abs().max() < 1e-6


def test_a_state_that_continues_nothing_is_still_named():
    """One that loses its cell changes the outputs, and not to those of one pass."""
    carrying = Carrying(half_carried())
    assert (carrying.argument, carrying.singly) == ("state", False)


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
