"""Times whose growth is built in: a clock that says what each run cost."""

import numpy as np
import pytest
import torch

from seqprobe.contracts import Carried, Trace
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.throughput import ROUNDS, Throughput
from seqprobe.reference.language_models import build


class Clock:
    """Costs that are known: forward n^power, three times that with backward, some noise."""

    def __init__(self, power, per_token):
        self.power, self.per_token = power, per_token
        self.noise = np.random.default_rng(0)

    def seconds(self, inputs, *, backward=False):
        exact = inputs.shape[1] ** self.power * (3e-3 if backward else 1e-3)
        return exact * self.noise.lognormal(sigma=0.02)

    def carried(self, _inputs):
        return Carried(8, self.per_token, "a clock")

    def trace(self, inputs, _sources=()):
        n = inputs.shape[1]
        return Trace(np.zeros((n, 0)), np.zeros((n, 0)), n, 100 * n, 10 * n, ())

    def ceilings(self):
        return 1e6, 1e5

    def saved(self, _inputs):
        return 1

    def peak(self, _inputs):
        return None

    def parameters(self):
        return 1


@pytest.fixture
def timed(observe):
    def measured(power, per_token=0):
        model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
        probe = Throughput()
        observation = observe(model, probe, range(1), 256)
        object.__setattr__(observation, "costs", Clock(power, per_token))
        return probe.update(observation).compute()

    return measured


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_the_exponent_is_that_of_the_time_per_token(timed, power):
    found = timed(power).metrics["exponent"]
    assert found.value == pytest.approx(power - 1, abs=0.05)
    assert found.low <= power - 1 <= found.high
    assert found.n == ROUNDS


def test_rates_and_utilisation_are_amounts_per_second(timed):
    metrics = timed(1.0).metrics
    assert metrics["tokens_per_second"].value == pytest.approx(1000, rel=0.05)
    assert metrics["training_tokens_per_second"].value == pytest.approx(1000 / 3, rel=0.05)
    assert metrics["flops_utilisation"].value == pytest.approx(0.1, rel=0.05)
    assert metrics["bytes_utilisation"].value == pytest.approx(0.1, rel=0.05)


def test_with_a_state_one_more_token_is_one_step_and_without_everything_again(timed):
    stepwise = timed(1.0).metrics["decoded_tokens_per_second"]
    again = timed(1.0, per_token=4).metrics["decoded_tokens_per_second"]
    assert stepwise.value == pytest.approx(1000, rel=0.05)
    assert again.value == pytest.approx(1000 / 256, rel=0.05)


def test_the_table_has_every_way_with_its_interval(timed):
    (table,) = timed(1.0).series
    assert table.columns[0].name == "length"
    for way in ("forward", "training", "decoding"):
        low, middle, high = (
            np.array(table.column(f"{way}_{part}")) for part in ("low", "seconds", "high")
        )
        assert (low <= middle).all()
        assert (middle <= high).all()


def test_a_real_model_is_timed_on_this_device(show):
    model = SequenceModel(build("gru", vocab_size=8, width=8, layers=1))
    metrics = show(model, Throughput(), sequences=1, time=64).metrics
    assert metrics["tokens_per_second"].value > metrics["training_tokens_per_second"].value > 0
    assert 0 < metrics["flops_utilisation"].value < 1
    assert torch.is_grad_enabled()


def test_work_that_follows_no_law_is_not_estimated(timed, monkeypatch):
    def none_where_short(_self, inputs, _sources=()):
        n = inputs.shape[1]
        return Trace(np.zeros((n, 0)), np.zeros((n, 0)), n, 100 * n * (n > 16), 0, ())

    monkeypatch.setattr(Clock, "trace", none_where_short)
    metrics = timed(1.0).metrics
    assert metrics["flops_utilisation"].value is None
    assert metrics["flops_utilisation"].reason == "what is done over length follows no law"
    assert metrics["bytes_utilisation"].value == 0
