"""Tokens of a large vocabulary, decoded through their embedding, against known entropies."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seqprobe.estimators.information import capped, decodable_bits, embedded, embedded_bits
from seqprobe.estimators.information.moments import Moments
from seqprobe.estimators.information.temperature import log_likelihood
from seqprobe.estimators.information.tied import Pairs, Tied, Whitener
from seqprobe.estimators.information.vocabulary import discounted


def superposed(vocab, falloff=0.0, sequences=20, steps=100, width=256, size=64):
    """Three embedded tokens, through random maps, and little noise; the middle one is asked for."""
    generator = torch.Generator().manual_seed(0)
    chances = 1 / torch.arange(1, vocab + 1, dtype=torch.float64) ** falloff
    chances /= chances.sum()
    drawn = chances.multinomial(sequences * steps * 3, replacement=True, generator=generator)
    tokens = drawn.view(sequences, steps, 3)
    embedding = torch.randn(vocab, size, generator=generator)
    maps = torch.randn(3, size, width, generator=generator) / math.sqrt(size)
    states = 0.1 * torch.randn(sequences, steps, width, generator=generator)
    states += sum(embedding[tokens[..., k]] @ maps[k] for k in range(3))
    return states, tokens[..., 1:2], embedding, chances


def noisy(noise, sequences=200, steps=50, vocab=64, size=8):
    """An embedded token and normal noise: its information is exact by Monte Carlo."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab, (sequences, steps, 1), generator=generator)
    embedding = torch.randn(vocab, size, generator=generator)
    states = embedding[tokens[..., 0]] + noise * torch.randn(
        sequences, steps, size, generator=generator
    )
    some = states.flatten(0, 1)
    posterior = (-(torch.cdist(some, embedding) ** 2) / (2 * noise**2)).log_softmax(1)
    told = posterior.gather(1, tokens.flatten(0, 1)).mean().item()
    return states, tokens, embedding, math.log2(vocab) + told / math.log(2)


@pytest.mark.parametrize(
    ("vocab", "falloff", "sequences", "truth"), [(4096, 0.0, 100, 12.0), (16384, 1.0, 20, 9.959)]
)
def test_superposed_tokens_are_read_in_full(vocab, falloff, sequences, truth):
    """Two thousand samples of 16,384 tokens will do: most of what is read was never seen."""
    states, tokens, embedding, chances = superposed(vocab, falloff, sequences)
    found = embedded_bits(states, tokens, embedding, chances=chances)
    assert found.entropy[0] == pytest.approx(truth, abs=1e-3)
    lower = found.held_out.mean().item()
    assert lower == pytest.approx(truth, abs=0.15)
    assert found.low[0] <= truth
    assert abs(found.null.mean()) < 0.02


def test_counted_entropies_bound_what_can_be_shown():
    states, tokens, embedding, _ = superposed(4096)
    found = embedded_bits(states, tokens, embedding)
    counts = tokens.flatten().bincount().double()
    shares = counts[counts > 0] / counts.sum()
    plug_in = -(shares * shares.log2()).sum().item()
    assert found.entropy[0] == pytest.approx(plug_in)
    assert found.lower[0] == pytest.approx(plug_in, abs=0.05)
    assert found.lower[0] <= plug_in < 12
    assert found.verdicts == ("vocabulary undersampled",)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_a_noisy_embedding_has_its_exact_information(noise):
    states, tokens, embedding, truth = noisy(noise)
    found = embedded_bits(states, tokens, embedding, chances=torch.full((64,), 1 / 64))
    assert found.lower[0] == pytest.approx(truth, abs=0.05)
    assert found.lower[0] <= truth + 0.01
    assert found.seen[0] == pytest.approx(found.lower[0], abs=0.03)


def test_with_one_hot_numbers_it_is_the_linear_decoder():
    states, tokens, _, _ = noisy(1.0, vocab=12)
    tied = embedded_bits(states, tokens, torch.eye(12))
    linear = decodable_bits(states, tokens, 12, effort="linear")
    assert np.allclose(tied.held_out, linear.held_out, atol=0.01)
    assert np.allclose(tied.null, linear.null, atol=0.01)


def test_moving_all_states_changes_no_score():
    states, tokens, centred, _ = noisy(1.0)
    embedding, chances = centred + 1, torch.full((64,), 1 / 64).double()
    unlabelled = torch.zeros(10_000, 1, dtype=torch.long)

    def scores(rows):
        whitener = Whitener.of(Moments.of(rows, unlabelled, 1))
        pairs = Pairs.of(rows, tokens.flatten(), embedding)
        return Tied.fit(whitener, pairs, embedding, chances).scores(rows)

    rows = states.flatten(0, 1)
    assert torch.allclose(scores(rows + 3), scores(rows), atol=0.01)


def test_tokens_of_other_sequences_are_not_found():
    states, tokens, embedding, chances = superposed(512, width=64, size=16)
    lags = torch.cat([tokens, tokens.roll(5, dims=0)], dim=2)
    found = embedded_bits(states, lags, embedding, chances=chances)
    assert found.verdicts == ("full", "none detected")
    assert found.lower[1] < 0.02


