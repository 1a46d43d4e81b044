"""Sessions in a loop on a device: the same entries as on the CPU, and a loop that goes on alike."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import seqprobe
from seqprobe.reference.language_models import build

PROBES = ("loss-gradient", "states", "heads", "gradient-draw", "gradient-decay")
SYMBOLS = 8


def lm(kind):
    return build(kind, vocab_size=SYMBOLS, width=8, layers=1, heads=2).double()


def batches(count):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(SYMBOLS, (count, 4, 16), generator=generator)


def trained(module, device, probes=PROBES, *, autocast=False):
    """The entries of a short training; what it has drawn in the end."""
    module, heard = module.to(device), []
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    with seqprobe.attach(module, probes, every=2, loggers=[heard.append], distance=5) as session:
        for batch in batches(4).to(device):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                outputs = module(batch)
            cross_entropy(outputs[:, :-1].flatten(0, 1), batch[:, 1:].flatten()).backward()
            optimizer.step()
            session.step()
    return heard, [torch.rand(2), torch.rand(2, device=device)]


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_entries_are_those_of_the_cpu(kind, device):
    module = lm(kind)
    cpu, _ = trained(deepcopy(module), torch.device("cpu"))
    other, _ = trained(module, device)
    assert [(entry.step, entry.check) for entry in other] == [(e.step, e.check) for e in cpu]
    assert {entry.check for entry in other if entry.measurement} == {*PROBES} - (
        {"heads"} if kind == "lstm" else set()
    )
    for one, two in zip(cpu, other, strict=True):
        assert (one.why_not, one.findings) == (two.why_not, two.findings)
        expected, found = one.scalars(), two.scalars()
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert math.isclose(value, found[name], rel_tol=1e-6, abs_tol=1e-9), name


@pytest.mark.parametrize("autocast", [False, True])
def test_the_training_does_not_notice(autocast, device):
    """Dropout draws on the device: with a session as without one."""
    ends = []
    for probes in ((), PROBES):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Embedding(SYMBOLS, 8), nn.Dropout(0.5), nn.Linear(8, SYMBOLS))
        drawn = trained(module, device, probes, autocast=autocast)[1]
        ends.append([*drawn, *(each.detach() for each in module.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))
