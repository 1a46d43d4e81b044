"""What goes from call to call, against closed forms, naive twins, and bugs made on purpose."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.diagnosis.case import Case
from seqprobe.diagnosis.diagnose import diagnose
from seqprobe.models.interventions import Interventions
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.carry_over import CarryOver
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

SYMBOLS, WIDTH = 7, 8
COUNTED = ("gain_bits", "gain_steps", "equivalence_error", "washout_rate", "washout_steps")


def table(measured, name):
    found = next(each for each in measured.series if each.id == name)
    return {column.name: np.array(found.column(column.name)) for column in found.columns}


def rules(measured):
    return {finding.rule for finding in diagnose(Case({"carry-over": measured}, 100))}


def test_memoryless_has_nothing_to_carry(show):
    measured = show(zoo.memoryless(), CarryOver())
    gain = measured.metrics["gain_bits"]
    assert (gain.value, gain.low, gain.high, gain.null.value) == (0, 0, 0, 0)
    assert measured.metrics["gain_steps"].value == 0
    assert measured.metrics["washout_steps"].value == 0
    assert measured.metrics["call_leakage"].value == 0
    assert measured.metrics["row_leakage"].value == 0
    assert (table(measured, "carry-over")["mean"] == 0).all()
    assert rules(measured) == set()


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("a", [0.8, 0.5])
def test_a_linear_state_goes_on_and_fades_as_a_to_the_k(show, a):
    measured = show(zoo.carried_rnn(a), CarryOver())
    assert measured.metrics["equivalence_error"].value < 1e-12
    assert "`state`" in measured.headline
    left = table(measured, "carry-over-washout")
    assert left["left"][:12] == pytest.approx(a ** left["distance"][:12], rel=1e-9)
    assert measured.metrics["washout_rate"].value == pytest.approx(-math.log(a), rel=1e-4)
    steps = measured.metrics["washout_steps"]
    assert steps.value == pytest.approx(math.log(1e-3) / math.log(a), rel=1e-6)
    assert steps.null.value == 0
    assert rules(measured) == set()


class AllAtOnce(nn.Module):
    """The same linear recurrence as one matrix product over the chunk."""

    def forward(self, x, state=None):
        lag = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        powers = torch.where(lag >= 0, 0.9 ** lag.clamp(min=0), 0.0)
        states = torch.einsum("ts,bsw->btw", powers, x)
        if state is not None:
            states = states + 0.9 ** torch.arange(1, x.shape[1] + 1)[:, None] * state[:, None]
        return states, states[:, -1]


@pytest.mark.usefixtures("double")
def test_another_order_of_sums_is_the_same_within_rounding(show):
    error = show(SequenceModel(AllAtOnce(), features=4), CarryOver()).metrics["equivalence_error"]
    assert 0 < error.value < 1e-12


@pytest.mark.usefixtures("double")
def test_a_lag_oracle_gains_its_lag(observe):
    """Text that repeats after nine tokens: afresh, eight of them are a surprise of 3 bits."""
    model = zoo.lag_oracle(8)
    tokens = torch.randint(8, (16, 9)).repeat(1, 15)[:, :128]
    observation = observe(model, CarryOver(), range(16), 128)
    text = replace(observation, inputs=tokens, interventions=Interventions(model, tokens))
    measured = CarryOver().update(text).compute()
    gain = 3 + math.log2(0.9125)
    assert measured.metrics["gain_bits"].value == pytest.approx(gain * 8 / 32)
    rows = table(measured, "carry-over")
    assert rows["mean"][:4] == pytest.approx(gain)
    assert (rows["mean"][4:] == 0).all()
    assert measured.metrics["gain_steps"].value == 8
    assert "state-thrown-away" in rules(measured)


@pytest.mark.usefixtures("double")
def test_the_gain_is_that_of_a_naive_twin(observe):
    """Each prediction by itself, once with everything before it and once from the boundary on."""
    module = build("gru", vocab_size=SYMBOLS, width=WIDTH, layers=1).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3)
    model = SequenceModel(module)
    observation = observe(model, CarryOver(), range(8), 24)
    found = table(CarryOver().update(observation).compute(), "carry-over")
    tokens = observation.inputs

    def loss(first, target):
        told = model(tokens[:, first:target])[:, -1].log_softmax(-1)
        return -told.gather(1, tokens[:, target : target + 1]).mean().item() / math.log(2)

    boundaries = (6, 8, 10, 12)
    gains = [np.mean([loss(b, b + j) - loss(0, b + j) for b in boundaries]) for j in range(1, 12)]
    spans = [(0, 1), (1, 2), (2, 4), (4, 8), (8, 11)]
    naive = [np.mean(gains[start:stop]) for start, stop in spans]
    assert found["mean"] == pytest.approx(np.array(naive), rel=1e-9)
    assert abs(naive[0]) > 0.01


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.rnn = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, SYMBOLS)

    def forward(self, tokens, hidden=None):
        states, hidden = self.rnn(self.embedding(tokens), hidden)
        return self.head(states), hidden


def test_an_honest_recurrence_has_no_problem(show):
    measured = show(SequenceModel(Recurrent()), CarryOver())
    assert 0 <= measured.metrics["equivalence_error"].value < 1e-5
    assert not rules(measured) & {"chunks-differ", "call-leakage", "row-leakage"}


class Cached(nn.Module):
    """One layer of attention with learned positions, and keys and values carried on."""

    def __init__(self, offset=True):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, WIDTH)
        self.position = nn.Embedding(512, WIDTH)
        self.offset = offset

    def forward(self, tokens, cache=None):
        before = 0 if cache is None else cache.shape[1]
        time = tokens.shape[1]
        places = torch.arange(time) + (before if self.offset else 0)
        x = self.embedding(tokens) + self.position(places)
        keys = x if cache is None else torch.cat([cache, x], dim=1)
        seen = torch.ones(time, keys.shape[1], dtype=torch.bool).tril(before)
        mixed = nn.functional.scaled_dot_product_attention(x, keys, keys, attn_mask=seen)
        return mixed @ self.embedding.weight.T, keys


def test_a_cache_with_its_offset_equals_one_pass_and_without_it_does_not(show):
    right, wrong = (show(SequenceModel(Cached(offset)), CarryOver()) for offset in (True, False))
    assert right.metrics["equivalence_error"].value < 1e-5
    assert wrong.metrics["equivalence_error"].value > 0.05
    assert "chunks-differ" not in rules(right)
    assert "chunks-differ" in rules(wrong)
    by_chunk = table(wrong, "carry-over-chunks")
    assert by_chunk["tokens"].tolist() == [64, 32, 28, 1, 1, 1, 1]
    assert by_chunk["position"].tolist() == [0, 64, 96, 124, 125, 126, 127]
    assert by_chunk["difference"][0] < 1e-6
    assert (by_chunk["difference"][1:] > 0.01).all()


class LastOne(Recurrent):
    """It cannot be read on token by token."""

    def forward(self, tokens, hidden=None):
        if hidden is not None and tokens.shape[1] == 1:
            raise ValueError("a chunk of one token")
        return super().forward(tokens, hidden)


def test_chunks_that_are_refused_are_quoted(show):
    error = show(SequenceModel(LastOne()), CarryOver()).metrics["equivalence_error"]
    assert error.value is None
    assert "the next chunk cannot be read" in error.reason
    assert "ValueError on inputs of shape (1, 1): a chunk of one token" in error.reason


class Alone(Recurrent):
    """Single tokens are read for one sequence at a time."""

    def forward(self, tokens, hidden=None):
        if tokens.shape[1] == 1 and len(tokens) > 1:
            raise ValueError("too many sequences")
        return super().forward(tokens, hidden)


def test_sequences_are_read_one_by_one_where_they_cannot_be_read_together(show):
    measured = show(SequenceModel(Alone()), CarryOver())
    assert 0 <= measured.metrics["equivalence_error"].value < 1e-5
    assert "Read in chunks" in measured.headline


class Singly(Recurrent):
    """Several tokens begin anew."""

    def forward(self, tokens, hidden=None):
        return super().forward(tokens, hidden if tokens.shape[1] == 1 else None)


def test_what_continues_by_single_tokens_only_is_read_so_and_said_so(show):
    measured = show(SequenceModel(Singly()), CarryOver())
    assert 0 <= measured.metrics["equivalence_error"].value < 1e-5
    assert measured.metrics["chunk_error"].value > 0.01
    assert "Read one token at a time through `hidden`, outputs differ by" in measured.headline
    assert "; read in chunks, by " in measured.headline
    assert "only-single-steps" in rules(measured)
    assert "chunks-differ" not in rules(measured)


class Unasked(Recurrent):
    """It fails when it is asked for its state."""

    def forward(self, tokens, hidden=None, use_cache=False):
        if use_cache:
            raise ValueError("no state of this shape")
        return super().forward(tokens, hidden)


def test_a_state_that_cannot_be_asked_for_is_quoted(show):
    error = show(SequenceModel(Unasked()), CarryOver()).metrics["equivalence_error"]
    assert error.value is None
    assert error.reason.startswith("it cannot be asked for its state: Unasked: the module")
    assert error.reason.endswith("no state of this shape")


class Remembering(Recurrent):
    """The hidden state is left from the last call."""

    left = None

    def forward(self, tokens):
        fits = self.left is not None and self.left[0].shape[1] == len(tokens)
        out, self.left = super().forward(tokens, self.left if fits else None)
        return out


class Mixing(Recurrent):
    """The mean over the batch is taken off."""

    def forward(self, tokens):
        out, _ = super().forward(tokens)
        return out - out.mean(0)


class Placed(Recurrent):
    """Rows are told apart by where they stand in the batch."""

    def forward(self, tokens):
        out, _ = super().forward(tokens)
        return out + torch.arange(len(tokens))[:, None, None]


@pytest.mark.parametrize(
    ("bug", "rule", "why"),
    [
        (Remembering, "call-leakage", "calls leak into each other"),
        (Mixing, "row-leakage", "rows of a batch leak into each other"),
        (Placed, "row-leakage", "rows of a batch leak into each other"),
    ],
)
def test_leaks_are_found_and_nothing_else_is_told(show, bug, rule, why):
    measured = show(SequenceModel(bug()), CarryOver())
    assert measured.metrics[rule.replace("-", "_")].value > 1e-3
    assert rules(measured) == {rule}
    assert {measured.metrics[name].reason for name in COUNTED} == {why}


def test_real_valued_inputs_have_a_washout_and_no_loss(show):
    measured = show(zoo.leaky(0.8), CarryOver())
    assert measured.metrics["washout_rate"].value == pytest.approx(-math.log(0.8), rel=0.02)
    assert "do not predict the next ones" in measured.metrics["gain_bits"].reason
    assert "every call starts empty" in measured.metrics["equivalence_error"].reason
    assert rules(measured) == set()


def test_nothing_is_carried_where_outputs_look_ahead(show):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(SYMBOLS, WIDTH)
            self.rnn = nn.GRU(WIDTH, WIDTH, batch_first=True, bidirectional=True)

        def forward(self, tokens, hidden=None):
            return self.rnn(self.embedding(tokens), hidden)

    measured = show(SequenceModel(Both()), CarryOver())
    assert {measured.metrics[name].reason for name in COUNTED} == {
        "outputs depend on later inputs: there is no past to carry"
    }
    assert measured.metrics["call_leakage"].value == 0
    assert measured.series == ()


def test_batches_do_not_matter(observe):
    model = SequenceModel(Recurrent())
    whole = CarryOver().update(observe(model, CarryOver(), range(9), 32)).compute()
    parts = CarryOver()
    for numbers in (range(6, 9), range(3), range(3, 6)):
        parts = parts.update(observe(model, CarryOver(), numbers, 32))
    for name, estimate in parts.compute().metrics.items():
        if estimate.value:
            assert estimate.value == pytest.approx(whole.metrics[name].value, rel=1e-4)


def test_short_sequences_can_be_measured(show):
    measured = show(SequenceModel(Recurrent()), CarryOver(), time=16, sequences=8)
    assert measured.metrics["equivalence_error"].value < 1e-5


class Whole(nn.Module):
    """It takes sequences of one length, and very short ones."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, SYMBOLS)

    def forward(self, tokens):
        if 12 < tokens.shape[1] != 32:
            raise ValueError("not that length")
        return self.embedding(tokens)


