"""What the state keeps of natural data, beyond what the nearer tokens tell; and of which tokens."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Measurement, Needs, Observation, Probe, Series
from seqprobe.estimators.information import (
    DecodedBits,
    conditional_bits,
    decodable_bits,
    embedded_bits,
)
from seqprobe.estimators.information.vocabulary import Capped, capped
from seqprobe.probes.evidence.recorded import WIDE, Recorded, narrowed, recorded

SEQUENCES, CLASSES, FEWEST, LARGE = 128, 32, 50, 512
KINDS = {"L": "letters", "N": "digits", "Z": "spaces", "C": "spaces"}
COMMON, RARE = 0.5, 0.9


@dataclass(frozen=True)
class BottleneckOnData(Probe):
    """Bits about past tokens of the data: all that is readable, and what only a memory can add."""

    id: ClassVar[str] = "bottleneck"
    passes: ClassVar[float] = 0.5
    title: ClassVar[str] = "Bits kept of the data"
    question: ClassVar[str] = "What does the state add to what nearer tokens tell of a past one?"
    method: ClassVar[str] = "As on independent symbols, less what the nearer tokens tell."
    reading: ClassVar[str] = "Bits that only a memory of the token can give."
    limits: ClassVar[str] = (
        "An estimate, no bound: distant tokens may tell what is taken for memory."
    )
    references: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", states=True, tokens=True, sequences=SEQUENCES)

    def observe(self, observation: Observation) -> Evidence:
        assert observation.frequencies is not None
        rows, vocabulary = len(observation.sequences), len(observation.frequencies)
        large, embedded = vocabulary > LARGE, observation.embeddings
        texts = np.array(observation.texts if observation.texts and not large else [""])
        kept = {
            **recorded(observation, SEQUENCES),
            "texts": np.tile(texts, (rows, 1)),
            "vocabulary": np.full(rows, vocabulary),
        }
        if large and embedded is not None:
            kept["embedded"] = narrowed(embedded.detach().float(), WIDE).cpu().numpy()
        return kept

    def measure(self, evidence: Evidence) -> Measurement:
        seen = Recorded.of(evidence)
        tokens = _classes(seen.read)
        lags, classes = seen.lagged(tokens.classes), tokens.number
        distances = grid(lags.shape[2], self.distance)
        plain = decodable_bits(
            seen.together, lags[..., distances], classes, effort="linear", seed=self.seed
        )
        added = conditional_bits(seen.together, lags, classes, distances, seed=self.seed)
        groups = _groups(seen.read, tokens, evidence["texts"][0])
        metrics = _metrics(plain, added, distances, self.distance)
        whole = (self._tokens(seen, evidence),) if "embedded" in evidence else ()
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="conditional_at_distance",
            series=(
                Series.of("bottleneck", _columns(plain, added, distances), {"distance": "steps"}),
                _by_group(plain, groups, distances),
                *whole,
            ),
            warnings=_warnings(tokens),
        )

    def _tokens(self, seen: Recorded, evidence: Evidence) -> Series:
        """Bits about the tokens themselves, of a large vocabulary, at a few distances."""
        embedded = torch.from_numpy(evidence["embedded"])
        table = embedded.new_zeros(int(evidence["vocabulary"][0]), embedded.shape[2])
        table[seen.read.flatten()] = embedded.flatten(0, 1)
        lags = seen.lagged(seen.read)
        distances = sorted({0, 1, 4, 16, self.distance} & {*range(lags.shape[2])})
        bits = embedded_bits(seen.together, lags[..., distances], table, seed=self.seed)
        columns = {
            "distance": distances,
            "lower_bound": bits.lower,
            "low": bits.low,
            "high": bits.high,
            "null": bits.null.mean(0),
            "ceiling": bits.entropy,
            "verdict": np.array(bits.verdicts),
        }
        return Series.of("bottleneck-embedded", columns, {"distance": "steps"})


def grid(lags: int, distance: int) -> list[int]:
    """Few distances, denser near by, the one that is asked for among them."""
    spread = np.geomspace(1, lags - 1, 10).round().astype(int).tolist()
    return sorted({0, 1, 2, 3, 4, *spread, *([distance] if distance < lags else [])})


def _classes(read: Int[Tensor, "sequences time"]) -> Capped:
    """As many of the most frequent tokens as can be counted well, and one class for the others."""
    counts = read.flatten().bincount()
    return capped(read, min(CLASSES, int((counts >= FEWEST).sum()) + 1))


def _metrics(
    plain: DecodedBits, added: DecodedBits, distances: list[int], distance: int
) -> dict[str, Estimate]:
    if distance not in distances:
        because = f"distance {distance} was not measured; {distances[-1]} was"
        missing = Estimate.missing("bits", because)
        return {"conditional_at_distance": missing, "bits_at_distance": missing}
    at = distances.index(distance)
    only = replace(added.estimates()[at], lower_bound=False)
    return {"conditional_at_distance": only, "bits_at_distance": plain.estimates()[at]}


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    only = metrics["conditional_at_distance"]
    if only.value is None:
        return f"Not estimable, because {only.reason}."
    return f"Of the token {distance} steps back it adds {only.value:.2f} bits."


def _columns(plain: DecodedBits, added: DecodedBits, distances: list[int]) -> dict[str, object]:
    return {
        "distance": distances,
        "lower_bound": plain.lower,
        "low": plain.low,
        "high": plain.high,
        "ceiling": plain.entropy,
        "conditional": added.lower,
        "conditional_low": added.low,
        "conditional_high": added.high,
        "conditional_null": added.null.mean(0),
        "conditional_ceiling": added.entropy,
        "verdict": np.array(plain.verdicts),
    }


def _warnings(tokens: Capped) -> tuple[str, ...]:
    if not tokens.lost:
        return ()
    return (
        f"on the data, tokens are read as {tokens.number} classes: the most frequent ones, and one "
        f"for all others; {tokens.lost:.2f} bits per token are lost by that",
    )


def _groups(
    read: Int[Tensor, "sequences time"], tokens: Capped, texts: np.ndarray
) -> dict[str, Float[np.ndarray, " classes"]]:
    """Which classes are in a group of tokens, by how often they occur and what they stand for."""
    shares = tokens.classes.flatten().bincount().double().numpy()
    shares /= shares.sum()
    before = shares.cumsum() - shares
    groups = {
        f"common (half of the text: {(before < COMMON).sum()} tokens)": before < COMMON,
        "less common": (before >= COMMON) & (before < RARE),
        "rare (a tenth of the text)": before >= RARE,
    }
    if len(texts) > 1:
        token = torch.zeros(tokens.number, dtype=torch.long)
        token[tokens.classes.flatten()] = read.flatten()
        kinds = np.array([kind(str(texts[number])) for number in token.tolist()], dtype=object)
        if tokens.lost:
            kinds[-1] = "all other tokens"
        groups |= {str(name): kinds == name for name in sorted({*kinds})}
    return {name: shares * chosen for name, chosen in groups.items() if chosen.any()}


def kind(text: str) -> str:
    """What sort of token it is, by its first visible character.

    >>> [kind(text) for text in ("a", " the", "7", "\\n", ")")]
    ['letters', 'letters', 'digits', 'spaces', 'punctuation']
    """
    visible = text.strip() or " "
    return KINDS.get(unicodedata.category(visible[0])[0], "punctuation")


def _by_group(
    bits: DecodedBits, groups: dict[str, Float[np.ndarray, " classes"]], distances: list[int]
) -> Series:
    """Bits about the tokens of a group where one of them was read, and how surprising it is."""
    assert bits.by_class is not None
    shares = np.max(list(groups.values()), axis=0)
    surprisal = -np.log2(shares)
    parts = []
    for name, shares in groups.items():
        weights = shares / shares.sum()
        held = weights @ np.nan_to_num(bits.by_class)
        told = float(weights @ surprisal)
        parts.append({"distance": distances, "tokens": name, "bits": held, "surprisal": told})
    return Series.stacked("bottleneck-tokens", parts)
