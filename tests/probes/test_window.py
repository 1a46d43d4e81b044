"""Lengths that end a model, against closed forms, naive twins and the model's own words."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.checkpoints.load import Given, load
from seqprobe.contracts import Attempt
from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.evidence import refused
from seqprobe.probes.window import Window
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.runner.plan import plan
from seqprobe.runner.run import run
from seqprobe.sequences.streams import SampledStream


def table(measured, name="window"):
    return next(each for each in measured.series if each.id == name)


def rules(measured, distance=100):
    return {finding.rule for finding in diagnose(Case({"window": measured}, distance))}


@pytest.mark.parametrize(("window", "layers"), [(2, 1), (5, 1), (5, 2), (9, 3), (33, 4)])
def test_window_attention_reaches_layers_times_window_less_one(show, window, layers):
    measured = show(zoo.window_attention(window, layers), Window(), time=64)
    reach = layers * (window - 1)
    assert measured.metrics["reach"].value == reach
    assert measured.metrics["hard_limit"].value == reach + 2
    assert measured.metrics["reach"].exact
    assert measured.metrics["refused_length"].value is None
    weight = window**-layers
    assert ("then is cut off" in measured.headline) == (weight > 1e-5)
    changes = table(measured, "window-reach")
    zero = [change == 0 for change in changes.column("change")]
    assert zero == [distance > reach for distance in changes.column("distance")]


def test_the_hard_limit_is_the_first_length_that_fails_when_each_is_tried():
    """One run per length: the oldest token is replaced by every other one."""
    model = zoo.window_attention(4, 2, symbols=5)
    tokens = torch.randint(5, (3, 20))

    def arrives(length):
        others = [torch.cat([(tokens[:, :1] + k) % 5, tokens[:, 1:length]], 1) for k in range(1, 5)]
        plain = model(tokens[:, :length])[:, -1]
        return any(not torch.equal(model(other)[:, -1], plain) for other in others)

    assert [arrives(length) for length in (5, 6, 7, 8, 9, 20)] == [True] * 3 + [False] * 3


def test_the_twin_and_the_probe_agree(show):
    assert show(zoo.window_attention(4, 2, symbols=5), Window()).metrics["hard_limit"].value == 8


@pytest.mark.parametrize("context", [33, 40, 63, 64, 65, 100, 127])
def test_learned_positions_end_at_the_first_length_beyond_them(show, context):
    model = SequenceModel(build("attention", vocab_size=7, width=8, layers=1, context=context))
    measured = show(model, Window(), time=32, sequences=8)
    said = f"IndexError: sequence of {context + 1} tokens exceeds the {context} learned positions"
    assert measured.metrics["hard_limit"].value == context + 1
    assert said in measured.headline
    lengths = table(measured, "window-lengths")
    assert said in lengths.column("error")
    assert lengths.column("works") == [length <= context for length in lengths.column("length")]
    known = measured.metrics["extrapolation_ratio"]
    assert (known.value is None) == (context < 64)
    assert context >= 64 or f"takes no 64 tokens: {said[:10]}" in known.reason
    assert "length-refused" in rules(measured, 10)


def test_lack_of_memory_is_no_limit():
    def attempt(length):
        return Attempt(length, out_of_memory=length > 48)

    evidence = refused.as_evidence(refused.tried(attempt, 32))
    limit, error = refused.first_refused(evidence)
    assert (limit.value, limit.low, error) == (None, 32, "")
    assert limit.reason == "memory runs out at 64 tokens, which tells nothing"


def test_memory_that_runs_out_below_a_refused_length_leaves_it_open():
    def attempt(length):
        return Attempt(length, "no" if length > 60 else "", out_of_memory=50 < length <= 60)

    limit, _ = refused.first_refused(refused.as_evidence(refused.tried(attempt, 32)))
    assert limit.value is None
    assert limit.low == 50


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("a", [0.5, 0.8])
def test_a_fading_memory_is_lost_to_rounding(show, a):
    """a^k falls below 16 units in the last place of the largest output, and then below one."""
    measured = show(zoo.leaky(a), Window())
    eps = np.finfo(float).eps
    above, reach = (measured.metrics[name].value for name in ("reach_above_rounding", "reach"))
    assert above == pytest.approx(np.log(16 * eps) / np.log(a), abs=4 / -np.log(a))
    assert above < reach < np.log(eps / 1e4) / np.log(a)
    assert "no more than rounding does" in measured.headline
    assert "do not predict the next ones" in measured.metrics["extrapolation_ratio"].reason


def test_memoryless_reaches_nothing_and_loses_nothing(show):
    measured = show(zoo.memoryless(), Window())
    assert measured.metrics["reach"].value == 0
    ratio = measured.metrics["extrapolation_ratio"]
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1, 1, 1), abs=1e-6)
    assert (ratio.null.value, ratio.null.low) == pytest.approx((1, 1), abs=1e-6)
    assert "harmful-beyond-trained" not in rules(measured)


class Lost(nn.Module):
    """The last token comes again, it knows; beyond a length it knows nothing."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def forward(self, tokens):
        sure = nn.functional.one_hot(tokens, 4) * 3.0
        sure[:, self.length :] = 0
        return sure


