"""The gradient of the loss by position, from norms that are known."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from seqprobe.contracts import Observation
from seqprobe.errors import NotApplicable
from seqprobe.estimators.log_means import geometric_mean, share_interval
from seqprobe.probes.loss_gradient import LossGradient


def seen(gradients: Tensor, first: int = 0, site: str = "embedding") -> Observation:
    batch, time = gradients.shape
    return Observation(
        sequences=range(first, first + batch),
        inputs=torch.zeros(batch, time, dtype=torch.long),
        outputs=torch.empty(batch, time, 0),
        loss_gradients={site: gradients},
    )


def fading(batch: int, time: int, rate: float = 0.5) -> Tensor:
    """Sequences that differ in size only: `rate` per step back from the end."""
    sizes = torch.exp(torch.linspace(-1, 1, batch))
    return sizes[:, None] * rate ** torch.arange(time).flip(0)


def test_norm_ratio_and_table_of_a_gradient_that_fades() -> None:
    found = LossGradient().update(seen(fading(16, 8))).compute()
    steps = 0.5 ** np.arange(8)[::-1]
    norm, ratio = found.metrics["norm"], found.metrics["early_ratio"]
    assert norm.value == pytest.approx(np.sqrt((steps**2).sum()))
    assert ratio.value == pytest.approx(0.5**6)
    assert ratio.low == pytest.approx(ratio.value)
    (table,) = found.series
    assert table.column("position") == list(range(8))
    assert table.column("norm") == pytest.approx(steps)
    assert [column.name for column in table.columns[:2]] == ["position", "site"]


def test_sequences_that_are_not_finite_are_counted_and_left_out() -> None:
    gradients = fading(16, 8)
    gradients[3, 2], gradients[5, 0] = torch.inf, torch.nan
    found = LossGradient().update(seen(gradients)).compute()
    bad, norm = found.metrics["not_finite"], found.metrics["norm"]
    truth = stats.binomtest(2, 16).proportion_ci(method="exact")
    assert (bad.value, bad.n) == (2 / 16, 16)
    assert (bad.low, bad.high) == pytest.approx((truth.low, truth.high))
    assert norm.n == 14
    assert "NaN or infinite in 12% of the sequences" in found.headline


def test_passes_of_different_lengths_are_one_measurement_in_any_order() -> None:
    long, short = seen(fading(8, 12)), seen(fading(8, 5), first=8)
    found = LossGradient().update(long).update(short).compute()
    again = LossGradient().update(short).merge(LossGradient().update(long)).compute()
    assert found.metrics == again.metrics
    alone = LossGradient().update(long).compute()
    assert found.series[0].column("norm")[5:] == alone.series[0].column("norm")[5:]
    assert found.metrics["early_ratio"].value == pytest.approx(
        np.sqrt(_ratio(12) * _ratio(5)), rel=1e-6
    )


def _ratio(time: int) -> float:
    """Of one fading sequence, by its definition."""
    steps, quarter = 0.5 ** np.arange(time)[::-1], time // 4
    early, late = steps[:quarter], steps[time - quarter :]
    return float(np.sqrt((early**2).mean() / (late**2).mean()))


def test_long_sequences_are_told_in_64_stretches() -> None:
    found = LossGradient().update(seen(torch.full((8, 1000), 3.0))).compute()
    assert len(found.series[0].rows) == 64
    assert found.series[0].column("norm") == pytest.approx([3.0] * 64)


def test_what_cannot_be_told_says_why() -> None:
    frozen = LossGradient().update(seen(fading(8, 8), site="rnn")).compute()
    assert "are its weights frozen?" in frozen.metrics["norm"].reason
    lost = LossGradient().update(seen(torch.full((8, 8), torch.nan))).compute()
    assert "NaN or infinite" in lost.metrics["norm"].reason
    first = fading(8, 8)
    first[:, 4:] = 0
    only_early = LossGradient().update(seen(first)).compute()
    assert "last quarter" in only_early.metrics["early_ratio"].reason
    few = LossGradient().update(seen(fading(4, 8))).compute().metrics["norm"]
    assert (few.low, few.reason) == (None, "4 sequences are too few for an interval")
    with pytest.raises(NotApplicable, match="no gradient of the loss comes back"):
        LossGradient().observe(
            Observation(range(2), torch.zeros(2, 3).long(), torch.empty(2, 3, 0))
        )


def test_intervals_of_geometric_means_are_students() -> None:
    rows = np.random.default_rng(0).lognormal(size=(12, 3))
    value, low, high = geometric_mean(rows)
    truth = stats.ttest_1samp(np.log(rows), 0.0, axis=0).confidence_interval(0.95)
    assert np.log(value) == pytest.approx(np.log(rows).mean(0))
    assert np.log([low, high]) == pytest.approx(np.array([truth.low, truth.high]))
    rows[0, 0], rows[1, 1] = np.nan, 0.0
    value, low, _ = geometric_mean(rows)
    assert value[0] == pytest.approx(np.exp(np.log(rows[1:, 0]).mean()))
    assert value[1] == 0
    assert np.isnan(low[1])


def test_shares_are_as_sure_as_by_scipy() -> None:
    for hits in (0, 3, 8):
        truth = stats.binomtest(hits, 8).proportion_ci(method="exact")
        assert share_interval(hits, 8) == pytest.approx((truth.low, truth.high))
