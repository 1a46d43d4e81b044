"""How much of the past a prediction needs, against processes that say it themselves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqprobe.errors import NotApplicable
from seqprobe.estimators.effects import surprisal_bits
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.context import ALLOWED, Context
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

HIGH, LOW = 0.9125, 0.0125  # of eight symbols, with one tenth of noise
ENTROPY = -HIGH * math.log2(HIGH) - 7 * LOW * math.log2(LOW)


def column(measured, name, table=0):
    return np.array(measured.series[table].column(name), dtype=float)


def values(measured, *names):
    return [measured.metrics[name].value for name in names]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("period", [2, 5, 12, 40])
def test_a_process_that_repeats_needs_its_period(observe, period):
    """Each symbol is the one a period before with probability 1 - epsilon: known by hand."""
    probe = Context(period)
    observation = observe(zoo.lag_oracle(period - 1), probe, range(24), 128, written=True)
    measured = probe.update(observation).compute()
    needed = measured.metrics["effective_length"]
    assert (needed.low, needed.value, needed.high) == (period, period, period)
    assert measured.metrics["effective_length_kl"].value == period
    lengths = column(measured, "length")
    truth = np.where(lengths < period, 3 - ENTROPY, 0.0)
    assert column(measured, "kl_bits") == pytest.approx(truth, abs=1e-12)
    assert column(measured, "loss_bits") == pytest.approx(truth, abs=0.6)
    worth = measured.metrics["bits_from_context"]
    assert worth.low < 3 - ENTROPY < worth.high
    assert measured.metrics["loss_at_distance"].value == 0


def test_the_published_entropy_of_the_oracle():
    assert pytest.approx(0.674, abs=5e-4) == ENTROPY


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_markov_model_needs_its_order(observe, order):
    probe = Context(20)
    observation = observe(zoo.markov(order), probe, range(24), 96, written=True)
    measured = probe.update(observation).compute()
    assert values(measured, "effective_length", "effective_length_kl") == [order, order]
    assert (column(measured, "kl_bits")[: order - 1] > 0.1).all()
    assert (column(measured, "top_changed")[order - 1 :] == 0).all()


def test_memoryless_needs_the_present_alone(show):
    measured = show(zoo.memoryless(), Context(20))
    assert values(measured, "effective_length", "effective_length_kl") == [1, 1]
    rest = ("bits_from_context", "loss_at_distance", "kl_at_distance", "copied_at_distance")
    assert values(measured, *rest) == [0, 0, 0, 0]
    assert (column(measured, "kl_bits") == 0).all()
    assert "the present token is as good as all" in measured.headline
    assert "not copied" in measured.headline


def gru(symbols=5):
    model = SequenceModel(build("gru", vocab_size=symbols, width=6, layers=1).double())
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(3)
    return model


@pytest.mark.usefixtures("double")
def test_equals_a_naive_twin(observe):
    """One target at a time, its last tokens alone; and loss means what it says."""
    model, probe = gru(), Context(3, exact=True)
    observation = observe(model, probe, range(8), 32)
    evidence = probe.update(observation).rows()
    for sequence, tokens in enumerate(observation.inputs):
        steps = probe.random(sequence).integers(15, 31, 4)
        for length in (1, 2, 9, 16):
            changes = []
            for step in steps:
                short = model(tokens[None, step - length + 1 : step + 1])[0, -1]
                full = model(tokens[None, : step + 1])[0, -1]
                told = (full.log_softmax(0) - short.log_softmax(0)) / math.log(2)
                changes.append(
                    [told[tokens[step + 1]].item(), (told * full.softmax(0)).sum().item()]
                )
            found = evidence["kept"][sequence, length - 1, :2]
            assert found == pytest.approx(np.mean(changes, axis=0), abs=1e-12)
    assert evidence["null"][:, :2] == pytest.approx(0, abs=1e-12)


@pytest.mark.usefixtures("double")
def test_on_its_own_text_the_loss_changes_by_the_divergence(observe):
    """An identity: the mean of log p(x)/q(x) over draws from p is the divergence."""
    probe = Context(3)
    measured = probe.update(observe(gru(), probe, range(400), 32, written=True)).compute()
    kl, low, high = (column(measured, name) for name in ("kl_bits", "low", "high"))
    assert kl[0] > 0.05
    assert ((low <= kl) & (kl <= high)).mean() > 0.8


def test_the_grid_holds_what_is_asked_for_and_exact_holds_all(observe):
    observation = observe(zoo.memoryless(), Context(45), range(8), 200)
    lengths = column(Context(45).update(observation).compute(), "length")
    assert {*range(1, 9), 45, 46, 100} <= {*lengths}
    assert len(lengths) < 30
    exact = column(Context(45, exact=True).update(observation).compute(), "length")
    assert exact.tolist() == list(range(1, 101))


def test_results_do_not_depend_on_the_batches(observe):
    probe, model = Context(5), zoo.lag_oracle(5)
    whole = probe.update(observe(model, probe, range(12), 64)).compute()
    parts = probe.update(observe(model, probe, range(5, 12), 64))
    parts = parts.update(observe(model, probe, range(5), 64))
    assert parts.compute() == whole


def test_a_context_that_is_never_enough(observe):
    probe = Context(20)
    observation = observe(zoo.lag_oracle(40), probe, range(16), 64, written=True)
    measured = probe.update(observation).compute()
    needed = measured.metrics["effective_length"]
    assert (needed.value, needed.low, needed.high) == (None, 32, None)
    assert needed.reason == "even the last 32 tokens do not predict like all of them"
    assert needed.reason in measured.headline
    far = Context(50).update(observation).compute().metrics["loss_at_distance"]
    assert far.reason == "50 tokens were not measured; 32 were the most"


def test_outputs_that_are_no_tokens_have_a_divergence_alone(observe):
    model = SequenceModel(
        zoo.Stack(torch.nn.Embedding(8, 4), torch.nn.GRU(4, 4, batch_first=True),
                  torch.nn.Linear(4, 3))
    )  # fmt: skip
    measured = Context(5).update(observe(model, Context(5), range(16), 64)).compute()
    known, unknown = measured.metrics["effective_length_kl"], measured.metrics["effective_length"]
    assert known.value is not None
    assert unknown.reason == "the outputs do not predict the inputs"
    assert measured.metrics["copied_bits"].value is None
    assert "KL divergence alone" in measured.headline


def test_a_model_that_looks_ahead_is_refused(observe):
    observation = observe(zoo.memoryless(), Context(5), range(8), 64)
    with pytest.raises(NotApplicable, match="looks ahead: a prediction without its past"):
        Context(5).update(replace(observation, causal=False))


def test_a_loss_without_bounds_is_said_to_be_unknown(observe):
    """An oracle that is sure: what it thinks impossible costs infinitely many bits."""
    probe = Context(8)
    observation = observe(zoo.lag_oracle(7, epsilon=0.0), probe, range(16), 64, written=True)
    measured = probe.update(observation).compute()
    assert values(measured, "effective_length", "effective_length_kl") == [8, 8]
    assert measured.metrics["bits_from_context"].value == pytest.approx(3)
    assert measured.metrics["copied_bits"].reason == "the value is not finite"


@pytest.mark.usefixtures("double")
def test_what_a_copy_gains_is_known(show):
    """The oracle names the copy at its lag; another piece misleads it but for lucky hits."""
    measured = show(zoo.lag_oracle(24), Context(24), sequences=200)
    gained = measured.metrics["copied_at_distance"]
    assert gained.low < 7 / 8 * math.log2(HIGH / LOW) < gained.high
    assert gained.high - gained.low < 0.4
    there = column(measured, "distance", 1).tolist().index(24)
    assert column(measured, "accuracy", 1)[there] == 1
    null = gained.null
    assert null is not None
    assert null.low < 0 < null.high
    elsewhere = np.delete(column(measured, "gained_bits", 1), there)
    assert len(elsewhere) == 2
    assert elsewhere[0] == 0  # 8 steps back there is nothing of the first piece at the lag
    assert abs(elsewhere[1]) < 0.3


@pytest.mark.usefixtures("double")
def test_copies_equal_a_naive_twin(observe):
    """Losses of the second piece, one token after the other."""
    model, probe = zoo.lag_oracle(9), Context(9)
    observation = observe(model, probe, range(8), 64)
    evidence = probe.update(observation).rows()
    for sequence in range(8):
        generator = probe.random(sequence)
        generator.integers(31, 63, 4)  # the targets of the context
        generator.integers(8, size=3 * 9 + 0)  # what is copied over 8 steps
        drawn = torch.from_numpy(generator.integers(8, size=3 * 10 + 0))
        piece, others = drawn[:10], (drawn[:10], drawn[10:20], drawn[20:30])
        outputs = [model(torch.cat([first, piece])[None])[0, 10:-1] for first in others]
        losses = [surprisal_bits(each, piece[1:]).mean().item() for each in outputs]
        index = evidence["copy distance"][0].tolist().index(9)
        assert evidence["copy"][sequence, index, :3] == pytest.approx(losses)


def test_one_percent_of_perplexity():
    assert pytest.approx(1.01) == 2**ALLOWED
