"""Half precision rounds what the model computes, and nothing that is computed from it.

The truth is the same weights, rounded already, run in double precision.
"""

import math
from copy import deepcopy

import pytest
import torch

import seqprobe
from seqprobe.models import precision
from seqprobe.reference.language_models import build

HALVES = {torch.bfloat16: 0.05, torch.float16: 0.01}
"""Of numbers, relative to them or to the width of their intervals."""
ASKED = {"data": "synthetic:copy", "length": 16, "distance": 4, "limit": 8}
COMPARED = {
    "gradient-decay": ("at_distance", "mean_distance"),
    "locality": ("mean_distance",),
    "position": ("last_bits",),
    "context": ("bits_from_context",),
    "order": ("shuffle_all",),
    "attention": ("mean_distance", "entropy", "induction_score"),
    "weights": ("spectral_radius",),
}


@pytest.mark.parametrize(
    ("kind", "dtype"), [("gru", torch.bfloat16), ("attention", torch.float16)], ids=str
)
def test_numbers_are_those_of_full_precision(kind, dtype):
    half = build(kind, vocab_size=8, width=16, layers=1, heads=2).to(dtype)
    one, other = (
        seqprobe.analyze(each, probes=tuple(COMPARED), **ASKED)
        for each in (deepcopy(half).double(), half)
    )
    compared = 0
    for check in other.checks:
        assert check.status != "error", check.error
        for name in COMPARED[check.id]:
            found, truth = check.metrics.get(name), one[check.id].metrics.get(name)
            if found is None or found.value is None or truth is None:
                continue
            width = (truth.high - truth.low) / 2 if truth.low is not None else 0
            allowed = HALVES[dtype] * max(abs(truth.value), width)
            assert abs(found.value - truth.value) <= allowed, (check.id, name)
            compared += 1
    assert compared >= 6


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_replay_may_differ_by_the_rounding_of_its_precision(dtype):
    """Step by step a GRU rounds at every step, and fused it does not."""
    module = build("gru", vocab_size=8, width=16, layers=2).to(dtype)
    report = seqprobe.analyze(module, probes=("gradient-decay",), **ASKED)
    said = {each.step: each.status for each in report.model.verification}
    assert said["probed forward equals the plain forward"] == "passed"
    assert report.warnings == ()
    assert report.environment.float32 == "products highest"


def test_how_far_two_ways_may_be_apart(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert precision.alike(torch.float32, cpu) == 1e-3
    assert precision.alike(torch.bfloat16, cpu) == math.sqrt(2**-7)
    for allowed, expected in ((True, 2**-5), (False, 1e-3)):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        assert precision.alike(torch.float32, cuda) == expected
        assert precision.alike(torch.float64, cuda) == 1e-3
