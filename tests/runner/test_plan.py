"""Passes are shared, results do not depend on how they are cut, and memory errors are survived."""

import threading

import pytest
import torch

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.path_length import PathLength
from seqprobe.probes.position import Position
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.runner import rounds
from seqprobe.runner.plan import plan
from seqprobe.runner.run import run
from seqprobe.sequences.streams import IidStream

STREAM = IidStream(torch.arange(8), 8)


def measured(probes, *, length=32, limit=12, model=None, baselines=()):
    model = model or SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    passes = plan(probes, length, limit, baselines)
    sources = {"data": STREAM, "iid": STREAM}
    return run(model, passes, sources, STREAM.alphabet, lambda *_: None)


def test_probes_that_want_the_same_sequences_share_a_pass():
    probes = [GradientDecay(5), Bottleneck(5), Position(5), PathLength(5)]
    passes = plan(probes, 256, None, baselines=())
    ids = [[probe.id for probe in each.probes] for each in passes]
    assert ids == [["gradient-decay", "position"], ["bottleneck"], ["path-length"]]
    assert passes[0].needs.gradients
    assert passes[0].needs.rerun


def test_a_shared_pass_runs_the_model_once_per_batch(monkeypatch):
    calls = []
    observe = SequenceModel.observe

    def counted(self, inputs, **more):
        calls.append(len(inputs))
        return observe(self, inputs, **more)

    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    assert model.sweepable
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 4)
    monkeypatch.setattr(SequenceModel, "observe", counted)
    measured([GradientDecay(5), GradientDecay(7)], model=model)
    assert [n for n in calls if n > 1] == [4, 4, 4]


def test_the_batch_size_does_not_change_the_result(monkeypatch):
    results = []
    for size in (1, 5, 12):
        monkeypatch.setattr(rounds, "batch_size", lambda *_, size=size, **__: size)
        torch.manual_seed(0)
        outcomes = measured([GradientDecay(5), Position(5), Bottleneck(5), PathLength(5)]).outcomes
        results.append({o.probe.id: o.measurement.metrics for o in outcomes})
    for id, metrics in results[0].items():
        for name, estimate in metrics.items():
            for other in results[1:]:
                assert other[id][name].reason == estimate.reason
                for field in ("value", "low", "high"):
                    was, now = getattr(estimate, field), getattr(other[id][name], field)
                    same = now is None if was is None else now == pytest.approx(was, 1e-4, 1e-6)
                    assert same, f"{id}.{name}.{field}: {was} became {now}"


def test_out_of_memory_halves_the_batch(monkeypatch):
    sizes = []
    observe = SequenceModel.observe

    def greedy(self, inputs, **more):
        sizes.append(len(inputs))
        if len(inputs) > 3:
            raise torch.OutOfMemoryError("no room")
        return observe(self, inputs, **more)

    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 12)
    monkeypatch.setattr(SequenceModel, "observe", greedy)
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    assert model.sites
    assert model.sweepable
    sizes.clear()
    (outcome,) = measured([GradientDecay(5)], model=model).outcomes
    assert sizes == [12, 6, 3, 3, 3, 3]
    assert outcome.measurement.metrics["at_distance"].n == 12


def test_out_of_memory_with_one_sequence_is_an_error(monkeypatch):
    def never(self, inputs, **more):
        raise torch.OutOfMemoryError("no room")

    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 2)
    monkeypatch.setattr(SequenceModel, "observe", never)
    with pytest.raises(torch.OutOfMemoryError):
        measured([GradientDecay(5)], model=model)


class Hungry(GradientDecay):
    """Never content."""

    @property
    def settled(self):
        return False


def test_a_probe_that_is_not_settled_sees_more_sequences():
    passes = plan([Hungry(5), Position(5)], 32, None, baselines=())
    sources = {"data": STREAM, "iid": STREAM}
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    outcomes = run(model, passes, sources, STREAM.alphabet, lambda *_: None).outcomes
    seen = {o.probe.id: len(o.probe.rows()["sequence"]) for o in outcomes}
    assert seen == {"gradient-decay": Hungry(5).needs.most, "position": 32}


def test_what_the_user_limits_is_never_exceeded():
    (outcome,) = measured([Hungry(5)], limit=8).outcomes
    assert outcome.measurement.metrics["at_distance"].n == 8


def test_probes_that_name_no_length_read_what_is_asked_for():
    probes = [Position(500), PathLength(500)]
    lengths = [each.needs.length for each in plan(probes, 1024, 8, (), usual=1024)]
    assert lengths == [1024, 502]


def test_baselines_are_other_models_and_other_inputs_measured_alike():
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    model.module.rnn.weight_hh_l0.data *= 3
    probe = GradientDecay(5)
    (outcome,) = measured([probe], model=model, baselines=("untrained", "iid")).outcomes
    metrics = outcome.measurement.metrics
    assert metrics["at_distance_untrained"].n == 12
    assert metrics["at_distance_untrained"].value != metrics["at_distance"].value
    same_stream = metrics["at_distance_iid"].value
    assert same_stream == pytest.approx(metrics["at_distance"].value, rel=1e-6)
    ids = [series.id for series in outcome.measurement.series]
    assert {"gradient-decay", "gradient-decay-untrained", "gradient-decay-iid"} <= set(ids)


def test_a_baseline_that_cannot_be_measured_is_a_warning():
    model = zoo.uniform_attention()
    model.module.lock = threading.Lock()
    (outcome,) = measured([GradientDecay(5)], model=model, baselines=("untrained",)).outcomes
    (warning,) = [w for w in outcome.measurement.warnings if "baseline" in w]
    assert warning == "no untrained baseline: the model cannot be copied (TypeError)."