def test_a_model_lost_beyond_its_length_loses_two_bits_there(observe):
    model = SequenceModel(Lost(64), vocab_size=4)
    observation = observe(model, Window(), range(16), 64)
    tokens = torch.zeros(16, 256, dtype=torch.long) + torch.arange(16)[:, None] % 4
    measured = Window().update(replace(observation, longer=lambda n: tokens[:, :n])).compute()
    known = np.log2(np.exp(3) + 3) - 3 / np.log(2)
    ratio = measured.metrics["extrapolation_ratio"]
    assert ratio.value == pytest.approx(2 / known, rel=1e-6)
    assert ratio.null.value == pytest.approx(1)
    assert "harmful-beyond-trained" in rules(measured, 1)
    losses = table(measured)
    for last, loss in zip(losses.column("last"), losses.column("mean"), strict=True):
        assert loss == pytest.approx(known if last <= 64 else 2)


@pytest.mark.usefixtures("double")
def test_the_ratio_is_that_of_a_naive_twin(observe):
    """Each target by itself: everything before it, or as much as fits the trained length."""
    module = build("attention", vocab_size=7, width=8, layers=1, context=128).double()
    for table_ in (module.embedding, module.position):
        nn.init.normal_(table_.weight, std=2.0)
    model = SequenceModel(module)
    model.trained_length = 16
    observation = observe(model, Window(), range(8), 32)
    measured = Window().update(observation).compute()
    tokens = observation.longer(128)

    def loss(first, target):
        told = model(tokens[:, first:target])[:, -1].log_softmax(-1)
        return -told.gather(1, tokens[:, target : target + 1]).mean().item()

    def ratio(most):
        half = most // 2
        pairs = [(start, target) for start in (half, most)
                 for target in range(start + half + 1, start + most)]  # fmt: skip
        return sum(loss(0, t) for _, t in pairs) / sum(loss(s, t) for s, t in pairs)

    found = measured.metrics["extrapolation_ratio"]
    assert found.value == pytest.approx(ratio(16), rel=1e-9)
    assert found.null.value == pytest.approx(ratio(8), rel=1e-9)
    assert abs(found.value - 1) > 0.02
    assert measured.metrics["trained_length"].value == 16


def test_a_source_that_ends_is_said(observe):
    observation = replace(observe(zoo.memoryless(), Window(), range(8), 32), longest=32)
    measured = Window().update(observation).compute()
    assert measured.metrics["extrapolation_ratio"].reason == (
        "sequences of this source end after 32 tokens; give longer text as --data"
    )
    assert table(measured).column("last")[-1] == 31


def test_text_of_the_model_itself_ends_where_it_was_announced():
    model = zoo.memoryless()
    text = SampledStream(model, 8, sequences=8, length=32)
    result = run(model, plan([Window()], 32, 8), {"data": text}, torch.arange(8), print)
    (outcome,) = result.outcomes
    assert "sequences of this source end after 32" in outcome.measurement.headline


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 7)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


def test_a_model_that_looks_ahead_has_neither_reach_nor_loss(show):
    measured = show(SequenceModel(Both()), Window(), time=32, sequences=8)
    assert measured.metrics["reach"].value is None
    assert "later inputs" in measured.metrics["reach"].reason
    assert "next token" in measured.metrics["extrapolation_ratio"].reason
    assert measured.metrics["hard_limit"].low == 128


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 7)

    def forward(self, tokens):
        out = self.embedding(tokens)
        return out + torch.randn_like(out) * (tokens.shape[1] > 40)


def test_outputs_that_change_by_themselves_show_no_reach(show):
    measured = show(SequenceModel(Noisy()), Window(), time=32, sequences=8)
    assert measured.metrics["reach"].reason == "the same inputs give other outputs when read again"


def test_batches_do_not_matter(observe):
    model = SequenceModel(build("gru", vocab_size=7, width=8, layers=1))
    whole = Window().update(observe(model, Window(), range(9), 32)).compute()
    parts = Window()
    for numbers in (range(6, 9), range(3), range(3, 6)):
        parts = parts.update(observe(model, Window(), numbers, 32))
    for name, estimate in parts.compute().metrics.items():
        if estimate.value is not None:
            assert estimate.value == pytest.approx(whole.metrics[name].value, rel=1e-5)


def test_the_trained_length_stands_in_a_checkpoint():
    assert load("data/seqprobe_data/checkpoints/lstm.pt", Given()).model.trained_length == 256


class Overflowing(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 7)

    def forward(self, tokens):
        out = self.embedding(tokens)
        return out.where(torch.arange(tokens.shape[1])[:, None] < 70, torch.nan)


def test_where_outputs_are_no_numbers_is_said(show):
    measured = show(SequenceModel(Overflowing()), Window(), time=32, sequences=8)
    known = measured.metrics["extrapolation_ratio"]
    assert known.reason == "the loss is not finite at position 71"


class Fixed(nn.Module):
    """It takes sequences of 32, 64 and 128 tokens, and short ones."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 7)

    def forward(self, tokens):
        if tokens.shape[1] not in (*range(13), 32, 64, 128):
            raise ValueError(f"not {tokens.shape[1]}")
        return self.embedding(tokens)


def test_a_model_of_few_lengths_has_no_null(show):
    ratio = show(SequenceModel(Fixed()), Window(), time=32).metrics["extrapolation_ratio"]
    assert ratio.value == pytest.approx(1)
    assert ratio.null.value is None
