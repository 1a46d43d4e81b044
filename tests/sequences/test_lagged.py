"""Series with a known lag against what is said of them."""

import numpy as np
import pytest
import torch

from seqprobe.errors import UsageError
from seqprobe.sequences.choose import noise_for
from seqprobe.sequences.lagged import PHI, LaggedStream
from seqprobe.sequences.streams import Stream


def stream(lag: int = 48, features: int = 1, seed: int = 0) -> LaggedStream:
    found = noise_for(f"synthetic:lag-{lag}", features, torch.float64, seed)
    assert isinstance(found, LaggedStream)
    assert isinstance(found, Stream)
    return found


@pytest.mark.parametrize(("lag", "features"), [(1, 1), (12, 2), (48, 1)])
def test_only_the_lag_is_correlated(lag: int, features: int) -> None:
    x = stream(lag, features).take(range(400), 200).numpy()
    assert x.var((0, 1)) == pytest.approx(1, abs=0.05)
    assert x[:, :lag].var() == pytest.approx(1, abs=0.1), "from the start"
    for back in (1, 2, 11, 12, 48, 50):
        truth = PHI ** (back / lag) if back % lag == 0 else 0.0
        found = (x[:, back:] * x[:, :-back]).mean((0, 1))
        assert found == pytest.approx(truth, abs=0.05)
    error = (x[:, lag:] - PHI * x[:, :-lag]).var()
    assert error == pytest.approx(1 - PHI**2, rel=0.03)
    if features == 2:
        assert np.abs((x[..., 0] * x[..., 1]).mean()) < 0.02


def test_numbered() -> None:
    together = stream().take([3, 17, 4], 100)
    assert torch.equal(together[1], stream().take([17], 100)[0])
    assert not torch.equal(together, stream(seed=1).take([3, 17, 4], 100))
    assert stream().take([0], 30).shape == (1, 30, 1), "shorter than the lag"


@pytest.mark.parametrize("name", ["synthetic:lag-0", "synthetic:lag", "synthetic:lag--3"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="synthetic:lag-48 or any other lag"):
        noise_for(name, 1, torch.float32, 0)
