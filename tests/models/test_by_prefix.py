"""Modules that answer once, asked at every step: against forwards of every prefix."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe import ByPrefix
from seqprobe.errors import ModelError, NotApplicable
from seqprobe.models.costs import Costs
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.context import Context
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.position import Position
from seqprobe.probes.sequential_depth import SequentialDepth
from seqprobe.reference import zoo

SYMBOLS, WIDTH, CLASSES, TIME = 6, 4, 3, 12


class Pooled(nn.Module):
    """Reads in both directions, and answers by the mean over all steps."""

    def __init__(self, form=lambda answer: answer):
        super().__init__()
        self.embedding, self.form = nn.Embedding(SYMBOLS, WIDTH), form
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, tokens):
        return self.form(self.head(self.rnn(self.embedding(tokens))[0].mean(1)))


class Last(nn.Module):
    """The output of a model at the last step, as its only answer."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, tokens):
        return self.module(tokens)[:, -1]


FORMS = {
    "answer": lambda answer: answer,
    "(loss, answer)": lambda answer: (torch.tensor(0.0), answer),
    ".logits": lambda answer: SimpleNamespace(logits=answer),
    "{other name}": lambda answer: {"loss": torch.tensor(0.0), "scores": answer},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_answer_at_a_step_is_that_to_the_text_up_to_there(form):
    module = Pooled()
    model = SequenceModel(ByPrefix(Pooled(form)))
    model.module.module.load_state_dict(module.state_dict())
    tokens = model.example(3, TIME)
    with torch.no_grad():
        wanted = [module(tokens[:, : t + 1]) for t in range(TIME)]
    torch.testing.assert_close(model(tokens), torch.stack(wanted, dim=1))
    assert model.causal
    assert model.embedding == "module.embedding"


@pytest.mark.usefixtures("double")
def test_gradients_are_those_of_the_module_on_each_prefix():
    module = Pooled()
    model = SequenceModel(ByPrefix(module))
    tokens = model.example(2, TIME)
    steps, vectors = torch.tensor([[TIME - 1, 4], [7, 2]]), torch.randn(2, 2, 1, CLASSES)
    logs = model.derivatives(tokens).gradients("output", steps, vectors, 5).log_squares
    for row in range(2):
        for target in range(2):
            step = int(steps[row, target])
            leaf = module.embedding(tokens[row : row + 1, : step + 1]).detach().requires_grad_()
            answer = module.head(module.rnn(leaf)[0].mean(1))
            (answer[0] * vectors[row, target, 0]).sum().backward()
            wanted = leaf.grad[0].square().sum(-1).log().flip(0)[:6]
            found = logs[row, target, 0]
            torch.testing.assert_close(found[: len(wanted)], wanted)
            assert found[len(wanted) :].isneginf().all()


@pytest.mark.usefixtures("double")
def test_the_forget_gate_of_a_classifier_that_answers_at_the_end(show):
    """The same sigmoid(b)^k as of the model that answers at every step."""
    model = SequenceModel(ByPrefix(Last(zoo.constant_gate_lstm(1.0).module)))
    measured = show(model, GradientDecay(5), sequences=4, time=24)
    curve = np.array(measured.series[0].column("relative"), dtype=float)[:19]  # of the outputs
    gate = 1 / (1 + math.exp(-1))
    assert curve == pytest.approx(gate ** np.arange(len(curve)), rel=1e-9)


@pytest.mark.parametrize("probe", [Position(7), Context(7)])
def test_it_uses_what_the_model_uses_that_answers_at_every_step(show, probe):
    oracle = zoo.lag_oracle(7, SYMBOLS, 0.1).module
    each, once = (
        show(SequenceModel(module, vocab_size=SYMBOLS), probe, sequences=8, time=32)
        for module in (oracle, ByPrefix(Last(oracle)))
    )
    assert once.headline == each.headline
    for name, estimate in each.metrics.items():
        assert once.metrics[name].value == pytest.approx(estimate.value, rel=1e-6)


def test_from_given_embeddings_the_prefixes_get_their_part_of_them():
    model = SequenceModel(ByPrefix(Pooled()))
    tokens, others = model.example(2, TIME), model.example(3, TIME)[1:]
    given = model.module.module.embedding(others).detach()
    torch.testing.assert_close(model.from_embeddings(tokens, given).detach(), model(others))


def test_a_module_that_answers_once_is_told_how():
    with pytest.raises(ModelError, match=r"is measured as SequenceModel\(ByPrefix\(module\)\)\."):
        SequenceModel(Pooled())


def test_a_module_that_answers_at_every_step_needs_it_not():
    with pytest.raises(ModelError) as raised:
        SequenceModel(ByPrefix(zoo.memoryless(SYMBOLS).module))
    said = str(raised.value)
    assert said.startswith("the module returns no single answer per sequence; got tensors of shape")
    assert said.endswith("A module that returns one per step needs no ByPrefix.")


def test_costs_are_not_told(show):
    """They would be those of all prefixes."""
    model = SequenceModel(ByPrefix(Pooled()))
    costs, inputs = Costs(model), model.example(1, TIME)
    for ask in (costs.trace, costs.saved, costs.seconds, costs.carried):
        with pytest.raises(NotApplicable, match="it is asked again at every step"):
            ask(inputs)
    with pytest.raises(NotApplicable, match="which costs more than one answer"):
        show(model, SequentialDepth(4), sequences=1, time=16)
    assert np.isfinite(costs.trace(inputs, [0]).operations[:, 0]).all()
    assert Interventions(model, inputs).plain.shape == (1, TIME, CLASSES)
