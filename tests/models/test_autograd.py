"""Gradients by automatic differentiation, against whole Jacobians of the user's module."""

import gc
import math
import weakref

import pytest
import torch
from torch import nn

from seqprobe.models.autograd import SHARED, Autograd, denormals_flushed
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH, BATCH, TIME = 5, 4, 3, 8
MODELS = {
    "attention": lambda: build("attention", vocab_size=SYMBOLS, width=WIDTH, layers=2),
    "gru": lambda: Reader(nn.GRU(WIDTH, 3, batch_first=True)),
    "both ways": lambda: Reader(nn.GRU(WIDTH, 3, batch_first=True, bidirectional=True)),
}
every = pytest.mark.parametrize("name", MODELS)
double = pytest.mark.usefixtures("double")


class Reader(nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(SYMBOLS, WIDTH), rnn
        self.head = nn.Linear((1 + rnn.bidirectional) * 3, SYMBOLS)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


class Given(nn.Module):
    """In place of an embedding: the vectors themselves, whatever the tokens."""

    def __init__(self, vectors):
        super().__init__()
        self.vectors = vectors

    def forward(self, tokens):
        return self.vectors[:, : tokens.shape[1]]


def of_outputs(module, tokens):
    """D output_t / d embedding_s of the module's own forward: (batch, t, classes, s, width)."""
    embedding = module.embedding
    vectors = embedding(tokens).detach()

    def forward(vectors):
        module.embedding = Given(vectors)
        return module(tokens).sum(0)

    try:
        jacobian = torch.autograd.functional.jacobian(forward, vectors)
    finally:
        module.embedding = embedding
    return jacobian.movedim(2, 0)


def derivatives(name, *, causal, time=TIME):
    module = MODELS[name]()
    model = SequenceModel(module.eval())
    tokens = model.example(BATCH, time)
    return module, tokens, Autograd(module, model.observe, tokens, causal=causal)


def norms_of(jacobian, steps, cotangents):
    """Log ||v J_ts||^2 by input step s."""
    chosen = jacobian[torch.arange(len(steps))[:, None], steps]
    return torch.einsum("btvw,btwse->btvse", cotangents, chosen).square().sum(-1).log()


RAGGED = torch.tensor([[7, 0, 3], [2, 5, 4], [1, 6, 2]])


@every
@double
def test_gradients_equal_the_whole_jacobian(name):
    module, tokens, found = derivatives(name, causal=name != "both ways")
    cotangents = torch.randn(BATCH, 3, 2, SYMBOLS)
    logs, ahead = found.gradients("output", RAGGED, cotangents, 5)
    truth = norms_of(of_outputs(module, tokens), RAGGED, cotangents)
    for ours, sign in ((logs, -1), (ahead, 1)):
        at = RAGGED[..., None] + sign * torch.arange(6)
        for vector in range(2):
            expected = truth[:, :, vector].gather(2, at.clamp(0, TIME - 1))
            expected = torch.where((at >= 0) & (at < TIME), expected, -math.inf)
            torch.testing.assert_close(ours[:, :, vector], expected, rtol=0, atol=1e-9)
    assert ahead[..., 1:].isfinite().any() == (name == "both ways")
    assert found.gradients("output", RAGGED, cotangents, TIME).leak.isfinite().all() == (
        name == "both ways"
    )


@every
@double
def test_the_jacobian_equals_the_whole_one(name):
    module, tokens, found = derivatives(name, causal=name != "both ways")
    truth = of_outputs(module, tokens)
    sources = torch.tensor([4, 0, 3])
    for step in (4, TIME - 1):
        ours = found.jacobian("output", step, sources)
        expected = truth[:, step][:, :, sources].transpose(1, 2)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
        assert ours.any()


@pytest.mark.parametrize("name", ["attention", "gru"])
@double
def test_a_graph_cut_at_the_target_gives_the_same_as_the_whole(name):
    """Every site, and more targets than share one graph."""
    time = SHARED + 9
    _, _, cut = derivatives(name, causal=True, time=time)
    whole = Autograd(cut._module, cut._observe, cut._inputs, causal=False)
    steps = torch.stack([torch.randperm(time) for _ in range(BATCH)])
    assert len(cut.widths) == len(cut.observed.states) + 1 > 1
    for site, width in cut.widths.items():
        cotangents = torch.randn(BATCH, time, 1, width)
        ours, theirs = (each.gradients(site, steps, cotangents, 9) for each in (cut, whole))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        few = torch.tensor([0, 5])
        jacobians = [each.jacobian(site, 6, few) for each in (cut, whole)]
        torch.testing.assert_close(*jacobians, rtol=0, atol=1e-12)


def test_a_causal_model_is_run_only_up_to_the_target():
    _, _, found = derivatives("gru", causal=True)
    lengths, observe = [], found._observe

    def counted(inputs):
        lengths.append(inputs.shape[1])
        return observe(inputs)

    found._observe = counted
    found.gradients("output", torch.tensor([[4, 2]] * BATCH), torch.ones(BATCH, 2, 1, SYMBOLS), 2)
    found.jacobian("output", 1, torch.tensor([0]))
    assert lengths == [5, 2]
    last = torch.tensor([[7]] * BATCH), torch.ones(BATCH, 1, 1, SYMBOLS), 2
    for _ in range(2):
        found.gradients("output", *last)
        assert lengths == [5, 2, 8], "nothing is spared at the last step, and nothing done again"


def test_there_is_one_graph_at_a_time():
    """The last one is gone before the next is made: the memory is that of one backward."""
    _, _, found = derivatives("gru", causal=True)
    graphs, observe = [weakref.ref(found._graph.leaf)], found._observe

    def watched(inputs):
        gc.collect()
        assert all(graph() is None for graph in graphs)
        made = observe(inputs)
        graphs.append(weakref.ref(made.leaf))
        return made

    found._observe = watched
    for last in (7, 4, 2, 5):
        steps = torch.tensor([[last]] * BATCH)
        found.gradients("output", steps, torch.ones(BATCH, 1, 1, SYMBOLS), 2)
    assert len(graphs) == 4
    assert not found.observed.outputs.requires_grad


@pytest.mark.parametrize(("dtype", "smallest"), [(torch.float32, 1e-38), (torch.float64, 1e-308)])
def test_the_floor_is_above_what_the_arithmetic_can_hold(dtype, smallest):
    module = MODELS["gru"]().to(dtype)
    model = SequenceModel(module)
    found = Autograd(module, model.observe, model.example(1), causal=True)
    assert math.log(smallest) + 5 < found.floor < math.log(smallest) + 10


def flushes():
    return float(torch.tensor(1e-38) / 1000) == 0


@pytest.mark.parametrize("before", [False, True])
def test_flushing_denormals_ends_as_it_began(before):
    try:
        torch.set_flush_denormal(before)
        with denormals_flushed():
            assert flushes()
        assert flushes() == before
        with pytest.raises(ZeroDivisionError), denormals_flushed():
            raise ZeroDivisionError
        assert flushes() == before
    finally:
        torch.set_flush_denormal(False)


def test_gradients_alone_do_not_ask_for_the_states_of_named_sites() -> None:
    model = zoo.memoryless()
    inputs = model.example(2)
    found = model.derivatives(inputs, states=False)
    assert list(found.widths) == ["output"]