def test_what_is_scored_sums_to_one_over_the_whole_vocabulary(monkeypatch):
    """Also the tokens that no fold holds: a smaller support would raise the bound above truth."""
    decoders = []
    fit = Tied.fit.__func__
    monkeypatch.setattr(Tied, "fit", lambda *a: decoders.append(fit(Tied, *a)) or decoders[-1])
    states, tokens, embedding, _ = superposed(2048, falloff=1.0, sequences=8, width=64)
    embedded_bits(states, tokens, embedding)
    every = torch.arange(2048)[:, None]
    assert len(tokens.unique()) < 500
    for decoder in decoders[:2]:
        scores = decoder.scores(states[0, :1]).expand(2048, 1, 2048)
        told = log_likelihood(scores, 0.5, decoder.log_share[None], every)
        assert told.exp().sum().item() == pytest.approx(1, abs=1e-3)
        assert decoder.log_share.exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_memory_does_not_grow_with_rows_times_vocabulary(monkeypatch):
    shapes, scores = [], Tied.scores
    monkeypatch.setattr(
        Tied, "scores", lambda d, h: shapes.append((len(h), len(d.bias))) or scores(d, h)
    )
    for name, most in {"SCORES": 2**22, "_CHUNK": 2**18, "FEWEST": 4}.items():
        monkeypatch.setattr(embedded, name, most)
    states, tokens, embedding, chances = superposed(50_000, sequences=10, width=200)
    found = embedded_bits(states, tokens, embedding, chances=chances)
    tuned, told = 2 * 5 * 4, 2 * (10 + 2) * (2**22 // 50_000 // 10)
    assert max(rows * vocab for rows, vocab in shapes) <= 2**18
    assert sum(rows for rows, _ in shapes) == tuned + told
    assert found.lower[0] == pytest.approx(math.log2(50_000), abs=0.1)


def test_a_wide_embedding_is_taken_along_its_principal_axes():
    states, tokens, embedding, chances = superposed(500, sequences=20)
    turned = embedding @ torch.linalg.qr(torch.randn(400, 64))[0].T
    wide = embedded_bits(states, tokens, turned, chances=chances)
    assert wide.parameters == 256 * 256
    assert wide.lower[0] == pytest.approx(math.log2(500), abs=0.02)


def test_the_unseen_share_what_is_taken_off_the_seen():
    """Two tokens seen once and one twice: half a sample is taken off each of four."""
    shares = discounted(torch.tensor([1, 1, 2, 4, 0, 0]))
    assert shares.tolist() == pytest.approx([v / 8 for v in (0.5, 0.5, 1.5, 3.5, 1, 1)])
    assert discounted(torch.tensor([3, 1])).tolist() == [0.75, 0.25]


@pytest.mark.parametrize("most", [1, 2, 5, 40])
def test_capped_classes_lose_what_they_say(most):
    tokens = torch.distributions.Geometric(0.2).sample((50, 20, 2)).long()
    classes, number, lost = capped(tokens, most)
    assert classes.shape == tokens.shape
    assert classes.unique().tolist() == list(range(number))
    assert number == min(most, len(tokens.unique()))
    both = F.one_hot(classes.flatten(), number).double().T @ F.one_hot(tokens.flatten()).double()
    given = both / both.sum(1, keepdim=True)
    conditional = (both.sum(1) / both.sum() * torch.special.entr(given).sum(1)).sum() / math.log(2)
    assert lost == pytest.approx(conditional.item(), abs=1e-9)


def test_no_classes_of_no_tokens():
    with pytest.raises(ValueError, match="0 tokens as 5 classes: at least one of each needed"):
        capped(torch.empty(0, dtype=torch.long), 5)


def broken(**changes):
    states, tokens, embedding, chances = superposed(50, sequences=8, steps=20, width=16, size=4)
    given = {"states": states, "tokens": tokens, "embedding": embedding, "chances": chances}
    return given | {name: change(given[name]) for name, change in changes.items()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"tokens": lambda x: x.clone().fill_(50)},
            "token 50 has no row in an embedding of 50 tokens",
        ),
        ({"tokens": torch.zeros_like}, "all 160 tokens are the same: there is nothing to know"),
        ({"embedding": lambda e: e * math.nan}, "the embedding holds infinite values or NaN"),
        ({"embedding": torch.ones_like}, "the embedding is the same for all tokens"),
        ({"chances": torch.zeros_like}, "occurs, though its chance is zero"),
        ({"states": torch.zeros_like}, "the states never change: their variance is zero"),
        ({"states": lambda h: h / 0}, "the states hold infinite values or NaN"),
    ],
)
def test_says_why_nothing_can_be_estimated(changes, reason):
    given = broken(**changes)
    chances = given.pop("chances")
    found = embedded_bits(**given, chances=chances if "chances" in changes else None)
    assert reason in found.reasons[0]
    assert found.verdicts == ("not estimable",)
    assert found.estimates()[0].value is None
