"""Whether predictions depend on the order of what came before, far back and nearby."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Interventions,
    Measurement,
    Needs,
    Null,
    Observation,
    Pieces,
    Probe,
    Read,
    Series,
)
from seqprobe.estimators.enough import ALLOWED, MORE, enough
from seqprobe.probes.evidence.changes import (
    LOSS,
    cut_out,
    looking_back_only,
    loss_change,
    unchanged,
)
from seqprobe.probes.evidence.over_sequences import columns, estimated, estimated_mean
from seqprobe.probes.evidence.replaced import drawn_values

PLACES = 2
SHARE = 0.1
EDITS = ("shuffle", "drop", "replace", "within")


@dataclass(frozen=True)
class Order(Probe):
    """Change of the loss when tokens are shuffled, dropped or replaced beyond a distance."""

    id: ClassVar[str] = "order"
    passes: ClassVar[float] = 5.0
    title: ClassVar[str] = "Use of order"
    question: ClassVar[str] = "Up to which distance does the order of the past matter?"
    method: ClassVar[str] = (
        f"At {PLACES} random places of each sequence the past is parted in two. What came before "
        "the place is shuffled, dropped (what follows begins with a fresh state), or replaced by "
        "tokens drawn by how often each occurs; every later step then is a prediction with its "
        "last d tokens intact. Within: the last d tokens but the present one are shuffled, after "
        "the first place. Changes of the loss are averaged over sequences and places, and, but for "
        "those within, over all d up to the next row."
    )
    reading: ClassVar[str] = (
        f"The span ends where shuffling costs less than {MORE:.0%} of perplexity. Where dropping "
        f"costs much and shuffling less than {SHARE:.0%} of that, tokens are used there and their "
        "order is not. Replacing against shuffling shows what their identity is worth."
    )
    limits: ClassVar[str] = (
        "Shuffled sequences are unlike anything seen in training: where shuffling costs more than "
        "dropping it disturbs, and says nothing about order. Nothing further back than the place "
        "is seen, which is in the second quarter of the sequence."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Sharp nearby, fuzzy far away: how neural language models use context "
        "(Khandelwal et al., 2018)",
        "What context features can transformer language models use? "
        "(O'Connor and Andreas, 2021)",
    )  # fmt: skip

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, lengths=True)

    def observe(self, observation: Observation) -> Evidence:
        looking_back_only(observation)
        read, time = loss_change(observation), observation.inputs.shape[1]
        rows, most = len(observation.sequences), time // 2 - 1
        generators = [self.random(number) for number in observation.sequences]
        places = np.stack([g.integers(time // 4, time // 2 + 1, PLACES) for g in generators])
        parted = _Parted.at(observation, read, places, generators)
        distances = self._distances(most)
        curves = {
            "shuffle": parted.before(_shuffled, most),
            "drop": parted.dropped(most),
            "replace": parted.before(_drawn_from(observation), most),
        }
        found = {name: _up_to_next(curve, distances) for name, curve in curves.items()}
        found["within"] = _Parted.at(observation, read, places[:, :1], generators).within(distances)
        return {
            "distance": np.tile(distances, (rows, 1)),
            "null": unchanged(observation)[:, LOSS],
            **{
                name: each.reshape(rows, -1, len(distances)).mean(1) for name, each in found.items()
            },
        }

    def _distances(self, most: int) -> list[int]:
        """Powers of two, and the one asked about."""
        powers = {1 << power for power in range(most.bit_length())}
        return sorted(distance for distance in {*powers, self.distance} if 1 <= distance <= most)

    def measure(self, evidence: Evidence) -> Measurement:
        metrics = _metrics(evidence, self.distance, self.seed)
        return Measurement(
            headline=_headline(metrics),
            metrics=metrics,
            key="span",
            series=(_table(evidence, self.seed),),
        )


Change = Callable[[np.random.Generator, Tensor], Tensor]


@dataclass(frozen=True)
class _Parted:
    """Sequences of a batch, each parted at some places; a row is a sequence and a place."""

    observation: Observation
    read: Read
    sequences: Int[Tensor, " rows"]
    places: Int[Tensor, " rows"]
    generators: Sequence[np.random.Generator]

    @classmethod
    def at(
        cls,
        observation: Observation,
        read: Read,
        places: Int[np.ndarray, "batch places"],
        generators: Sequence[np.random.Generator],
    ) -> _Parted:
        count, device = places.shape[1], observation.inputs.device
        sequences = torch.arange(len(places), device=device).repeat_interleave(count)
        rows = torch.from_numpy(places).to(device).flatten()
        each = [generator for generator in generators for _ in range(count)]
        return cls(observation, read, sequences, rows, each)

    def before(self, change: Change, most: int) -> Float[np.ndarray, "rows distances"]:
        """What changed tokens before the place do to the loss with the last 1 to `most` intact."""
        start = torch.zeros_like(self.places)
        whole = cut_out(self.observation, self.sequences, start, int(self.places.max()) + most)
        edited = self._edited(whole, self.places, change)
        losses = self._run.fresh(edited, self.read)[..., 0]
        at = self.places[:, None] + torch.arange(most, device=losses.device)
        return losses.gather(1, at).cpu().numpy()

    def dropped(self, most: int) -> Float[np.ndarray, "rows distances"]:
        """The same where nothing was read before the place."""
        pieces = cut_out(self.observation, self.sequences, self.places, most)
        return self._run.fresh(pieces, self.read)[..., 0].cpu().numpy()

    def within(self, distances: Sequence[int]) -> Float[np.ndarray, "rows distances"]:
        """What shuffling the last d tokens, but for the present one, does to the loss."""
        found = []
        for distance in distances:
            pieces = cut_out(self.observation, self.sequences, self.places, distance)
            count = torch.full_like(self.places, distance - 1)
            shuffled = self._edited(pieces, count, _shuffled)
            found.append(self._run.continued(shuffled, self.read, last=1)[:, 0])
        return torch.cat(found, dim=1).cpu().numpy()

    def _edited(self, pieces: Pieces, counts: Int[Tensor, " rows"], change: Change) -> Pieces:
        """The first tokens of each piece changed."""
        inputs = pieces.inputs.cpu().clone()
        for row, count, generator in zip(inputs, counts.tolist(), self.generators, strict=True):
            row[:count] = change(generator, row[:count])
        return replace(pieces, inputs=inputs.to(pieces.inputs.device))

    @property
    def _run(self) -> Interventions:
        assert self.observation.interventions is not None
        return self.observation.interventions


def _shuffled(generator: np.random.Generator, tokens: Tensor) -> Tensor:
    return tokens[torch.from_numpy(generator.permutation(len(tokens)))]


def _drawn_from(observation: Observation) -> Change:
    """Other tokens, drawn by how often each occurs."""
    if (values := observation.values) is not None:
        return lambda generator, tokens: drawn_values(values, generator, len(tokens))
    assert observation.frequencies is not None
    chances = observation.frequencies.double().cpu().numpy()
    chances = chances / chances.sum()
    return lambda generator, tokens: torch.from_numpy(
        generator.choice(len(chances), len(tokens), p=chances)
    ).to(tokens)


def _up_to_next(
    curve: Float[np.ndarray, "rows all"], distances: Sequence[int]
) -> Float[np.ndarray, "rows distances"]:
    """Means over all distances from each one up to the next; the curve begins at 1."""
    starts = [distance - 1 for distance in distances]
    means: np.ndarray = np.add.reduceat(curve, starts, axis=1) / np.diff([*starts, curve.shape[1]])
    return means


def _metrics(evidence: Evidence, distance: int, seed: int) -> dict[str, Estimate]:
    distances = evidence["distance"][0].tolist()
    null = Null("nothing edited", float(evidence["null"].mean()))
    shuffle, drop = evidence["shuffle"], evidence["drop"]

    def bits(rows: np.ndarray, far: int) -> Estimate:
        if far not in distances:
            return Estimate.missing(
                "bits", f"distance {far} was not measured; {distances[-1]} was the longest"
            )
        return estimated_mean(rows[:, distances.index(far)], "bits", null, seed=seed)

    span = _span(shuffle, distances, Null(null.name, float(distances[0])), seed)
    there = distances[0] if span.value is None else int(span.value)
    margins = [bits(sign * shuffle - SHARE * drop, there) for sign in (1, -1)]
    return {
        "span": span,
        "order_unused_beyond": _unused(span, margins, bits(drop, there)),
        "shuffle_excess": bits(shuffle - drop, distances[0]),
        "shuffle_all": bits(shuffle, distances[0]),
        "drop_all": bits(drop, distances[0]),
        **{f"{edit}_at_distance": bits(evidence[edit], distance) for edit in EDITS},
    }


def _span(shuffle: np.ndarray, distances: Sequence[int], null: Null, seed: int) -> Estimate:
    at = np.array(distances, dtype=np.float64)
    return estimated(
        shuffle,
        lambda curve: enough(curve, at, ALLOWED),
        "tokens",
        null,
        seed=seed,
        beyond=f"shuffling still costs {MORE:.0%} of perplexity beyond {distances[-1]} tokens",
        longest=at[-1].item(),
    )


def _unused(span: Estimate, margins: Sequence[Estimate], drop: Estimate) -> Estimate:
    """The span, where tokens beyond it are worth something and their order is not.

    `margins`: what shuffling costs, and what it gains, over a share of what dropping costs.
    """
    if span.value is None or all(each.high is not None and each.high < 0 for each in margins):
        return span
    worth = "an unknown number of" if drop.value is None else f"{drop.value:.2g}"
    return Estimate.missing(
        span.unit,
        f"what lies beyond {span.value:.0f} tokens is worth {worth} bits, and shuffling it does "
        f"not cost clearly less than {SHARE:.0%} of that",
        n=span.n,
        null=span.null,
    )


def _table(evidence: Evidence, seed: int) -> Series:
    table: dict[str, object] = {"distance": evidence["distance"][0]}
    for edit in EDITS:
        table |= columns(evidence[edit], f"{edit}_bits", f"{edit}_", seed=seed)
    table["n"] = [len(evidence["drop"])] * len(evidence["distance"][0])
    return Series.of("order", table, {"distance": "tokens"})


def _headline(metrics: dict[str, Estimate]) -> str:
    span, excess = metrics["span"], metrics["shuffle_excess"]
    shuffle, drop = metrics["shuffle_all"].value, metrics["drop_all"].value
    beyond = (
        f"{span.reason[0].upper()}{span.reason[1:]}"
        if span.value is None
        else f"Shuffling costs less than {MORE:.0%} of perplexity beyond {span.value:.0f} tokens"
    )
    if shuffle is None or drop is None:
        return f"{beyond}."
    disturbs = (
        ", so it disturbs, and says nothing about order"
        if excess.low is not None and excess.low > 0
        else ""
    )
    return (
        f"{beyond}; before the present token it costs {shuffle:.2g} bits and dropping "
        f"{drop:.2g}{disturbs}."
    )
