"""Lyapunov exponents and singular values against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from seqprobe.contracts import Measurement, Series
from seqprobe.errors import NotApplicable
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes import jacobian_spectrum
from seqprobe.probes.jacobian_spectrum import JacobianSpectrum
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.reference.zoo import Stack


def table(measurement: Measurement, id: str = "jacobian-spectrum") -> Series:
    return next(series for series in measurement.series if series.id == id)


def exponents(measurement: Measurement) -> list[float | None]:
    """At the end, by index."""
    found = table(measurement, "jacobian-spectrum-convergence")
    last = max(found.column("length"))
    rows = zip(found.column("length"), found.column("exponent"), strict=True)
    return [value for length, value in rows if length == last]


def linear_rnn(matrix: list[list[float]]) -> SequenceModel:
    """h_t = W h_{t-1} + x_t: a ReLU that is held far above zero."""
    weight = torch.tensor(matrix)
    width = len(weight)
    rnn = nn.RNN(width, width, nonlinearity="relu", batch_first=True)
    rnn.load_state_dict(
        {
            "weight_hh_l0": weight,
            "weight_ih_l0": torch.eye(width),
            "bias_ih_l0": torch.full((width,), 9.0),
            "bias_hh_l0": torch.zeros(width),
        }
    )
    return SequenceModel(Stack(nn.Embedding(8, width), rnn, nn.Linear(width, 8)))


@pytest.mark.usefixtures("double")
class TestClosedForms:
    @pytest.mark.parametrize("b", [0.0, 2.0])
    def test_constant_gate_lstm_keeps_its_cell_and_nothing_else(self, show, b):
        """A published code leaves the cell state out and finds minus infinity only."""
        measured = show(zoo.constant_gate_lstm(b), JacobianSpectrum(20), sequences=8, time=64)
        gate = -math.log1p(math.exp(-b))
        found = exponents(measured)
        assert len(found) == 8
        assert np.allclose(found[:4], gate, rtol=1e-12)
        assert found[4:] == [None] * 4
        assert measured.metrics["lyapunov_max"].value == pytest.approx(gate, rel=1e-12)
        assert measured.metrics["time_constant"].value == pytest.approx(-1 / gate, rel=1e-12)

    def test_orthogonal_rnn_neither_grows_nor_fades(self, show):
        measured = show(zoo.orthogonal_rnn(), JacobianSpectrum(20), sequences=8, time=64)
        assert np.abs(exponents(measured)).max() < 1e-12
        assert np.allclose(table(measured).column("largest"), 1, atol=1e-12)
        assert np.allclose(table(measured).column("rank"), 16)
        assert measured.metrics["time_constant"].value is None
        assert measured.metrics["transient_growth"].value == pytest.approx(1)

    def test_growth_for_a_while_stands_beside_decay_for_ever(self, show):
        """[[.9, 5], [0, .9]]: the 16-step product is 13 times as large as .9^16."""
        matrix = [[0.9, 5.0], [0.0, 0.9]]
        measured = show(linear_rnn(matrix), JacobianSpectrum(20), sequences=8, time=512)
        found = table(measured)
        for row, k in enumerate(found.column("distance")):
            truth = np.linalg.norm(np.linalg.matrix_power(np.array(matrix), k), 2)
            assert found.column("largest")[row] == pytest.approx(truth, rel=1e-9)
        growth = measured.metrics["transient_growth"].value
        assert growth == pytest.approx(max(found.column("largest")))
        assert growth > 15
        assert measured.metrics["lyapunov_max"].value == pytest.approx(math.log(0.9), abs=0.015)

    def test_what_is_annihilated_has_no_exponent(self, show):
        """A state that is handed on once, and then gone."""
        measured = show(linear_rnn([[0.0, 1.0], [0.0, 0.0]]), JacobianSpectrum(20), sequences=8)
        assert measured.metrics["lyapunov_max"].value is None
        assert "every direction is annihilated" in measured.metrics["lyapunov_max"].reason
        assert measured.metrics["time_constant"].value == 0
        assert measured.metrics["effective_rank"].value == 0

    def test_a_model_without_memory_shows_nothing(self, show):
        measured = show(zoo.memoryless(), JacobianSpectrum(20), sequences=8)
        assert set(table(measured).column("largest")[1:]) == {0}
        assert measured.metrics["effective_rank"].value == 0
        assert measured.metrics["primacy"].reason == "most earlier inputs have no influence at all"

    def test_the_sum_of_all_exponents_is_the_mean_log_determinant(self, show, observe):
        model = SequenceModel(build("gru", vocab_size=8, width=6, layers=2).double())
        probe = JacobianSpectrum(20)
        measured = show(model, probe, sequences=8, time=64)
        recurrence = observe(model, probe, range(8), 64).recurrence
        sums = []
        for sample in range(8):
            jacobians = recurrence.jacobians(slice(16, 64), sample)
            sums.append(float(torch.linalg.slogdet(jacobians).logabsdet.mean()))
        assert sum(exponents(measured)) == pytest.approx(np.mean(sums), rel=1e-9)

    def test_uniform_attention_spreads_evenly(self, show):
        measured = show(zoo.uniform_attention(), JacobianSpectrum(20), sequences=8, time=64)
        found = table(measured)
        assert np.allclose(found.column("largest"), 1 / 64)
        assert np.allclose(found.column("rank"), 8)
        assert measured.metrics["primacy"].value == pytest.approx(1)

    def test_depth_without_residuals_favours_the_first_position(self, show):
        """Four averaging layers: the first position carries 19 % of the last output's weight."""
        measured = show(zoo.uniform_attention(3), JacobianSpectrum(20), sequences=8, time=64)
        first = table(measured).column("largest")[-1]
        assert first == pytest.approx(0.19, abs=0.005)
        own = table(measured).column("largest")[0]
        assert own == pytest.approx(64.0**-3, rel=1e-9)
        assert measured.metrics["primacy"].value > 3


