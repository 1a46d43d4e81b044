"""What the state keeps of natural data: correlated symbols must not pass for memory."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.contracts import Observation
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.bottleneck_on_data import BottleneckOnData

SYMBOLS = 8


def sticky(sequences=192, time=96, stay=0.9, symbols=SYMBOLS):
    """Each symbol is the one before with probability `stay`, else any."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(symbols, (sequences, time), generator=generator)
    stays = torch.rand(sequences, time, generator=generator) < stay
    for step in range(1, time):
        drawn[:, step] = torch.where(stays[:, step], drawn[:, step - 1], drawn[:, step])
    return drawn


def measured(tokens, state, distance=5, **more):
    shares = tokens.flatten().bincount().double()
    observation = Observation(
        sequences=range(len(tokens)),
        inputs=tokens,
        outputs=torch.zeros(*tokens.shape, 1),
        states={"memory": state},
        frequencies=shares / shares.sum(),
        **more,
    )
    return BottleneckOnData(distance).update(observation).compute()


def remembering(tokens, depth):
    """The last symbols, side by side; nothing before the start."""
    padded = F.pad(F.one_hot(tokens, SYMBOLS).float(), (0, 0, depth, 0))
    time = tokens.shape[1]
    return torch.cat([padded[:, depth - k : depth - k + time] for k in range(depth)], dim=-1)


def curve(measurement, name, table=0):
    return np.array(measurement.series[table].column(name), dtype=float)


def test_correlated_symbols_are_readable_without_memory_and_not_taken_for_it():
    """A state that knows the present symbol alone: 2.3 bits at distance 1, none of them memory."""
    tokens = sticky()
    found = measured(tokens, F.one_hot(tokens, SYMBOLS).float())
    assert curve(found, "lower_bound")[1] == pytest.approx(2.33, abs=0.06)
    assert np.abs(curve(found, "conditional")[1:]).max() < 0.01
    only = found.metrics["conditional_at_distance"]
    assert only.low <= max(only.null.high, 0)
    assert not only.lower_bound


@pytest.mark.usefixtures("double")
def test_another_default_precision_does_no_harm():
    tokens = sticky(sequences=64)
    found = measured(tokens, F.one_hot(tokens, SYMBOLS).float())
    assert np.abs(curve(found, "conditional")[1:]).max() < 0.02


def test_what_only_a_memory_adds_is_found_as_far_as_it_reaches():
    tokens = sticky()
    found = measured(tokens, remembering(tokens, 3))
    distances, added = curve(found, "distance"), curve(found, "conditional")
    left = curve(found, "conditional_ceiling")
    assert added[distances <= 2] == pytest.approx(left[distances <= 2], abs=0.05)
    assert np.abs(added[distances > 4]).max() < 0.02


def test_independent_symbols_need_no_condition():
    tokens = sticky(stay=0.0)
    found = measured(tokens, remembering(tokens, 2))
    for distance in (0, 1):
        bound, added = (curve(found, name)[distance] for name in ("lower_bound", "conditional"))
        assert added == pytest.approx(bound, abs=0.05)


def test_tokens_are_told_apart_by_how_common_they_are_and_what_they_stand_for():
    tokens = sticky(stay=0.0)
    tokens[torch.rand(tokens.shape, generator=torch.Generator().manual_seed(1)) < 0.6] = 7
    state = F.one_hot(torch.where(tokens == 7, 6, tokens), SYMBOLS).float()  # cannot tell 6 from 7
    found = measured(tokens, state, texts=list(";,.21ba "))
    table = found.series[1]
    assert table.id == "bottleneck-tokens"
    now = {
        row[1]: (row[2], row[3]) for row in table.rows if row[0] == 0
    }  # bits and surprisal of each group at distance 0
    assert {"letters", "digits", "spaces", "punctuation", "less common"} <= set(now)
    assert now["digits"][0] == pytest.approx(now["digits"][1], abs=0.1)
    assert now["spaces"][0] == pytest.approx(np.log2(0.65 / 0.70 / 0.65), abs=0.1)
    assert now["letters"][0] < now["letters"][1] - 1
    for group in ("less common", "rare (a tenth of the text)"):  # one in twenty is each of these
        assert now[group][1] == pytest.approx(math.log2(20), abs=0.1)


def test_rare_tokens_are_read_as_one_and_the_loss_is_said():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(400, (64, 64), generator=generator)
    found = measured(tokens, torch.randn(64, 64, 4, generator=generator))
    assert "bits per token are lost by that" in found.warnings[0]


def test_one_class_stands_for_all_that_are_too_rare_to_count():
    """Four tokens take four fifths of the text, forty others the rest: log2(40) bits of these."""
    generator = torch.Generator().manual_seed(0)
    common, rare = torch.randint(4, (64, 64), generator=generator), 4 + torch.randperm(4096) % 40
    tokens = torch.where(torch.rand(64, 64, generator=generator) < 0.8, common, rare.view(64, 64))
    found = measured(tokens, F.one_hot(tokens, 44).float(), texts=["a"] * 44)
    said = found.warnings[0]
    assert "tokens are read as 5 classes" in said
    assert float(said.split("others; ")[1].split()[0]) == pytest.approx(
        0.2 * math.log2(40), abs=0.05
    )
    assert "all other tokens" in found.series[1].column("tokens")


def test_tokens_of_a_large_vocabulary_are_read_through_their_embedding():
    vocabulary, generator = 1000, torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (64, 64), generator=generator)
    table = torch.randn(vocabulary, 24, generator=generator)
    tokens[0, 0] = vocabulary - 1
    found = measured(tokens, table[tokens], embeddings=table[tokens])
    whole = found.series[2]
    assert whole.id == "bottleneck-embedded"
    bits = dict(zip(whole.column("distance"), whole.column("lower_bound"), strict=True))
    assert bits[0] > 8
    assert bits[4] < 0.1
    assert whole.column("verdict")[0] == "vocabulary undersampled"


def test_it_stands_beside_what_is_kept_of_independent_symbols():
    assert isinstance(Bottleneck(7, seed=3).as_baseline(), BottleneckOnData)
    assert Bottleneck(7, seed=3).as_baseline().distance == 7
