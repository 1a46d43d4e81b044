"""The sweep back in time against gradients of the fused modules, and where those give up."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqprobe.models.autograd import Autograd
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.sweep import TOGETHER, Sweep
from seqprobe.reference.zoo import constant_gate_lstm

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
SYMBOLS, WIDTH, HIDDEN, BATCH, TIME = 5, 3, 4, 3, 6
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-10}
first = {"batch_first": True}


class Chain(nn.Module):
    """Embedding, recurrences one after the other, head; all of them batch-first or time-first."""

    def __init__(self, *rnns):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, rnns[0].input_size)
        self.rnns = nn.ModuleList(rnns)
        self.head = nn.Linear(rnns[-1].proj_size or rnns[-1].hidden_size, SYMBOLS)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for rnn in self.rnns:
            x = rnn(x)[0]
        return self.head(x)


class Own(nn.Module):
    """Two recurrences and whatever the parent makes of them, in its own code."""

    def __init__(self, code, width=WIDTH):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.one, self.two = nn.GRU(WIDTH, WIDTH, **first), nn.LSTM(WIDTH, WIDTH, **first)
        self.norm, self.dropout = nn.LayerNorm(WIDTH), nn.Dropout(0.5)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU())
        self.head = nn.Linear(width, SYMBOLS)
        self.code = code

    def forward(self, tokens):
        return self.head(self.code(self, self.embedding(tokens)))


def fused(module, tokens, widths):
    """D state_t / d embeddings, by site (batch, time, width, time, embedding).

    From the module's own kernels, which are stopped after every prefix to read off the states;
    every unit of a state has a copy of the batch to itself.
    """
    copies, found = max(widths.values()), {site: [] for site in widths}
    embedded = module.embedding(tokens).detach().repeat(copies, 1, 1).requires_grad_()
    for stop in range(1, tokens.shape[1] + 1):
        values = fused_values(module, embedded[:, :stop])
        for site, width in widths.items():
            units = values[site].unflatten(0, (copies, -1)).diagonal(dim1=0, dim2=2)
            (rows,) = torch.autograd.grad(units.sum(), embedded, retain_graph=True)
            found[site].append(rows.unflatten(0, (copies, -1))[:width].transpose(0, 1))
    return {site: torch.stack(each, dim=1) for site, each in found.items()}


def fused_values(module, x):
    values = {}
    for index, rnn in enumerate(module.rnns):
        out, final = rnn(x if rnn.batch_first else x.transpose(0, 1))
        x = out if rnn.batch_first else out.transpose(0, 1)
        parts = final if isinstance(final, tuple) else (final,)
        for layer in range(rnn.num_layers):
            state = torch.cat([part[layer] for part in parts], dim=-1)
            values[f"rnns.{index}.state_l{layer}"] = state
    return {"output": module.head(x[:, -1]), **values}


def from_jacobian(jacobian, steps, cotangents, window):
    """Log ||v J_{t, t-k}||^2; -inf before the start."""
    chosen = jacobian[torch.arange(len(steps))[:, None], steps]
    rows = torch.einsum("btvw,btwse->btvse", cotangents, chosen).square().sum(-1).log()
    back = (steps[..., None] - torch.arange(window + 1))[:, :, None].expand(*rows.shape[:3], -1)
    return torch.where(back >= 0, rows.gather(-1, back.clamp(min=0)), -math.inf)


def swept(model, tokens):
    return Sweep(model.observe(tokens, cut=True))


def automatic(model, tokens, *, causal=True):
    return Autograd(model.module, model.observe, tokens, causal=causal)


def log_norms(derivatives, step, window, *, site="output", vectors=2):
    """Of one target for all sequences, (batch, vectors, distances)."""
    batch = len(derivatives.observed.outputs)
    shape = (batch, 1, vectors, derivatives.widths[site])
    directions = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    steps = torch.full((batch, 1), step)
    return derivatives.gradients(site, steps, directions, window).log_squares[:, 0] / 2


SAME = torch.tensor([[2, 5, 3]]).expand(BATCH, -1)
RAGGED = torch.tensor([[5, 0], [3, 4], [1, 5]])
CHAINS = {
    "lstm": lambda: [nn.LSTM(WIDTH, HIDDEN, **first)],
    "lstm, 3 layers, time-first": lambda: [nn.LSTM(WIDTH, HIDDEN, 3)],
    "lstm without bias": lambda: [nn.LSTM(WIDTH, HIDDEN, bias=False, **first)],
    "projected lstm, 2 layers": lambda: [nn.LSTM(WIDTH, HIDDEN, 2, proj_size=2, **first)],
    "gru, 2 layers": lambda: [nn.GRU(WIDTH, HIDDEN, 2, **first)],
    "gru without bias, time-first": lambda: [nn.GRU(WIDTH, HIDDEN, bias=False)],
    "rnn, 3 layers": lambda: [nn.RNN(WIDTH, HIDDEN, 3, **first)],
    "relu rnn, 2 layers": lambda: [nn.RNN(WIDTH, 8, 2, nonlinearity="relu", **first)],
    "one-layer grus": lambda: [nn.GRU(WIDTH, 5, **first), nn.GRU(5, 3, **first)],
    "all kinds": lambda: [
        nn.LSTM(WIDTH, 4, 2, proj_size=2), nn.GRU(2, 4), nn.RNN(4, 3, nonlinearity="relu"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("build", CHAINS.values(), ids=CHAINS)
def test_every_site_equals_the_fused_kernels_jacobian(build, dtype):
    module = Chain(*build()).to(dtype)
    model = SequenceModel(module)
    tokens = model.example(BATCH, TIME)
    sweep = swept(model, tokens)
    truth = fused(module, tokens, sweep.widths)
    for site, width in sweep.widths.items():
        for steps, window in ((SAME, 5), (RAGGED, 5), (SAME, 2), (RAGGED, 3), (SAME, 0)):
            vectors = torch.randn(*steps.shape, 2, width, dtype=dtype)
            found = sweep.gradients(site, steps, vectors, window)
            expected = from_jacobian(truth[site], steps, vectors, window).double()
            torch.testing.assert_close(found.log_squares, expected, rtol=0, atol=CLOSE[dtype])
            assert found.leak.isneginf().all()
        assert truth[site][:, -1, :, 0].any(), "a Jacobian of zeros would prove nothing"


@pytest.mark.parametrize("name", ["lstm, 3 layers, time-first", "relu rnn, 2 layers", "all kinds"])
def test_stacked_recurrences_are_swept(name):
    model = SequenceModel(Chain(*CHAINS[name]()))
    assert model.sweepable
    assert isinstance(model.derivatives(model.example(1, TIME)), Sweep)
    assert model.recurrence(model.observe(model.example(1, TIME))) is not None


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.usefixtures("double")
def test_more_rows_than_fit_in_one_block(ragged):
    module = Chain(nn.LSTM(WIDTH, HIDDEN, 2, **first))
    model = SequenceModel(module)
    tokens = model.example(BATCH, TIME)
    orders = [torch.randperm(TIME) for _ in range(BATCH)]
    steps = torch.stack(orders if ragged else orders[:1] * BATCH)
    vectors = torch.randn(BATCH, TIME, 43, SYMBOLS)
    assert vectors[..., 0].numel() > 3 * TOGETHER
    found = swept(model, tokens).gradients("output", steps, vectors, TIME - 1)
    truth = from_jacobian(
        fused(module, tokens, {"output": SYMBOLS})["output"], steps, vectors, TIME - 1
    )
    torch.testing.assert_close(found.log_squares, truth, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("double")
def test_before_the_start_there_is_nothing():
    model = SequenceModel(Chain(nn.GRU(WIDTH, HIDDEN, **first)))
    found = log_norms(swept(model, model.example(2, TIME)), step=2, window=5)
    assert found[..., :3].isfinite().all()
    assert found[..., 3:].isneginf().all()


@pytest.mark.parametrize("steps", [SAME, RAGGED], ids=["same targets", "ragged"])
@pytest.mark.usefixtures("double")
def test_each_sequence_is_on_its_own(steps):
    model = SequenceModel(Chain(nn.LSTM(WIDTH, HIDDEN, 2, **first)))
    tokens = model.example(BATCH, TIME)
    vectors = torch.randn(*steps.shape, 2, 2 * HIDDEN)
    site = "rnns.0.state_l1"
    together = swept(model, tokens).gradients(site, steps, vectors, 5).log_squares
    for row in range(BATCH):
        one = slice(row, row + 1)
        alone = swept(model, tokens[one]).gradients(site, steps[one], vectors[one], 5)
        torch.testing.assert_close(alone.log_squares, together[one], rtol=0, atol=1e-10)


def long_memory(scale, forget_bias):
    lstm = nn.LSTM(8, 8, **first)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(scale)
        lstm.bias_ih_l0[8:16] += forget_bias
    return Chain(lstm)


def test_saturated_gates_are_right_far_away_where_autograd_is_not():
    """All gradients are far above the smallest float32: what autograd loses are the digits of
    1 - tanh^2."""
    module, time = long_memory(scale=2, forget_bias=3), 1024
    model, double = SequenceModel(module), SequenceModel(copy.deepcopy(module).double())
    tokens = model.example(1, time)
    ours, theirs, truth = (
        log_norms(derivatives, time - 1, time - 1, vectors=1)[0, 0]
        for derivatives in (
            swept(model, tokens),
            automatic(model, tokens),
            automatic(double, tokens),
        )
    )
    assert truth.min() > math.log(1e-30)
    assert truth[0] - truth[-1] > math.log(1e10)
    assert (ours - truth).expm1().abs().max() < 0.01
    assert (theirs - truth).expm1().abs().max() > 0.5


def test_a_gru_that_hardly_takes_anything_in():
    """It takes in 2e-9 of each input; in float32, 1 - sigmoid(20) is zero."""
    gru = nn.GRU(WIDTH, WIDTH, **first)
    module = Chain(gru)
    for parameter in (*gru.parameters(), module.embedding.weight):
        nn.init.zeros_(parameter)
    nn.init.constant_(gru.bias_ih_l0[WIDTH : 2 * WIDTH].detach(), 20)
    nn.init.eye_(gru.weight_ih_l0[2 * WIDTH :].detach())
    model, double = SequenceModel(module), SequenceModel(copy.deepcopy(module).double())
    tokens = model.example(1, TIME)
    ours = log_norms(swept(model, tokens), 5, 5)
    truth = log_norms(automatic(double, tokens), 5, 5)
    torch.testing.assert_close(ours, truth, rtol=0, atol=1e-5)
    assert truth.isfinite().all()
    assert log_norms(automatic(model, tokens), 5, 5).isneginf().all()


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("b", [-5.0, -25.0])
@pytest.mark.usefixtures("double")
def test_a_constant_gate_far_below_the_smallest_float(b, dtype):
    """One step of a gate at -25 is 1e-11, whose square of a square float32 cannot hold."""
    model = constant_gate_lstm(b)
    model.module.to(dtype)
    found = log_norms(swept(model, model.example(2, 200)), step=195, window=190)
    expected = -torch.arange(191) * math.log1p(math.exp(-b))
    assert expected[-1] < math.log(1e-308) - 200
    within = {torch.float32: 1e-6, torch.float64: 1e-9}[dtype]
    decay = found - found[..., :1]
    torch.testing.assert_close(decay, expected.expand_as(decay), rtol=within, atol=1e-6)


def unstable(dtype):
    """h_t = relu(3 h_{t-1} + x_t), held at h = 1 by inputs of -2 after a first one of 1."""
    rnn = nn.RNN(2, 2, nonlinearity="relu", bias=False, **first)
    rnn.load_state_dict({"weight_ih_l0": torch.eye(2), "weight_hh_l0": 3 * torch.eye(2)})
    module = Chain(rnn)
    module.embedding = nn.Embedding(2, 2, _weight=torch.tensor([[1.0, 1.0], [-2.0, -2.0]]))
    return SequenceModel(module.to(dtype))


@pytest.mark.parametrize("dtype", CLOSE)
def test_a_gradient_that_grows_far_above_the_largest_float(dtype):
    tokens = torch.ones(1, 701, dtype=torch.long)
    tokens[0, 0] = 0
    found = log_norms(swept(unstable(dtype), tokens), step=700, window=700)
    expected = torch.arange(701, dtype=torch.float64) * math.log(3)
    assert expected[-1] > math.log(1e308) + 50
    growth = found - found[..., :1]
    torch.testing.assert_close(growth, expected.expand_as(growth), rtol=1e-9, atol=1e-6)


def test_a_relu_at_exactly_zero_passes_nothing():
    """As in PyTorch."""
    module = Chain(nn.RNN(WIDTH, HIDDEN, nonlinearity="relu", bias=False, **first))
    nn.init.zeros_(module.embedding.weight)
    model = SequenceModel(module)
    assert log_norms(swept(model, model.example(1, TIME)), 5, 5).isneginf().all()


def test_a_strong_state_does_not_hide_a_weak_input():
    """The state stays at one, and what an input adds to it is 1e-30: float32 holds no square."""
    model = constant_gate_lstm(30.0)
    with torch.no_grad():
        model.module.memory.weight_ih_l0 *= 1e-30
    found = log_norms(swept(model, model.example(1, 20)), 19, 19)
    assert found.isfinite().all()
    assert (found - found[..., :1]).abs().max() < 1e-5


def shifted(x):
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


def with_a_trace_of_all(self, x):
    """Too little to be seen nearby; far away it is all that is left."""
    y = self.one(x)[0]
    return y + 1e-6 * y.cumsum(1)


def started(self, x):
    """The initial state depends, very little, on the first input."""
    return self.one(x, 1e-4 * x[:, 0].unsqueeze(0).contiguous())[0]


def decoded(self, x):
    _, final = self.one(x)
    return self.two(x, (final, final))[0]


def learned_start(self, x):
    start = self.mlp[0].weight[:1].expand(len(x), -1).unsqueeze(0).contiguous()
    return self.one(x, start)[0].repeat(1, 1, 2)


def chunked(self, x):
    """In pieces, once a sequence is long."""
    pieces, state = [], None
    for piece in x.split(16, dim=1):
        out, state = self.one(piece, state)
        pieces.append(out)
    return torch.cat(pieces, dim=1)


REFUSED = {
    "skip between recurrences": lambda self, x: self.two(x + self.one(x)[0])[0],
    "norm between recurrences": lambda self, x: self.two(self.norm(self.one(x)[0]))[0],
    "scaled embedding": lambda self, x: self.one(2 * x)[0],
    "parallel recurrences": lambda self, x: self.one(x)[0] + self.two(x)[0],
    "the same recurrence twice": lambda self, x: self.one(self.one(x)[0])[0],
    "times the last step": lambda self, x: (y := self.one(x)[0]) * shifted(y),
    "sum over time": lambda self, x: self.one(x)[0].cumsum(1),
    "a trace of all steps": with_a_trace_of_all,
    "inputs of the last step": lambda self, x: self.one(x)[0] + shifted(x),
    "backwards in time": lambda self, x: self.one(x.flip(1))[0].flip(1),
    "initial state from the inputs": started,
    "encoder and decoder": decoded,
    "gradient stopped in between": lambda self, x: self.two(self.one(x)[0].detach())[0] + x,
    "no recurrence": lambda self, x: self.mlp(x),
}
EXACT = {
    "embedding to head": lambda self, x: torch.cat([self.one(x)[0], x], dim=-1),
    "lower recurrence to head": lambda self, x: torch.cat(
        [y := self.one(x)[0], self.two(y)[0]], dim=-1
    ),
    "product with the embedding": lambda self, x: (self.one(x)[0] * x).repeat(1, 1, 2),
    "learned initial state": learned_start,
    "norm, dropout and mlp": lambda self, x: self.mlp(
        self.dropout(self.norm(self.one(self.dropout(x))[0]))
    ).repeat(1, 1, 2),
}


@pytest.mark.parametrize("code", REFUSED.values(), ids=REFUSED)
def test_what_mixes_otherwise_is_left_to_autograd(code):
    model = SequenceModel(Own(code))
    assert not model.sweepable
    inputs = model.example(2)
    assert isinstance(model.derivatives(inputs), Autograd)
    assert model.recurrence(model.observe(inputs)) is None


def test_outputs_without_any_gradient_are_not_swept():
    class Detached(Own):
        def forward(self, tokens):
            return super().forward(tokens).detach()

    assert not SequenceModel(Detached(lambda self, x: self.one(x)[0])).sweepable


@pytest.mark.usefixtures("double")
def test_what_calls_a_recurrence_in_pieces_is_left_to_autograd_once_it_does():
    model = SequenceModel(Own(chunked))
    truth = automatic(model, model.example(2, 40))
    found = model.derivatives(model.example(2, 40))
    assert (log_norms(found, 39, 39) - log_norms(truth, 39, 39)).abs().max() < 1e-9


@pytest.mark.parametrize("core", [
    nn.LSTM(WIDTH, WIDTH, bidirectional=True, **first),
    nn.MultiheadAttention(WIDTH, 1, **first),
], ids=["both ways", "attention"])  # fmt: skip
def test_other_mixers_are_left_to_autograd(core):
    def code(self, x):
        y = self.one(x)[0]
        return self.mlp(*[y] * (3 if isinstance(core, nn.MultiheadAttention) else 1))[0]

    module = Own(code, width=2 * WIDTH if isinstance(core, nn.LSTM) else WIDTH)
    assert SequenceModel(Own(lambda self, x: self.mlp(self.one(x)[0]))).sweepable
    module.mlp = core
    assert not SequenceModel(module).sweepable


def test_states_that_were_asked_for_are_left_to_autograd():
    module = Own(lambda self, x: self.mlp(self.one(x)[0]))
    assert not SequenceModel(module, sites=["mlp"]).sweepable


@pytest.mark.parametrize("code", EXACT.values(), ids=EXACT)
@pytest.mark.usefixtures("double")
def test_whatever_works_step_by_step_around_the_recurrences_is_exact(code):
    model = SequenceModel(Own(code, width=2 * WIDTH).train())
    tokens = model.example(2, TIME)
    sweep, truth = model.derivatives(tokens), automatic(model, tokens, causal=False)
    assert isinstance(sweep, Sweep)
    assert list(sweep.widths) == list(truth.widths)
    for site in sweep.widths:
        for step in (5, 2):
            ours, theirs = (log_norms(each, step, 5, site=site) for each in (sweep, truth))
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_real_valued_inputs():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 6, 2, **first), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    model = SequenceModel(Reads(), features=3)
    inputs = model.example(2, TIME)
    truth = log_norms(automatic(model, inputs), 5, 5)
    torch.testing.assert_close(
        log_norms(swept(model, inputs), 5, 5), truth, rtol=0, atol=CLOSE[torch.float32]
    )
