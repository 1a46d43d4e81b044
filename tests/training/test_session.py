"""A session: when it measures what, what it hands on, and what it leaves alone."""

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import seqprobe
from seqprobe.contracts import Estimate, Finding, Measurement, Needs, Null, Probe
from seqprobe.errors import NotApplicable, UsageError
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.gradient_decay import GradientDecay
from seqprobe.probes.gradient_draw import GradientDraw
from seqprobe.reference import zoo
from seqprobe.training.entry import Entry


class Net(nn.Module):
    def __init__(self, vocab: int = 8, width: int = 12) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def batch():
    return torch.randint(8, (8, 32))


def train(net, session, batch, steps):
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch).transpose(1, 2), batch.roll(1, 1)).backward()
        optimizer.step()
        session.step()


class Draft(Probe):
    """A probe of the held-out batch for tests."""

    id: ClassVar[str] = "draft"
    title = question = method = reading = limits = ""
    references: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self):
        return Needs(stream="data")

    def observe(self, observation):
        return {"mean": observation.outputs.mean((1, 2)).numpy()}

    def measure(self, evidence):
        mean = Estimate(float(np.mean(evidence["mean"])), "", exact=True)
        return Measurement("", {"mean": mean}, "mean")


def test_steps_are_counted_and_measured_at_their_schedule(net, batch):
    heard: list[Entry] = []
    probes, every = [Draft(), GradientDraw(5)], {"draft": 3}
    with seqprobe.attach(net, probes, every=every, loggers=[heard.append], held_out=batch) as s:
        train(net, s, batch, 7)
    assert s.updates == 7
    assert [(e.step, e.check) for e in heard] == [
        (0, "draft"), (0, "gradient-draw"), (3, "draft"), (6, "draft"),
    ]  # fmt: skip


def test_a_step_is_the_weights_after_so_many_updates(net, batch):
    heard: list[Entry] = []
    with seqprobe.attach(net, [Draft()], every=2, loggers=[heard.append], held_out=batch) as s:
        expected = [net(batch).mean().item()]
        for _ in range(2):
            train(net, s, batch, 2)
            expected.append(net(batch).mean().item())
    found = [entry.measurement.metrics["mean"].value for entry in heard]
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_training_that_goes_on_goes_on_counting(net, batch):
    heard: list[Entry] = []
    with seqprobe.attach(
        net, [Draft()], every=5, loggers=[heard.append], held_out=batch, start=9
    ) as s:
        train(net, s, batch, 2)
    assert [e.step for e in heard] == [10]
    assert heard[0].training.start == 9


def test_measures_what_analyze_measures(net, batch):
    """On the same sequences: here both are fed the model's whole vocabulary, drawn alike."""
    stream = torch.stack([torch.arange(8).repeat(4)] * 8)
    heard: list[Entry] = []
    probe = GradientDecay(5, whole=False)
    with seqprobe.attach(net, [probe], loggers=[heard.append], held_out=stream):
        pass
    model = SequenceModel(net)
    derivatives = model.derivatives(stream)
    from seqprobe.contracts import Observation

    seen = Observation(
        sequences=range(8),
        inputs=stream,
        outputs=derivatives.observed.outputs,
        states=derivatives.observed.states,
        derivatives=derivatives,
    )
    expected = probe.update(seen).compute()
    assert heard[0].measurement.metrics == expected.metrics


def test_entries_know_their_training(net, batch):
    heard: list[Entry] = []
    seqprobe.attach(net, [Draft()], every=7, loggers=[heard.append], held_out=batch, seed=3)
    training = heard[0].training
    assert (training.name, training.family, training.held_out) == (
        "Net", "recurrent", "held out: 8 sequences of 32 steps",
    )  # fmt: skip
    assert training.parameters == sum(each.numel() for each in net.parameters())
    assert (training.distance, training.every, training.seed) == (15, {"draft": 7}, 3)
    assert heard[0].scalars().keys() == {"draft/mean"}


def test_nothing_is_measured_after_it_is_removed(net, batch):
    closed: list[str] = []

    class Kept(list):
        def __call__(self, entry):
            self.append(entry)

        def close(self):
            closed.append("closed")

    logger = Kept()
    session = seqprobe.attach(net, [Draft()], every=1, loggers=[logger], held_out=batch)
    session.remove()
    session.step()
    assert len(logger) == 1
    assert closed == ["closed"]


