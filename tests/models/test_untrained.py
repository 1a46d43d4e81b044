"""The model before training: what is set back, what is permuted, what is left alone."""

import copy
import threading

import pytest
import torch
from torch import nn

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.untrained import untrained
from seqprobe.reference.zoo import lag_oracle

SYMBOLS, WIDTH = 5, 4


class Mixed(nn.Module):
    """Modules that know how to begin, and two parameters of the root's own."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, SYMBOLS)
        self.mixing = nn.Parameter(torch.empty(WIDTH, 3))
        self.back = nn.Parameter(torch.empty(3, WIDTH), requires_grad=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(100 * torch.randn_like(parameter))

    def forward(self, tokens):
        out = self.norm(self.rnn(self.embedding(tokens))[0])
        return self.head(out @ self.mixing @ self.back)


OWN = ("mixing", "back")


def parameters(model):
    return dict(model.module.named_parameters())


def test_what_can_be_set_back_is():
    """Trained numbers are of size 100; no module begins with any above 5."""
    model = SequenceModel(Mixed())
    found = parameters(untrained(model))
    known = {name: value for name, value in found.items() if name not in OWN}
    assert len(known) == 9
    for name, value in known.items():
        assert value.abs().max() < 5, name
        assert not torch.equal(value, parameters(model)[name]), name
    assert torch.equal(known["norm.weight"], torch.ones(WIDTH))


@pytest.mark.parametrize("name", OWN)
def test_other_parameters_are_permutations_of_themselves(name):
    model = SequenceModel(Mixed())
    trained, found = parameters(model)[name], parameters(untrained(model))[name]
    assert torch.equal(found.flatten().sort().values, trained.flatten().sort().values)
    assert not torch.equal(found, trained)


def test_the_original_is_left_as_it_was():
    model = SequenceModel(Mixed().train())
    before, random = copy.deepcopy(model.module.state_dict()), torch.get_rng_state()
    outputs = model(model.example(2))
    other = untrained(model)
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.data_ptr() != other.module.state_dict()[name].data_ptr()
    assert torch.equal(model(model.example(2)), outputs)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.module.training
    assert not torch.equal(other(model.example(2)), outputs)


def test_the_seed_decides():
    model = SequenceModel(Mixed())
    one, same, other = (parameters(untrained(model, seed)) for seed in (3, 3, 4))
    torch.manual_seed(1)
    later = parameters(untrained(model, 3))
    for name in set(one) - {"norm.weight", "norm.bias"}:
        assert torch.equal(one[name], same[name])
        assert torch.equal(one[name], later[name])
        assert not torch.equal(one[name], other[name])


def test_the_copy_reads_what_the_model_reads():
    tokens = untrained(SequenceModel(Mixed(), vocab_size=3, sites=["norm"]))
    assert tokens.vocab_size == 3
    assert tokens.sites == ("rnn.state_l0", "norm")
    features = untrained(SequenceModel(nn.Linear(3, 2), features=3))
    assert features.features == 3


def test_no_parameters():
    with pytest.raises(NotApplicable, match=r"^the model has no parameters to set back\.$"):
        untrained(lag_oracle(2))


def test_not_copyable():
    model = SequenceModel(Mixed())
    model.module.lock = threading.Lock()
    with pytest.raises(NotApplicable, match=r"^the model cannot be copied \(TypeError\)\.$"):
        untrained(model)


def test_a_reset_that_wants_more_than_the_module_is_not_called():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(WIDTH))

        def reset_parameters(self, scale):
            nn.init.constant_(self.weight, scale)

        def forward(self, x):
            return x * self.weight

    model = SequenceModel(nn.Sequential(nn.Embedding(SYMBOLS, WIDTH), Scaled()))
    found, trained = (parameters(each)["1.weight"] for each in (untrained(model), model))
    assert torch.equal(found.sort().values, trained.sort().values)
