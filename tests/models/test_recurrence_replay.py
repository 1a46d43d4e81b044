"""The unrolled recurrence against the fused one, whatever the user chose."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqprobe.models.recurrence import LayerRun, replayed, unrolled
from seqprobe.models.sequence_model import SequenceModel

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
CLOSE = {torch.float32: 1e-6, torch.float64: 1e-12}
LAYOUTS = [
    {"num_layers": layers, "bidirectional": both}
    for layers, both in [(1, False), (1, True), (2, True), (3, False)]
]


def same(ours: Any, theirs: Any, within: float) -> bool:
    if isinstance(ours, Tensor):
        return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= within)
    return len(ours) == len(theirs) and all(
        same(a, b, within) for a, b in zip(ours, theirs, strict=True)
    )


def keep_nothing(_run: LayerRun) -> None:
    pass


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (nn.RNN, {}),
        (nn.RNN, {"nonlinearity": "relu"}),
        (nn.RNN, {"bias": False}),
        (nn.GRU, {}),
        (nn.GRU, {"bias": False, "batch_first": True}),
        (nn.LSTM, {}),
        (nn.LSTM, {"bias": False}),
        (nn.LSTM, {"proj_size": 3}),
        (nn.LSTM, {"proj_size": 3, "batch_first": True}),
    ],
    ids=str,
)
def test_equals_the_fused_kernel(kind: Any, more: Any, layout: Any, dtype: torch.dtype) -> None:
    rnn = kind(5, 7, dtype=dtype, **more, **layout)
    x = torch.randn(4, 9, 5, dtype=dtype)
    x = x if rnn.batch_first else x.transpose(0, 1)
    with torch.no_grad():
        assert same(unrolled(rnn, x, None, keep_nothing), rnn(x), CLOSE[dtype])


@pytest.mark.parametrize("more", [{}, {"proj_size": 3}, {"bidirectional": True}], ids=str)
def test_takes_the_users_initial_state(more: Any) -> None:
    lstm = nn.LSTM(5, 7, num_layers=2, dtype=torch.float64, **more)
    x = torch.randn(9, 4, 5, dtype=torch.float64)
    layers = 4 if lstm.bidirectional else 2
    hx = tuple(
        torch.randn(layers, 4, size, dtype=torch.float64) for size in (lstm.proj_size or 7, 7)
    )
    assert same(unrolled(lstm, x, hx, keep_nothing), lstm(x, hx), 1e-12)
    gru = nn.GRU(5, 7, dtype=torch.float64)
    h0 = torch.randn(1, 4, 7, dtype=torch.float64)
    assert same(unrolled(gru, x, h0, keep_nothing), gru(x, h0), 1e-12)
    assert not same(unrolled(gru, x, None, keep_nothing), gru(x, h0), 1e-3)


def test_the_states_are_all_that_is_carried() -> None:
    lstm = nn.LSTM(5, 7, num_layers=2, batch_first=True, bidirectional=True)
    runs: list[LayerRun] = []
    x = torch.randn(4, 9, 5)
    output, (hidden, cell) = unrolled(lstm, x, None, runs.append)
    kept = {run.name: run.state for run in runs}
    assert list(kept) == ["state_l0", "state_l0_reverse", "state_l1", "state_l1_reverse"]
    last, first = kept["state_l1"][:, -1], kept["state_l1_reverse"][:, 0]
    assert torch.equal(last, torch.cat([hidden[2], cell[2]], dim=-1))
    assert torch.equal(first, torch.cat([hidden[3], cell[3]], dim=-1))
    assert torch.equal(output[..., :7], kept["state_l1"][..., :7])
    assert torch.equal(output[..., 7:], kept["state_l1_reverse"][..., :7])


class Packing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 5)
        self.rnn = nn.LSTM(5, 7, batch_first=True)
        self.head = nn.Linear(7, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        lengths = torch.full((len(tokens),), tokens.shape[1])
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True)
        hidden, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        logits: Tensor = self.head(hidden)
        return logits


def test_packed_sequences() -> None:
    model = SequenceModel(Packing())
    tokens = model.example(4)
    observed = model.observe(tokens)
    assert same(observed.outputs.detach(), model(tokens), 1e-6)
    assert observed.states["rnn.state_l0"].shape == (4, tokens.shape[1], 14)


def test_the_users_own_forward_comes_back() -> None:
    gru = nn.GRU(3, 3)
    before = dict(vars(gru))
    with pytest.raises(ZeroDivisionError), replayed(gru, keep_nothing):
        raise ZeroDivisionError
    assert dict(vars(gru)) == before

    def own(x: Tensor) -> str:
        return "own"

    vars(gru)["forward"] = own
    with replayed(gru, keep_nothing):
        assert gru(torch.zeros(2, 1, 3))[0].shape == (2, 1, 3)
    assert gru(torch.zeros(2, 1, 3)) == "own"