class TestFailures:
    def test_a_check_without_meaning_says_so_once(self, net, batch):
        class Meaningless(Draft):
            def observe(self, observation):
                raise NotApplicable("nothing to see")

        heard: list[Entry] = []
        with seqprobe.attach(
            net, [Meaningless()], every=1, loggers=[heard.append], held_out=batch
        ) as s:
            train(net, s, batch, 3)
        assert [(e.step, e.measurement, e.why_not) for e in heard] == [(0, None, "nothing to see.")]

    def test_one_that_fails_is_tried_again(self, net, batch):
        class Failing(Draft):
            def observe(self, observation):
                raise ValueError("broken")

        heard: list[Entry] = []
        with seqprobe.attach(
            net, [Failing()], every=2, loggers=[heard.append], held_out=batch
        ) as s:
            train(net, s, batch, 3)
        assert [(e.step, e.why_not) for e in heard] == [
            (0, "ValueError: broken"), (2, "ValueError: broken"),
        ]  # fmt: skip

    def test_lack_of_memory_ends_no_training(self, net, batch):
        class Huge(Draft):
            def observe(self, observation):
                raise MemoryError("can't allocate memory")

        heard: list[Entry] = []
        with seqprobe.attach(net, [Huge()], loggers=[heard.append], held_out=batch[:1]) as s:
            train(net, s, batch, 1)
        assert heard[0].why_not == "MemoryError: can't allocate memory"

    def test_ctrl_c_ends_the_training(self, net, batch):
        class Interrupted(Draft):
            def observe(self, observation):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            seqprobe.attach(net, [Interrupted()], held_out=batch)

    def test_a_logger_that_fails_is_dropped(self, net, batch, caplog):
        def full(entry):
            raise OSError("no space left")

        heard: list[Entry] = []
        with seqprobe.attach(
            net, [Draft()], every=1, loggers=[full, heard.append], held_out=batch
        ) as s:
            train(net, s, batch, 2)
        assert len(heard) == 3
        assert caplog.messages == [
            "logger full gets no more entries, because of OSError('no space left')"
        ]


@dataclass(frozen=True)
class Vanishing(Draft):
    """Vanishes in the steps that `gone` names; one measurement per step."""

    gone: tuple[int, ...] = ()
    id: ClassVar[str] = "gradient-decay"
    steps: ClassVar[list[int]] = []

    def measure(self, evidence):
        self.steps.append(1)
        there = 1e-9 if len(self.steps) - 1 in self.gone else 1.0
        estimate = Estimate(there, "", there / 2, there * 2, n=8, null=Null("", 0.0))
        return Measurement("", {"at_distance": estimate}, "at_distance")


class TestWarnings:
    @pytest.fixture(autouse=True)
    def _from_the_start(self):
        Vanishing.steps.clear()

    def test_they_come_after_so_many_in_a_row(self, net, batch):
        heard: list[Finding] = []
        probe = Vanishing(gone=(0, 1, 3, 4, 5, 6))
        with seqprobe.attach(
            net, [probe], every=1, held_out=batch, on_finding=heard.append, patience=3
        ) as s:
            train(net, s, batch, 4)
            assert heard == []
            train(net, s, batch, 1)
            assert [finding.rule for finding in heard] == ["gradient-vanished"]
            train(net, s, batch, 1)
        assert len(heard) == 1

    def test_entries_bear_them_too(self, net, batch):
        heard: list[Entry] = []
        with seqprobe.attach(
            net, [Vanishing(gone=(0, 1))], every=1, held_out=batch, loggers=[heard.append],
            patience=2, on_finding=lambda finding: None,
        ) as s:  # fmt: skip
            train(net, s, batch, 2)
        assert [len(entry.findings) for entry in heard] == [0, 1, 0]

    def test_raising_ends_the_training(self, net, batch):
        def stop(finding):
            raise StopIteration(finding.rule)

        with pytest.raises(StopIteration, match="gradient-vanished"):
            seqprobe.attach(
                net, [Vanishing(gone=(0,))], held_out=batch, on_finding=stop, patience=1
            )

    def test_without_anybody_to_tell_they_are_logged(self, net, batch, caplog):
        with caplog.at_level(logging.WARNING, logger="seqprobe"):
            seqprobe.attach(net, [Vanishing(gone=(0,))], held_out=batch, patience=1)
        assert caplog.messages[0].startswith("The gradient does not reach distance 15: 1.0e-09")


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({"probes": ["gradient-decoy"]}, "no probe 'gradient-decoy'.*Did you mean"),
            ({"every": 0}, r"attach\(every=...\): an interval that is no number of updates; got 0"),
            ({"every": {"order": 5}}, "an interval for 'order', which is not among the probes"),
            ({"distance": 32}, "distance is not within the sequences; got distance 32 in "
             "sequences of 32 steps; expected 1 to 31"),
            ({"held_out": torch.zeros(8, 32)}, "held out: not a batch of tokens"),
            ({"held_out": torch.full((8, 32), 8)}, "tokens that the model does not have"),
            ({"patience": 0}, "patience"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_asked(self, net, batch, asked, said):
        with pytest.raises(UsageError, match=said):
            seqprobe.attach(net, **{"probes": ["gradient-decay"], "held_out": batch, **asked})

    def test_a_compiled_model(self, net):
        with pytest.raises(UsageError, match=r"compiled.*attach\(.*first and torch\.compile"):
            seqprobe.attach(torch.compile(net, backend="eager"))
        wrapped = SequenceModel(net)
        net.compile(backend="eager")
        for given in (net, wrapped):
            with pytest.raises(UsageError, match="compiled"):
                seqprobe.attach(given)

    def test_a_model_that_is_split(self, net):
        split = nn.DataParallel(net)
        for given in (split, SequenceModel(split)):
            with pytest.raises(UsageError, match=r"split over devices.*got DataParallel"):
                seqprobe.attach(given)

    def test_probes_of_a_loop_need_one(self):
        with pytest.raises(UsageError, match="'states' sees the passes of a training loop"):
            seqprobe.analyze(zoo.memoryless(), probes=("states",))
