"""Spread of influence against closed forms, and beside untrained models."""

import numpy as np
import pytest

import seqprobe
from seqprobe.models.sequence_model import SequenceModel
from seqprobe.probes.locality import Locality
from seqprobe.probes.position import Position
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build


@pytest.mark.parametrize("lag", [0, 3, 20])
def test_a_lag_oracle_has_all_its_influence_at_its_lag(show, lag):
    model = zoo.lag_oracle(lag) if lag else zoo.memoryless()
    measured = show(model, Locality(50))
    for name in ("mean_distance", "median_distance", "mass90"):
        assert measured.metrics[name].value == pytest.approx(lag, abs=1e-6)
        assert measured.metrics[name].high == pytest.approx(lag, abs=1e-6)
    assert measured.metrics["within_distance"].value == pytest.approx(1)
    columns = (measured.series[0].column(name) for name in ("distance", "within"))
    within = dict(zip(*columns, strict=True))
    assert {d: w for d, w in within.items() if d < lag} == pytest.approx(
        {d: 0 for d in within if d < lag}, abs=1e-9
    )


def test_two_lags_share_the_influence(show):
    """Half of it at distance 2, half at 10, apart from the first steps, which have no such past."""
    model = SequenceModel(_TwoLags(), vocab_size=8)
    metrics = show(model, Locality(50), sequences=100).metrics
    assert metrics["mean_distance"].value == pytest.approx(6, abs=0.4)
    assert metrics["mass90"].value == 10
    assert metrics["mass90"].low == 10


def test_a_model_that_ignores_its_input_has_nothing_to_spread(show):
    model = zoo.memoryless()
    model.module.embedding.weight.data.zero_()
    measured = show(model, Locality(50))
    assert measured.metrics["mean_distance"].value is None
    assert "changes no prediction" in measured.headline


def test_position_and_locality_replace_the_same_tokens_once(observe, monkeypatch):
    model = zoo.window_attention(6)
    observation = observe(model, Position(20), range(12), 64)
    use = Position(20).update(observation).compute()
    monkeypatch.setattr(type(observation.interventions), "continued", None)  # no second time
    spread = Locality(20).update(observation).compute()
    curve = np.array(use.series[0].column("kl_bits"), dtype=float)
    assert spread.metrics["mean_distance"].value == pytest.approx(
        (curve * np.arange(len(curve))).sum() / curve.sum(), rel=1e-6
    )


def test_trained_and_untrained_stand_side_by_side():
    model = SequenceModel(build("lstm", vocab_size=8, width=16, layers=1))
    report = seqprobe.analyze(
        model, data="synthetic:copy", probes=("locality",), length=64, limit=8
    )
    metrics = report["locality"].metrics
    assert {"mean_distance", "mean_distance_untrained", "mean_distance_iid"} <= set(metrics)
    assert {"locality", "locality-untrained", "locality-iid"} <= set(report["locality"].tables)


class _TwoLags(zoo._LagOracle):
    def __init__(self):
        super().__init__(2, 8, 0.1)

    def forward(self, tokens):
        near, far = (zoo._LagOracle(lag, 8, 0.1)(tokens) for lag in (2, 10))
        return near + far
