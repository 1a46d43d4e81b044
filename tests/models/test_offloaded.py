"""Models whose parameters accelerate brings into memory when they are used: the same numbers."""

import copy

import pytest
import torch

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference.language_models import build

accelerate = pytest.importorskip("accelerate")
WHEN_USED = "parameters are brought into memory only when they are used"
HOW = {"data": "synthetic:iid", "length": 32, "limit": 4, "distance": 8}
MEASURED = ("gradient-decay", "path-length", "locality", "window", "attention")
COSTS = ("memory", "throughput")


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    module = build("attention", vocab_size=8, width=16, layers=2).eval()
    away = copy.deepcopy(module)
    accelerate.cpu_offload(away, execution_device=torch.device("cpu"))
    assert all(parameter.is_meta for parameter in away.parameters())
    return SequenceModel(module), SequenceModel(away)


def test_outputs_and_place(models):
    here, away = models
    tokens = here.example(3)
    assert torch.equal(here(tokens), away(tokens))
    assert away.device == torch.device("cpu")


def test_measured_is_the_same(models):
    here, away = (seqprobe.analyze(model, probes=MEASURED, **HOW) for model in models)
    for one, other in zip(here.checks, away.checks, strict=True):
        assert one.status not in ("error", "not applicable"), one.headline
        assert one.headline == other.headline
        trained = [name for name in other.metrics if not name.endswith("_untrained")]
        assert {name: one.metrics[name] for name in trained} == dict(other.metrics)
    assert any(WHEN_USED in warning for warning in away["locality"].warnings)


def test_costs_of_moving_parameters_are_not_those_of_the_model(models):
    report = seqprobe.analyze(models[1], probes=COSTS, **HOW)
    for check in report.checks:
        assert check.status == "not applicable"
        assert check.headline.startswith(WHEN_USED)


def test_a_frozen_model_costs_what_it_would_in_training():
    module = build("attention", vocab_size=8, width=16, layers=2)
    model = SequenceModel(module)
    trained = seqprobe.analyze(model, probes=COSTS, **HOW)
    module.requires_grad_(False)
    frozen = seqprobe.analyze(model, probes=COSTS, **HOW)
    assert frozen["memory"].metrics == trained["memory"].metrics
    assert frozen["throughput"].metrics["training_tokens_per_second"].value
    assert not any(parameter.requires_grad for parameter in module.parameters())
