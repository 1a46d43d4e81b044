"""Passes are shared, results do not depend on how they are cut, and memory errors are survived."""

import pytest
import torch

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.path_length import PathLength
from seqprobe.probes.position import Position
from seqprobe.reference.language_models import build
from seqprobe.runner import run as running
from seqprobe.runner.plan import plan
from seqprobe.runner.run import run
from seqprobe.sequences.streams import IidStream

STREAM = IidStream(torch.arange(8), 8)


def measured(probes, *, length=32, limit=12, model=None):
    model = model or SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    passes = plan(probes, length, limit)
    sources = {"data": STREAM, "iid": STREAM}
    return run(model, passes, sources, STREAM.alphabet, lambda *_: None)


def test_probes_that_want_the_same_sequences_share_a_pass():
    passes = plan([GradientDecay(5), Bottleneck(5), Position(5), PathLength(5)], 256, None)
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

    monkeypatch.setattr(running, "batch_size", lambda *_, **__: 4)
    monkeypatch.setattr(SequenceModel, "observe", counted)
    measured([GradientDecay(5), Position(5)])
    assert [n for n in calls if n > 1] == [4, 4, 4]


def test_the_batch_size_does_not_change_the_result(monkeypatch):
    results = []
    for size in (1, 5, 12):
        monkeypatch.setattr(running, "batch_size", lambda *_, size=size, **__: size)
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

    monkeypatch.setattr(running, "batch_size", lambda *_, **__: 12)
    monkeypatch.setattr(SequenceModel, "observe", greedy)
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    assert model.sites
    sizes.clear()
    (outcome,) = measured([GradientDecay(5)], model=model).outcomes
    assert sizes == [12, 6, 3, 3, 3, 3]
    assert outcome.measurement.metrics["at_distance"].n == 12


def test_out_of_memory_with_one_sequence_is_an_error(monkeypatch):
    def never(self, inputs, **more):
        raise torch.OutOfMemoryError("no room")

    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    monkeypatch.setattr(running, "batch_size", lambda *_, **__: 2)
    monkeypatch.setattr(SequenceModel, "observe", never)
    with pytest.raises(torch.OutOfMemoryError):
        measured([GradientDecay(5)], model=model)
