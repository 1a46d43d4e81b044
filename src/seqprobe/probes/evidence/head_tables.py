"""Tables of what heads do: shares by distance, scores of every head, and maps of two of them."""

from __future__ import annotations

import numpy as np

from seqprobe.contracts import Evidence, Series
from seqprobe.estimators.attention_statistics import uniform_attention
from seqprobe.probes.evidence.over_sequences import columns

MOST_LAYERS, MOST_HEADS = 8, 96
SCORES = {
    "entropy_ratio": "entropy_ratio",
    "mean_distance": "distance",
    "first": "first",
    "first_by_norm": "first_by_norm",
    "induction": "induction",
    "another_period": "shifted",
    "previous_token": "previous",
}


def tables(evidence: Evidence, seed: int) -> tuple[Series, ...]:
    """The main table has the shares of every layer by distance."""
    maps = (_maps(evidence),) if "map" in evidence else ()
    return (_by_distance(evidence, seed), _by_head(evidence), *maps)


def _by_distance(evidence: Evidence, seed: int) -> Series:
    """A row for each bin, named by where it begins; of many layers some, evenly spread."""
    shares, edges = evidence["shares"].astype(np.float64), evidence["edges"][0]
    causal = not evidence["ahead"].any()
    equal = uniform_attention(int(evidence["time"][0]), edges, causal=causal)
    count = shares.shape[1]
    parts = []
    for layer in np.unique(np.linspace(0, count - 1, min(count, MOST_LAYERS)).round().astype(int)):
        share = columns(shares[:, layer], "share", "", seed=seed)
        known = {"equal_weights": equal.shares, "n": len(shares)}
        parts.append({"distance": edges, "layer": layer, **share, **known})
    return Series.stacked("attention", parts)


def _by_head(evidence: Evidence) -> Series:
    """All heads, or those that stand out in any score if there are many."""
    means = {
        name: evidence[key].astype(np.float64).mean(0)
        for name, key in SCORES.items()
        if key in evidence
    }
    layer = evidence["layer"][0]
    shown = _outstanding(np.stack([*means.values()]))
    table = {
        "position": shown,
        "layer": layer[shown],
        "head": number_in_layer(layer)[shown],
        "site": evidence["sites"][0][layer[shown]],
        **{name: values[shown] for name, values in means.items()},
    }
    return Series.of("attention-heads", table, {"mean_distance": "steps"})


def _outstanding(scores: np.ndarray) -> np.ndarray:
    """Numbers of the heads that come nearest to the top in one of (scores, heads), in order."""
    ranks = (-scores).argsort(axis=1).argsort(axis=1).min(axis=0)
    return np.sort(ranks.argsort(kind="stable")[:MOST_HEADS])


def number_in_layer(layer: np.ndarray) -> np.ndarray:
    """Of each head, from the number of its layer."""
    return np.arange(len(layer)) - np.searchsorted(layer, layer)


def _maps(evidence: Evidence) -> Series:
    """Weights of the best induction head and the best previous-token head, one row per query."""
    layer, weights, texts = evidence["layer"][0], evidence["map"][0], evidence["map_texts"][0]
    chosen = {
        f"most {role.replace('_', ' ')}": int(evidence[SCORES[role]].mean(0).argmax())
        for role in ("induction", "previous_token", "first")
        if SCORES[role] in evidence
    }
    picked = {head: role for role, head in reversed([*chosen.items()][:2])}
    parts = [
        {
            "position": range(len(texts)), "role": role, "layer": layer[head],
            "head": number_in_layer(layer)[head], "token": texts,
            **{f"to_{key}": weights[head, :, key] for key in range(len(texts))},
        }
        for head, role in sorted(picked.items())
    ]  # fmt: skip
    return Series.stacked("attention-map", parts)
