"""What a run will take is counted before it starts."""

import torch
from torch import nn

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.locality import Locality
from seqprobe.reference.language_models import build
from seqprobe.runner import forecast
from seqprobe.runner.forecast import Forecast
from seqprobe.runner.plan import plan


def model():
    torch.manual_seed(0)
    return SequenceModel(build("attention", vocab_size=8, width=16, layers=1))


def told(monkeypatch, probes, **how):
    """With a second for every forward and backward."""
    monkeypatch.setattr(forecast, "_seconds", lambda model, length: 1.0)
    read = model()
    return forecast.forecast(read, plan(probes, 32, 4, **how)), read


def test_time_is_that_of_the_passes(monkeypatch):
    """Four sequences of 50 passes each; the model before training needs six for each."""
    alone, _ = told(monkeypatch, [GradientDecay(5)], baselines=())
    assert alone.seconds == 4 * 50
    beside, _ = told(monkeypatch, [GradientDecay(5)], baselines=("untrained",))
    assert beside.seconds == 4 * 50 + 4 * 6


def test_memory_is_that_of_the_model_a_batch_and_a_copy(monkeypatch):
    alone, read = told(monkeypatch, [Locality(5)], baselines=())
    size = sum(tensor.nbytes for tensor in read.module.parameters())
    size += sum(tensor.nbytes for tensor in read.module.buffers())
    assert alone.parameters == size
    copied, _ = told(monkeypatch, [Locality(5)], baselines=("untrained",))
    assert copied.beside == alone.beside + size
    kept, _ = told(monkeypatch, [Bottleneck(5)], baselines=())
    assert kept.beside > 4 * 2**26


def test_it_is_announced_before_anything_is_measured():
    said, done = [], []
    seqprobe.analyze(
        model(), data="synthetic:iid", length=32, limit=2, probes=("locality",), distance=5,
        announce=lambda each: said.append((each, list(done))), progress=lambda *_: done.append(1),
    )  # fmt: skip
    ((found, before),) = said
    assert found.seconds > 0
    assert before == []


def test_models_without_gradients_are_timed_by_their_forward():
    """Integers alone come in: nothing is differentiated."""

    class Counts(nn.Module):
        def forward(self, tokens):
            return nn.functional.one_hot(tokens, 8).float().cumsum(1)

    assert forecast._seconds(SequenceModel(Counts(), vocab_size=8), 16) > 0


def test_words():
    said = str(Forecast(7000.0, 3 * 2**20, 2**30))
    assert said == (
        "This will take about 117 minutes and up to 1.0 GiB, 3.0 MiB of it for the model."
    )
    assert "about 3 hours" in str(Forecast(7200.1, 1, 1))
    assert "about 90 seconds" in str(Forecast(89.5, 1, 1))
