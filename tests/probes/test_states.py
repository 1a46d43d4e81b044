"""Norms of states and gates in a loop's own passes, against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.states import States
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build

TIME = 64


def tokens(batch=8, time=TIME):
    return torch.randint(8, (batch, time))


@pytest.fixture
def measured(show_training):
    return lambda model, *batches: show_training(model, States(10), *batches)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("a", [0.5, 0.99, 1.05])
def test_states_of_a_leaky_integrator_grow_as_its_sum(measured, a):
    """Of ones: 1 + a + .. + a^t at step t; the root mean square over a quarter."""
    found = measured(zoo.leaky(a), torch.ones(8, TIME, 4))
    sums = np.cumsum(a ** np.arange(TIME))
    quarters = [math.sqrt((part**2).mean()) for part in (sums[:16], sums[-16:])]
    growth = found.metrics["norm_growth"]
    assert growth.value == pytest.approx(quarters[1] / quarters[0])
    assert (growth.low, growth.high) == pytest.approx((growth.value, growth.value))
    assert found.series[0].column("norm") == pytest.approx(2 * sums)
    assert found.series[0].column("position") == list(range(TIME))
    assert set(found.series[0].column("site")) == {"memory"}
    assert "saturated_gates" not in found.metrics


def test_states_without_memory_stay_as_they_are(measured):
    growth = measured(zoo.memoryless(), tokens(32)).metrics["norm_growth"]
    assert growth.low < growth.null.value == 1 < growth.high
    assert growth.n == 32


@pytest.mark.parametrize(("bias", "share"), [(0.0, 0.0), (4.5, 0.0), (4.7, 1.0), (-4.7, 1.0)])
def test_gates_are_saturated_within_a_hundredth(measured, bias, share):
    """sigmoid(4.6) = 0.990."""
    found = measured(zoo.constant_gate_lstm(bias), tokens())
    saturated = found.metrics["saturated_gates"]
    assert (saturated.low, saturated.value, saturated.high) == (share, share, share)
    assert saturated.n == 1
    assert saturated.null.value == 0
    assert found.metrics["norm_growth"].reason.startswith("states are zero, NaN or infinite")


def test_a_constant_gate_keeps_for_its_time_constant(measured):
    found = measured(zoo.constant_gate_lstm(2.0), tokens())
    kept = found.metrics["gate_time_constant"]
    assert kept.value == pytest.approx(math.log1p(math.exp(-2.0)) ** -1, abs=0.5)
    assert kept.low is None
    assert kept.reason == "1 sequences are too few for an interval"
    assert [table.id for table in found.series] == ["states", "states-gates"]


def test_the_share_is_that_of_the_units(measured):
    model = zoo.constant_gate_lstm(0.0, width=4)
    model.module.memory.bias_ih_l0.data[4:7] = torch.tensor([9.0, -9.0, 9.0])
    saturated = measured(model, tokens()).metrics["saturated_gates"]
    assert (saturated.low, saturated.value) == (0.75, 0.75)


def test_the_interval_over_stretches_becomes_one_over_sequences(measured):
    """Gates that open with the input: one sequence tells less than ten."""
    model = zoo.constant_gate_lstm(0.0)
    model.module.embedding.weight.data = torch.randn(8, 4)
    model.module.memory.weight_ih_l0.data[4:8] = 4 * torch.randn(4, 4)
    truth = measured(model, *(tokens(1, 512) for _ in range(20))).metrics["saturated_gates"]
    assert truth.n == 20
    few = measured(model, tokens(4)).metrics["saturated_gates"]
    assert few.n == 1
    assert few.low < truth.value < few.high
    assert truth.high - truth.low < few.high - few.low


def test_stretches_hold_the_truth_as_often_as_they_say(measured):
    """Of a random LSTM whose gates follow its input, forty sequences one by one."""
    torch.manual_seed(5)
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    model.module.rnn.weight_ih_l0.data *= 12
    truth = measured(model, tokens(1, 20000)).metrics["saturated_gates"].value
    assert 0.1 < truth < 0.9
    found = [measured(model, tokens(1, 256)).metrics["saturated_gates"] for _ in range(40)]
    assert sum(each.low <= truth <= each.high for each in found) >= 34


def test_forwards_may_be_of_different_lengths(measured):
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=2))
    found = measured(model, tokens(5, 40), tokens(4, 24), tokens(3, 7))
    assert found.metrics["norm_growth"].n == 12
    assert found.metrics["saturated_gates"].n == 3
    assert found.series[0].column("position")[-1] == 39
    assert set(found.series[0].column("site")) == {"rnn"}


def test_what_is_not_finite_is_not_estimable(measured):
    model = SequenceModel(build("lstm", vocab_size=8, width=8, layers=1))
    model.module.rnn.bias_ih_l0.data[8] = torch.nan
    found = measured(model, tokens())
    assert found.metrics["norm_growth"].value is None
    assert found.metrics["saturated_gates"].value is None
    assert found.headline.startswith("States are zero, NaN or infinite")


def test_without_states_there_is_nothing(train):
    probe = States()
    (seen,) = train(zoo.memoryless(), probe, tokens())
    with pytest.raises(NotApplicable, match="no module that gives a state per step was found"):
        probe.update(replace(seen, state_norms={"embedding": torch.ones(8, TIME)}))
    unseen = probe.update(replace(seen, unseen={"layers": "compiled", "heads": "compiled"}))
    assert unseen.compute().warnings == ("layers: compiled",)
