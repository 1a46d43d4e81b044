"""Models from `torch.compile`: measured as they are without it."""

from copy import deepcopy

import pytest
import torch

import seqprobe
from seqprobe.reference.language_models import build

ASKED = {"data": "synthetic:copy", "length": 16, "distance": 4, "limit": 8}
PROBES = ("gradient-decay", "path-length", "position", "attention", "carry-over")
WAYS = {
    "whole": lambda module: torch.compile(module, backend="eager"),
    "in place": lambda module: module.compile(backend="aot_eager") or module,
    "a part": lambda module: module.blocks[0].compile(backend="eager") or module,
}


@pytest.fixture(autouse=True)
def _forgotten():
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("way", WAYS)
def test_measured_is_the_same(way):
    """Reading attention, edits and hooks are no part of anything compiled."""
    module = build("attention", vocab_size=8, width=8, layers=1, heads=2).double()
    compiled = WAYS[way](deepcopy(module))
    one, other = (seqprobe.analyze(each, probes=PROBES, **ASKED) for each in (module, compiled))
    for check in one.checks:
        assert other[check.id].error == check.error == ""
        assert other[check.id].metrics == check.metrics, check.id
    assert not torch._dynamo.utils.counters["frames"]
