"""Whether a model fits what the user needs, and what a wrong need is told."""

import pytest
from torch import nn

import seqprobe
from seqprobe.diagnosis.case import Demands
from seqprobe.diagnosis.demands import demands
from seqprobe.errors import UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.reference import zoo
from seqprobe.reference.language_models import AttentionLM, RecurrentLM


def findings(model, *need):
    report = seqprobe.analyze(
        model, data="synthetic:iid", probes=("memory",), length=32, limit=1, need=need
    )
    return {each.rule: each for each in report.findings if each.rule.startswith("need-")}


def test_needs_are_read():
    assert demands(["length=8192", "streaming", "memory=2GiB"]) == Demands(8192, True, 2 << 30)
    assert demands([]) == Demands()


@pytest.mark.parametrize(
    "need",
    ["length", "length=", "length=far", "length=0", "memory=lots", "streaming=yes", "speed=1"],
)
def test_a_wrong_need_is_refused_before_anything_is_measured(need):
    with pytest.raises(UsageError, match=r"not a need; got .* expected length=TOKENS, streaming"):
        findings(zoo.memoryless(), need)


def test_a_recurrence_fits_a_stream():
    found = findings(RecurrentLM("gru", 8, 16, layers=2), "streaming")["need-streaming"]
    assert found.status == "fine"
    assert found.statement == "Fits: nothing grows while it reads; the state takes 128 bytes."


def test_attention_does_not_fit_a_stream_and_says_when_memory_is_full():
    model = AttentionLM(8, 16, layers=2, heads=2, context=64)
    found = findings(model, "streaming", "memory=1MiB")["need-streaming"]
    assert found.status == "problem"
    assert "every token adds 256 bytes; 1.0 MiB are full after 4,096 tokens" in found.statement


def test_memory_counts_parameters_state_and_cache():
    model = AttentionLM(8, 16, layers=2, heads=2, context=64)
    own = sum(parameter.numel() * 4 for parameter in model.parameters())
    exactly = own + 50 * 256
    fits = findings(model, "length=50", f"memory={exactly}")["need-memory"]
    assert (fits.status, fits.evidence.value) == ("fine", exactly)
    less = findings(model, "length=50", f"memory={exactly - 1}")["need-memory"]
    assert less.status == "problem"


def test_a_length_fits_if_the_model_runs_on_it():
    model = AttentionLM(8, 16, layers=1, heads=2, context=64)
    assert findings(model, "length=64")["need-length"].status == "fine"
    refused = findings(model, "length=65")["need-length"]
    assert refused.status == "problem"
    assert refused.statement.startswith("Does not fit: 65 tokens, because AttentionLM: ")
    assert "exceeds the 64 learned positions" in refused.statement


def test_what_cannot_be_told_is_no_verdict():
    found = findings(zoo.lag_oracle(3), "streaming", "memory=1GiB")
    assert {each.status for each in found.values()} == {"info"}
    assert "Cannot be told whether it fits: streaming, because" in found["need-streaming"].statement


def test_without_a_measurement_nothing_is_claimed():
    model = SequenceModel(nn.GRU(8, 8, batch_first=True), features=8)
    report = seqprobe.analyze(model, probes=("weights",), length=32, limit=1, need=("streaming",))
    (found,) = [each for each in report.findings if each.rule == "need-streaming"]
    assert found.status == "info"
    assert "memory was not measured" in found.statement
