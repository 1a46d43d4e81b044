"""What only CUDA has: cuDNN's fused recurrences, its kernels of attention, TensorFloat-32.

These tests have not run on a CUDA device yet; without one they are skipped.
"""

import warnings
from copy import deepcopy

import pytest
import torch
from agreement import differences
from torch.nn.attention import SDPBackend, sdpa_kernel

import seqprobe
from seqprobe.models.costs import Costs
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.models.untrained import untrained
from seqprobe.reference.language_models import build

ASKED = {"data": "synthetic:copy", "length": 16, "distance": 5, "limit": 8}
HALF, EXACT = torch.bfloat16, torch.float64


@pytest.fixture
def whole_numbers(monkeypatch):
    """Float32 is float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def lm(kind, **more):
    return build(kind, vocab_size=8, width=32, layers=2, heads=2, **more)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_replays_equal_fused_recurrences(kind, cuda, whole_numbers):
    model = SequenceModel(lm(kind).to(cuda))
    inputs = model.example(4, 32)
    assert torch.backends.cudnn.is_acceptable(torch.ones(1, device=cuda))
    replayed = model.observe(inputs).outputs
    assert torch.allclose(replayed, model(inputs), atol=1e-5)
    assert model.sweepable


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_by_default_replays_are_as_near_as_tensor_float_allows(kind, cuda):
    report = seqprobe.analyze(lm(kind).to(cuda), probes=("gradient-decay",), **ASKED)
    assert report.warnings == ()
    assert "cuDNN" in report.environment.float32


def test_fused_recurrences_are_differentiated_in_evaluation_mode(cuda):
    """CuDNN refuses the backward there: it is not asked."""
    model = SequenceModel(lm("lstm").eval().to(cuda))
    inputs = model.example(2, 16)
    observed = model.observe(inputs, unrolled=False)
    (gradient,) = torch.autograd.grad(observed.outputs.sum(), observed.leaf)
    assert gradient.isfinite().all()
    assert Costs(model).seconds(inputs, backward=True) > 0
    assert Costs(model).saved(inputs) > 0
    assert Costs(model).peak(inputs) > 0
    assert not model.module.training


def test_copies_of_fused_recurrences_warn_of_nothing(cuda):
    model = SequenceModel(lm("gru").to(cuda))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = untrained(model)
        fresh(model.example(2))


@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [
        (SDPBackend.MATH, torch.float32),
        (SDPBackend.EFFICIENT_ATTENTION, torch.float32),
        (SDPBackend.EFFICIENT_ATTENTION, HALF),
        (SDPBackend.FLASH_ATTENTION, HALF),
        (SDPBackend.CUDNN_ATTENTION, HALF),
    ],
)
def test_attention_is_read_whatever_kernel_runs(kernel, dtype, cuda, whole_numbers):
    module = lm("attention").to(dtype)
    probes = ("attention", "gradient-decay")
    truth = seqprobe.analyze(deepcopy(module).double(), probes=probes, **ASKED)
    with sdpa_kernel(kernel):
        found = seqprobe.analyze(module.to(cuda), probes=probes, **ASKED)
    names = {
        "attention": ("mean_distance", "induction_score"),
        "gradient-decay": ("mean_distance",),
    }
    for id, metrics in names.items():
        assert found[id].error == ""
        for name in metrics:
            one, other = truth[id].metrics[name].value, found[id].metrics[name].value
            assert other == pytest.approx(one, rel=0.1 if dtype == HALF else 1e-3), (id, name)


def test_memory_of_the_device_is_measured(cuda):
    report = seqprobe.analyze(lm("gru").to(cuda), probes=("memory", "throughput"), **ASKED)
    assert {check.error for check in report.checks} == {""}


def test_random_numbers_of_cuda_are_left_alone(cuda):
    module = lm("attention").to(cuda)
    drawn = []
    for measured in (False, True):
        torch.manual_seed(0)
        if measured:
            seqprobe.analyze(module, probes=("gradient-decay", "bottleneck"), **ASKED)
        drawn.append([*torch.rand(2, device=cuda).tolist(), *torch.rand(2).tolist()])
    assert drawn[0] == drawn[1]


def test_models_compiled_for_cuda_are_measured_as_they_are(cuda):
    module = lm("attention").to(cuda, EXACT)
    probes = ("gradient-decay", "position", "attention")
    one = seqprobe.analyze(module, probes=probes, **ASKED)
    other = seqprobe.analyze(torch.compile(deepcopy(module)), probes=probes, **ASKED)
    assert differences(one, other, EXACT) == []
