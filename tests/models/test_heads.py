"""Modules with several outputs, and modules that answer once."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from seqprobe.checkpoints.load import describe
from seqprobe.errors import ModelError, NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.untrained import untrained
from seqprobe.probes.position import Position

SYMBOLS, WIDTH = 7, 4
FORMS = {
    "dict": (lambda a, b, one: {"tags": a, "tokens": b, "start": one}, "tags", "tokens", "start"),
    "fields": (
        lambda a, b, one: SimpleNamespace(tags=a, tokens=b, start=one),
        "tags",
        "tokens",
        "start",
    ),
    "tuple": (lambda a, b, one: (a, b, one), "0", "1", "2"),
}


class Several(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(SYMBOLS, WIDTH), nn.GRU(WIDTH, 5, batch_first=True)
        self.tags, self.tokens, self.start = (nn.Linear(5, n) for n in (3, SYMBOLS, 1))
        self.form = form

    def forward(self, tokens):
        state = self.rnn(self.embedding(tokens))[0]
        return self.form(self.tags(state), self.tokens(state), self.start(state)[..., 0])


@pytest.mark.parametrize("form", FORMS)
def test_the_head_that_is_named_is_measured(form):
    make, *names = FORMS[form]
    module = Several(make).eval()
    tokens = torch.randint(SYMBOLS, (2, 9))
    state = module.rnn(module.embedding(tokens))[0].detach()
    for name, part in zip(names, (module.tags, module.tokens, module.start), strict=True):
        model = SequenceModel(module, head=name)
        torch.testing.assert_close(model(tokens), part(state).detach())
        assert untrained(model).head == name
        assert model.heads == tuple(dict.fromkeys((name, *names[:2])))
    torch.testing.assert_close(SequenceModel(module)(tokens), module.tags(state).detach())


def test_which_head_was_measured_is_recorded():
    make = FORMS["dict"][0]
    plan = describe(SequenceModel(Several(make)), "model").plan
    assert (plan["measured output"], plan["all outputs"]) == ("tags", ["tags", "tokens"])
    plan = describe(SequenceModel(Several(make), head="tokens"), "model").plan
    assert (plan["measured output"], plan["all outputs"]) == ("tokens", ["tokens", "tags"])
    assert "measured output" not in describe(SequenceModel(Several(lambda a, *_: a)), "m").plan


def test_a_head_that_is_not_there_is_refused_with_the_names_of_those_that_are():
    with pytest.raises(ModelError) as raised:
        SequenceModel(Several(FORMS["dict"][0]), head="end")
    assert str(raised.value) == (
        "the module returns no output per step named 'end'; got tags, tokens, start; expected the "
        "name of one of several outputs, or its place in a tuple. Give one of these as head=..."
    )


def test_one_number_per_step_is_no_distribution(show):
    model = SequenceModel(Several(FORMS["dict"][0]), head="start")
    with pytest.raises(NotApplicable, match="one number per step, and no distribution to compare"):
        show(model, Position(4), sequences=4, time=32)
