"""Rounds of several processes and of resumed runs are those of one that was left alone."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.attention import Attention
from seqprobe.probes.carry_over import CarryOver
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.locality import Locality
from seqprobe.probes.memory import Memory
from seqprobe.probes.path_length import PathLength
from seqprobe.probes.window import Window
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.runner import memory, rounds
from seqprobe.runner.cut import Cut
from seqprobe.runner.journal import Journal
from seqprobe.runner.outcome import Outcome
from seqprobe.runner.plan import plan
from seqprobe.runner.ranks import ALONE, Ranks
from seqprobe.runner.rounds import Rounds
from seqprobe.sequences.streams import IidStream

STREAM = IidStream(torch.arange(8), 8)
SYMBOLS = IidStream(torch.arange(8), 100)


def pass_of(probes, pages=None, ranks=ALONE, *, kind="attention", limit=None):
    torch.manual_seed(0)
    model = SequenceModel(build(kind, vocab_size=8, width=8, layers=1))
    (each,) = plan(probes, 32, limit, baselines=())
    return Rounds(model, each, STREAM, STREAM.alphabet, ranks, pages or Journal().of_pass(0, 0))


def measured(found: Rounds):
    for _ in found.batches():
        pass
    for outcome in found.outcomes:
        outcome.compute()
        assert outcome.open, outcome
    return [outcome.measurement.metrics for outcome in found.outcomes]


def same(one, other):
    for field in ("value", "low", "high"):
        a, b = getattr(one, field), getattr(other, field)
        assert b is None if a is None else b == pytest.approx(a, rel=1e-6, abs=1e-6)
    return (one.n, one.reason) == (other.n, other.reason)


def test_how_many_share_does_not_change_what_is_measured(monkeypatch):
    """Not for probes that look closer at the first sequences, down to one row in a batch."""
    probes = [Attention(5), CarryOver(5), GradientDecay(5), Window(5)]
    whole = measured(pass_of(probes, limit=5))
    monkeypatch.setattr(Rounds, "_cut_by_memory", lambda self: Cut(32, 3))
    for was, now in zip(whole, measured(pass_of(probes, limit=5)), strict=True):
        assert was.keys() == now.keys()
        for name, estimate in was.items():
            assert same(estimate, now[name]), name


class Mixing(torch.nn.Module):
    """The mean over the batch is added."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(8, 8)
        self.rnn = torch.nn.GRU(8, 8, batch_first=True)

    def forward(self, tokens):
        out, _ = self.rnn(self.embedding(tokens))
        return out + out.mean(0)


def test_a_row_alone_in_its_batch_is_held_beside_another_one(monkeypatch):
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 1)
    (each,) = plan([CarryOver(5)], 32, 2, baselines=())
    model = SequenceModel(Mixing())
    found = Rounds(model, each, STREAM, STREAM.alphabet, ALONE, Journal().of_pass(0, 0))
    (metrics,) = measured(found)
    assert metrics["row_leakage"].value > 1e-3
    assert metrics["row_leakage"].n == 2


class Second(Ranks):
    """One of two, told what the first would say."""

    rank, size = 1, 2


def test_costs_are_measured_by_the_first_alone():
    for ranks, batches in ((ALONE, 1), (Second(), 0)):
        found = pass_of([Memory(5)], ranks=ranks)
        assert len(list(found._worked(found._round(range(1))))) == batches
    shared = pass_of([PathLength(5)], ranks=Second())
    assert shared._cut.shares == 1


class Content(GradientDecay):
    """Wants a second round, and no third one whatever was seen."""

    @property
    def settled(self):
        return {len(rows["sequence"]) for rows in self.evidence} != {8} or len(self.evidence) > 4


def test_whether_another_round_is_needed_is_asked_as_in_the_first_run(monkeypatch, tmp_path):
    """The journal of a later round is not looked at before that round."""
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 8)
    first = pass_of([Content(5)], Journal(tmp_path / "kept", [{}]).of_pass(0, 0), kind="gru")
    measured(first)
    seen = [sorted(rows["sequence"]) for rows in first.outcomes[0].probe.evidence]
    assert len(seen) == 8
    asked = []
    settled = Content.settled

    def noted(self):
        asked.append(len(self.evidence))
        return settled.fget(self)

    monkeypatch.setattr(Content, "settled", property(noted))
    monkeypatch.setattr(Rounds, "_shown", None)  # everything is known
    journal = Journal.opened(tmp_path / "kept", [{}], resume=True)
    again = pass_of([Content(5)], journal.of_pass(0, 0), kind="gru")
    measured(again)
    assert asked == [4, 8]
    assert again.outcomes[0].probe.rows().keys() == first.outcomes[0].probe.rows().keys()


def test_the_first_failure_is_told():
    outcome = Outcome(Memory(5))
    outcome.merge(replace(outcome, error="one", seconds=1.0))
    outcome.merge(replace(outcome, error="", not_applicable="two", seconds=2.0))
    assert (outcome.error, outcome.not_applicable, outcome.seconds) == ("one", "", 3.0)


def test_a_model_that_fits_only_once_has_no_untrained_baseline(monkeypatch):
    """64-bit numbers of an embedding: 8,000 bytes, for which more than 16,000 must be free."""
    table = nn.Embedding(100, 10, dtype=torch.float64)
    model = SequenceModel(zoo.Stack(table, nn.Identity(), nn.Identity()))
    (each,) = plan([Locality(5)], 32, 2, baselines=("untrained",))[1:]
    for free, said in ((15_999, "more than half of the free memory"), (16_001, "")):
        monkeypatch.setattr(memory, "free_bytes", lambda _, free=free: free)
        found = Rounds(model, each, SYMBOLS, SYMBOLS.alphabet, ALONE, Journal().of_pass(0, 0))
        found._make_ready()
        assert said in found.outcomes[0].not_applicable
        assert bool(said) == bool(found.outcomes[0].not_applicable)


def test_a_model_made_for_a_baseline_is_let_go_of():
    (each,) = plan([Locality(5)], 32, 2, baselines=("untrained",))[1:]
    model = SequenceModel(build("attention", vocab_size=8, width=8, layers=1))
    found = Rounds(model, each, STREAM, STREAM.alphabet, ALONE, Journal().of_pass(0, 0))
    made = weakref.ref(found.observer.model)
    assert made() is not model
    list(found.batches())
    gc.collect()
    assert made() is None
