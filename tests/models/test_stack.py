"""Stacked recurrences as one map of the whole state: against one step of the user's own module."""

import pytest
import torch
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.stack import Stack

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.usefixtures("double"),
]
SYMBOLS, WIDTH, HIDDEN, BATCH, TIME = 5, 3, 4, 3, 6
first = {"batch_first": True}
STACKS = {
    "lstm": lambda: [nn.LSTM(WIDTH, HIDDEN, **first)],
    "lstm, 3 layers": lambda: [nn.LSTM(WIDTH, HIDDEN, 3, **first)],
    "projected lstm, 2 layers": lambda: [nn.LSTM(WIDTH, HIDDEN, 2, proj_size=2, **first)],
    "gru, 2 layers": lambda: [nn.GRU(WIDTH, HIDDEN, 2, **first)],
    "gru without bias": lambda: [nn.GRU(WIDTH, HIDDEN, bias=False, **first)],
    "rnn, 2 layers": lambda: [nn.RNN(WIDTH, HIDDEN, 2, **first)],
    "relu rnn, 3 layers": lambda: [nn.RNN(WIDTH, HIDDEN, 3, nonlinearity="relu", **first)],
    "all kinds": lambda: [
        nn.LSTM(WIDTH, HIDDEN, 2, proj_size=2, **first), nn.GRU(2, HIDDEN, **first),
        nn.LSTM(HIDDEN, HIDDEN, **first), nn.RNN(HIDDEN, HIDDEN, **first),
    ],
}  # fmt: skip
stacks = pytest.mark.parametrize("build", STACKS.values(), ids=STACKS)
steps = pytest.mark.parametrize("step", [0, 4])


class Model(nn.Module):
    def __init__(self, *rnns):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.rnns = nn.ModuleList(rnns)
        self.head = nn.Linear(rnns[-1].proj_size or HIDDEN, SYMBOLS)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for rnn in self.rnns:
            x = rnn(x)[0]
        return self.head(x)


def widths(rnn):
    """Of what one layer carries: hidden state, and cell state."""
    return [rnn.proj_size or HIDDEN, HIDDEN] if isinstance(rnn, nn.LSTM) else [HIDDEN]


def fused_step(module, tokens, state):
    """One step of the user's own kernels on the whole state, (batch, state)."""
    x = module.embedding(tokens).detach().unsqueeze(1)
    pieces = list(state.split([w for r in module.rnns for w in widths(r) * r.num_layers], dim=-1))
    after = []
    for rnn in module.rnns:
        kinds = len(widths(rnn))
        mine, pieces = pieces[: kinds * rnn.num_layers], pieces[kinds * rnn.num_layers :]
        hx = tuple(torch.stack(mine[kind::kinds]) for kind in range(kinds))
        x, final = rnn(x, hx if kinds == 2 else hx[0])
        parts = final if kinds == 2 else (final,)
        after += [part[layer] for layer in range(rnn.num_layers) for part in parts]
    return torch.cat(after, dim=-1)


class Case:
    """A model, its Stack, and the states before every step."""

    def __init__(self, rnns):
        self.module = Model(*rnns)
        self.model = SequenceModel(self.module)
        self.tokens = self.model.example(BATCH, TIME)
        self.observed = self.model.observe(self.tokens, gradients=False)
        self.stack = Stack(list(self.observed.layers.values()))
        state = torch.zeros(BATCH, sum(sum(widths(r)) * r.num_layers for r in rnns))
        self.states = [state]
        for step in range(TIME):
            self.states.append(self.fused_step(step, self.states[-1]).detach())

    def fused_step(self, step, state):
        return fused_step(self.module, self.tokens[:, step], state)

    def jacobian(self, step):
        """By automatic differentiation of the fused step: (batch, state, state)."""
        whole = torch.autograd.functional.jacobian(
            lambda state: self.fused_step(step, state).sum(0), self.states[step]
        )
        return whole.transpose(0, 1)


@stacks
@steps
def test_jacobians_equal_those_of_the_fused_step(build, step):
    case = Case(build())
    truth = case.jacobian(step)
    for sample in range(BATCH):
        found = case.stack.jacobians(slice(step, step + 1), sample)
        torch.testing.assert_close(found[0], truth[sample], rtol=0, atol=1e-12)
    assert truth.any(), "a Jacobian of zeros would prove nothing"


@stacks
@steps
def test_push_is_the_change_of_the_fused_step(build, step):
    """Against finite differences: five digits."""
    case, eps = Case(build()), 1e-6
    tangents = torch.randn(BATCH, 2, case.stack.width)
    found = case.stack.push(tangents, step)
    for vector in range(2):
        there, back = (
            case.fused_step(step, case.states[step] + sign * eps * tangents[:, vector])
            for sign in (1, -1)
        )
        change = (there - back) / (2 * eps)
        torch.testing.assert_close(found[:, vector], change.detach(), rtol=1e-5, atol=1e-8)


@stacks
def test_jacobians_are_what_push_does_to_the_identity(build):
    case = Case(build())
    identity = torch.eye(case.stack.width).expand(BATCH, -1, -1)
    pushed = torch.stack([case.stack.push(identity, step).mT for step in range(TIME)], dim=1)
    for sample in range(BATCH):
        found = case.stack.jacobians(slice(0, TIME), sample)
        torch.testing.assert_close(found, pushed[sample], rtol=0, atol=1e-12)
    some = case.stack.jacobians(slice(2, 4), 1)
    torch.testing.assert_close(some, pushed[1, 2:4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_whole_state_is_hidden_and_cell_state_of_every_layer(kind, layers):
    case = Case([kind(WIDTH, HIDDEN, layers, **first)])
    carried = 2 if kind is nn.LSTM else 1
    assert case.stack.width == carried * HIDDEN * layers
    states = torch.cat(list(case.observed.states.values()), dim=-1)
    for step in range(TIME):
        torch.testing.assert_close(states[:, step], case.states[step + 1], rtol=0, atol=1e-12)


@stacks
def test_no_layer_depends_on_those_above_it(build):
    case = Case(build())
    edges = [sum(widths(r)) for r in case.module.rnns for _ in range(r.num_layers)]
    found = case.stack.jacobians(slice(0, TIME), 0)
    ends = torch.tensor(edges).cumsum(0).tolist()
    for end in ends[:-1]:
        assert not found[:, :end, end:].any()
        assert found[:, end:, :end].any()
    assert found.shape == (TIME, ends[-1], ends[-1])


def test_steps_in_a_row_are_the_derivative_of_the_last_state():
    """The cell state is carried too: without it, nothing would arrive from three steps back."""
    case = Case([nn.LSTM(WIDTH, HIDDEN, 2, **first)])

    def three_steps(state):
        for step in (1, 2, 3):
            state = case.fused_step(step, state)
        return state.sum(0)

    truth = torch.autograd.functional.jacobian(three_steps, case.states[1]).transpose(0, 1)
    tangents = torch.eye(case.stack.width).expand(BATCH, -1, -1)
    for step in (1, 2, 3):
        tangents = case.stack.push(tangents, step)
    torch.testing.assert_close(tangents.mT, truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("both_ways", "width"), [(False, 2 * HIDDEN), (True, None)])
def test_only_recurrences_that_run_forward_have_such_a_map(both_ways, width):
    module = Model(nn.GRU(WIDTH, HIDDEN, 2, bidirectional=both_ways, **first))
    module.head = nn.Linear((1 + both_ways) * HIDDEN, SYMBOLS)
    model = SequenceModel(module)
    found = model.recurrence(model.observe(model.example(2, TIME), gradients=False))
    assert (found and found.width) == width