def test_a_model_that_takes_no_halves_has_no_gain(show):
    measured = show(SequenceModel(Whole()), CarryOver(), time=32)
    assert "half a sequence cannot be read" in measured.metrics["gain_bits"].reason
    assert "ValueError on inputs of shape (16, 16): not that length" in measured.headline
    assert measured.metrics["washout_steps"].value == 0


def test_outputs_that_are_never_possible_are_not_apart(show):
    class Never(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(SYMBOLS, SYMBOLS)

        def forward(self, tokens):
            out = self.embedding(tokens)
            return out.where(torch.arange(SYMBOLS) > 0, -torch.inf)

    measured = show(SequenceModel(Never()), CarryOver())
    assert measured.metrics["washout_steps"].value == 0
    assert measured.metrics["call_leakage"].value == 0


def test_a_model_of_few_classes_has_no_loss(show):
    class Classes(Recurrent):
        def forward(self, tokens):
            return super().forward(tokens)[0][..., :3]

    measured = show(SequenceModel(Classes()), CarryOver())
    assert measured.metrics["gain_bits"].reason == (
        "the model gives 3 outputs for 7 tokens: it does not predict them"
    )
    assert measured.metrics["washout_steps"].value > 0


class Late(Recurrent):
    """The state is lost within a chunk: its first output alone is right."""

    def forward(self, tokens, hidden=None):
        out, after = super().forward(tokens, hidden)
        if hidden is not None:
            out[:, 1:] += 1
        return out, after


def test_the_largest_difference_of_a_chunk_counts(show):
    by_chunk = table(show(SequenceModel(Late()), CarryOver()), "carry-over-chunks")
    assert (by_chunk["difference"] > 0.1).tolist() == [False, True, True] + [False] * 4
