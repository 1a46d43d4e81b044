"""Whatever happens to a module within the context is undone after it."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.models.unnoticed import unnoticed


class Remembering(nn.Module):
    """Keeps its state as an attribute, and counts its runs in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("runs", torch.zeros(()))
        self.state = torch.zeros(1)

    def forward(self, x):
        self.runs += 1
        self.state = self.state + 1
        self.seen = True
        self.register_buffer("late", torch.ones(1))
        return self.norm(x)


@pytest.fixture
def module():
    return Remembering().train()


def test_attributes_and_buffers_are_put_back(module):
    state = module.state
    with unnoticed(module):
        module(torch.randn(5, 3))
        assert module.runs == 1
    assert module.state is state
    assert module.runs == 0
    assert torch.equal(module.norm.running_mean, torch.zeros(3))
    assert not hasattr(module, "seen")
    assert "late" not in dict(module.named_buffers())


def test_generators_are_put_back(module):
    def numbers():
        return random.random(), np.random.rand(), torch.rand(1).item()

    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = numbers()
    random.setstate(kept[0]), np.random.set_state(kept[1]), torch.set_rng_state(kept[2])
    with unnoticed(module):
        numbers()
    assert numbers() == expected


def test_so_they_are_after_an_error(module):
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="4 elements"), unnoticed(module):
        module(torch.rand(5, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert module.runs == 0


def test_neither_autocast_nor_compiled(module):
    compiled = torch.compile(nn.Linear(2, 2), backend="eager")
    with torch.autocast("cpu", torch.bfloat16), unnoticed(module):
        assert compiled(torch.ones(1, 2)).dtype == torch.float32
