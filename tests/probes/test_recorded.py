"""States of large models are kept as projections: they hold no more, and hardly less."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.contracts import Observation
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.evidence import recorded
from seqprobe.probes.evidence.recorded import ALL, Recorded

SEQUENCES, TIME, SYMBOLS, WIDTH = 32, 32, 4, 2000


def observation(sites=1):
    """Wide states that hold the last two symbols, turned at random, and nothing else."""
    generator = torch.Generator().manual_seed(0)
    read = torch.randint(SYMBOLS, (SEQUENCES, TIME), generator=generator)
    held = F.one_hot(torch.stack([read, read.roll(1, 1)], -1), SYMBOLS).flatten(2).float()
    turns = torch.randn(sites, 2 * SYMBOLS, WIDTH, generator=generator)
    return Observation(
        sequences=range(SEQUENCES),
        inputs=read,
        outputs=torch.zeros(SEQUENCES, TIME, 1),
        states={f"layer {site}": held @ turn for site, turn in enumerate(turns)},
        alphabet=torch.arange(SYMBOLS),
    )


@pytest.fixture
def tight(monkeypatch):
    """Room for all steps of a state of 1,024 numbers, not of 2,000."""
    monkeypatch.setattr(recorded, "MOST", SEQUENCES * (TIME // 2) * recorded.WIDE)


def test_wide_states_are_projected_where_they_do_not_fit(tight):
    found = Recorded.of(recorded.recorded(observation(), SEQUENCES))
    assert found.together.shape == (SEQUENCES, TIME // 2, recorded.WIDE)
    assert found.width(ALL) == found.width("layer 0") == WIDTH


def test_states_that_fit_are_kept_as_they_are():
    seen = observation()
    found = Recorded.of(recorded.recorded(seen, SEQUENCES))
    torch.testing.assert_close(found.together, seen.states["layer 0"][:, -TIME // 2 :])


def test_all_layers_together_are_projected_too(monkeypatch):
    monkeypatch.setattr(recorded, "WIDEST", 3999)
    found = Recorded.of(recorded.recorded(observation(2), SEQUENCES))
    assert found.together.shape[2] == recorded.WIDE
    assert (found.width(ALL), found.width("layer 1")) == (2 * WIDTH, WIDTH)


def test_batches_are_projected_in_the_same_directions(tight):
    seen = observation()
    state = seen.states["layer 0"].float()
    whole = recorded.narrowed(state, recorded.WIDE)
    parts = [recorded.narrowed(few, recorded.WIDE) for few in state.split(5)]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_a_projection_holds_what_the_state_holds(tight):
    """Two symbols of two bits each, and nothing of the third."""
    probe = Bottleneck(2).update(observation())
    bits = np.array(probe.compute().series[0].column("lower_bound"), dtype=float)[:3]
    np.testing.assert_allclose(bits, [2, 2, 0], atol=0.1)
    each = probe.compute().metrics["bits_per_state_float"].value
    assert each == pytest.approx(4 / WIDTH, rel=0.1)