def test_singular_values_equal_those_of_the_product(show, observe):
    model = SequenceModel(build("lstm", vocab_size=8, width=6, layers=2).double())
    probe = JacobianSpectrum(20)
    measured = show(model, probe, sequences=8, time=32)
    recurrence = observe(model, probe, range(8), 32).recurrence
    products = []
    for sample in range(8):
        product = torch.eye(recurrence.width, dtype=torch.float64)
        for jacobian in recurrence.jacobians(slice(8, 16), sample):
            product = jacobian @ product
        products.append(torch.linalg.svdvals(product)[0].log().item())
    row = table(measured).column("distance").index(8)
    assert table(measured).column("largest")[row] == pytest.approx(math.exp(np.mean(products)))


def test_more_sequences_narrow_the_interval(show):
    model = SequenceModel(build("gru", vocab_size=8, width=16, layers=1))
    few, many = (show(model, JacobianSpectrum(20), sequences=n, time=64) for n in (8, 64))
    widths = [m.metrics["lyapunov_max"].high - m.metrics["lyapunov_max"].low for m in (few, many)]
    assert 0 < widths[1] < widths[0]


def test_the_exponents_settle(show):
    model = SequenceModel(build("gru", vocab_size=8, width=16, layers=1))
    measured = show(model, JacobianSpectrum(20), sequences=8, time=128)
    found = table(measured, "jacobian-spectrum-convergence")
    first = [
        (length, low, high)
        for length, index, low, high in zip(
            *(found.column(name) for name in ("length", "index", "low", "high")), strict=True
        )
        if index == 1
    ]
    assert [length for length, _, _ in first] == [24, 48, 72, 96]
    assert all(low < high for _, low, high in first)


def test_a_state_that_is_too_wide_keeps_its_exponents(show, monkeypatch):
    monkeypatch.setattr("seqprobe.probes.jacobian_spectrum.WIDEST", 10)
    model = SequenceModel(build("gru", vocab_size=8, width=16, layers=1))
    measured = show(model, JacobianSpectrum(20), sequences=8, time=64)
    assert "effective_rank" not in measured.metrics
    assert measured.metrics["lyapunov_max"].value is not None
    assert measured.warnings == ("singular values are left out: a state has more than 10 numbers",)


def test_without_states_per_step_there_is_no_jacobian_of_them(show):
    with pytest.raises(NotApplicable, match="no states per step are known"):
        show(zoo.carried_rnn(0.9), JacobianSpectrum(20), sequences=8, time=64)


def test_half_precision_has_singular_values_too(show):
    model = SequenceModel(zoo.uniform_attention().module.bfloat16())
    measured = show(model, JacobianSpectrum(20), sequences=8, time=32)
    assert measured.metrics["effective_rank"].value is not None


def test_the_median_position_is_one_of_all_and_not_of_those_that_were_measured(show):
    """(k + 1) (k + 2) / 2 at distance k: 2080 at the first of 64 positions, 528 in the middle."""
    measured = show(zoo.leaky(1.0, layers=3), JacobianSpectrum(20), sequences=8, time=64)
    assert measured.metrics["primacy"].value == pytest.approx(2080 / 528, rel=0.1)


class TestWideStates:
    """Above 256 numbers norms come from random rows."""

    @pytest.mark.usefixtures("double")
    def test_a_scaled_identity_has_its_norm_exactly(self, show):
        """Each layer of uniform attention passes I / t on: the norm over 300 numbers."""
        measured = show(zoo.uniform_attention(symbols=300), JacobianSpectrum(20), sequences=8)
        found = table(measured)
        assert "largest" not in [column.name for column in found.columns]
        truth = math.sqrt(300) / (found.column("distance")[-1] + 1)
        np.testing.assert_allclose(found.column("norm"), truth, rtol=1e-12)
        assert measured.metrics["primacy"].value == pytest.approx(1)
        assert measured.metrics["effective_rank"].reason == "the state has more than 256 numbers"
        assert measured.headline.startswith("The first position acts 1 times")

    def test_random_rows_give_the_norm_of_all(self, show, monkeypatch):
        """Of a state of 48 numbers, seen in both ways: the logarithm is off by a few percent."""
        model = SequenceModel(build("attention", vocab_size=8, width=48, layers=2, heads=2))
        whole = table(show(model, JacobianSpectrum(20), sequences=8)).column("norm")
        monkeypatch.setattr(jacobian_spectrum, "MOST_ROWS", 47)
        rows = table(show(model, JacobianSpectrum(20), sequences=8)).column("norm")
        np.testing.assert_allclose(rows, whole, rtol=0.15)
        assert rows != whole
