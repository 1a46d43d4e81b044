"""Models of which a part is on a device and a part on the CPU: the same numbers as in one place."""

from contextlib import ExitStack
from copy import deepcopy

import pytest
import torch
from agreement import differences
from torch import nn

import seqprobe
from seqprobe.models.random_state import random_state_kept
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.unnoticed import unnoticed
from seqprobe.models.untrained import untrained
from seqprobe.reference.language_models import Block

SYMBOLS, WIDTH = 8, 8
ASKED = {"data": "synthetic:copy", "length": 16, "distance": 5, "limit": 8}
PROBES = ("gradient-decay", "path-length", "position", "carry-over", "attention")


class Split(nn.Module):
    """Moves what it hands on to where the next part is, as models split by hand do.

    Inputs go to where the first parameter is, which stays on the CPU.
    """

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.rnn = nn.RNN(WIDTH, WIDTH, batch_first=True)
        self.block = Block(WIDTH, 2)
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, tokens):
        x, _ = self.rnn(self._to(self.rnn, self.embedding(self._to(self.embedding, tokens))))
        x = self.block(self._to(self.block, x))
        x = self.norm(self._to(self.norm, x))
        return self.head(self._to(self.head, x))

    def _to(self, part, x):
        return x.to(next(part.parameters()).device)


PLACES = {
    "embedding on the CPU": ("rnn", "block", "head"),
    "outputs on the CPU": ("embedding", "rnn"),
}


def split(module, there, device):
    module = deepcopy(module)
    for name in there:
        module.get_submodule(name).to(device)
    return module


@pytest.mark.parametrize("there", PLACES.values(), ids=PLACES)
def test_measured_is_the_same(there, device):
    module = Split().double()
    one, other = (
        seqprobe.analyze(each, probes=PROBES, **ASKED)
        for each in (module, split(module, there, device))
    )
    assert differences(one, other, torch.float64) == []


class Recurrences(Split):
    """One upon the other, and nothing else between positions."""

    def __init__(self):
        super().__init__()
        self.block = nn.Identity()
        self.upper = nn.RNN(WIDTH, WIDTH, batch_first=True)

    def forward(self, tokens):
        x, _ = self.rnn(self.embedding(self._to(self.embedding, tokens)))
        return self.head(self.upper(self._to(self.upper, x))[0])


def test_recurrences_on_two_devices(device):
    """Their gradients, one layer at a time; exponents are those of one device."""
    module, asked = Recurrences().double(), {**ASKED, "probes": ("gradient-decay", "context")}
    apart = split(module, ("embedding", "rnn"), device)
    one, other = (seqprobe.analyze(each, **asked) for each in (module, apart))
    assert differences(one, other, torch.float64) == []
    alone = seqprobe.analyze(apart, **{**asked, "probes": ("jacobian-spectrum", "weights")})
    assert {check.error for check in alone.checks} == {""}


class Unaware(Split):
    def _to(self, part, x):
        return x


@pytest.mark.parametrize("embedding", ["cpu", None])
def test_accelerate_brings_inputs_to_where_the_parts_are(embedding, device):
    """And parameters from the CPU, where a device is too small for all of them."""
    accelerate = pytest.importorskip("accelerate")
    module, there = Unaware().double(), f"{device.type}:0"
    places = dict.fromkeys(("embedding", "rnn", "block", "norm", "head"), there)
    places["embedding"] = embedding or there
    spread = accelerate.dispatch_model(deepcopy(module), places, force_hooks=True)
    assert spread.embedding.weight.is_meta == bool(embedding)
    one, other = (seqprobe.analyze(each, probes=PROBES, **ASKED) for each in (module, spread))
    assert other.environment.device == there
    unknown = "untrained" if embedding else "nothing"  # it takes parameters that are in memory
    assert [each for each in differences(one, other, torch.float64) if unknown not in each] == []


def test_what_is_not_trained_stays_where_it_was(device):
    module = split(Split(), ("rnn", "head"), device)
    fresh, twin = (
        untrained(SequenceModel(each)).module for each in (module, deepcopy(module).cpu())
    )
    for name, parameter in fresh.named_parameters():
        there = name.split(".")[0] in ("rnn", "head")
        assert (parameter.device.type == device.type) == there, name
        assert torch.equal(parameter.cpu(), twin.get_parameter(name)), name


def test_random_numbers_of_every_device_are_put_back(device):
    module = split(Split(), ("head",), device)
    drawn = []
    for disturbed in (False, True):
        torch.manual_seed(0)
        with ExitStack() as stack:
            stack.enter_context(random_state_kept(module))
            if disturbed:
                torch.rand(3), torch.rand(3, device=device)
        drawn.append([*torch.rand(2).tolist(), *torch.rand(2, device=device).tolist()])
    assert drawn[0] == drawn[1]


def test_autocast_is_off_for_every_device(device):
    module = split(Split(), ("head",), device)
    with torch.autocast(device.type, torch.bfloat16), unnoticed(module):
        assert module(torch.zeros(2, 5, dtype=torch.long)).dtype == torch.float32
