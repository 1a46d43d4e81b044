"""How many bits the state can be shown to carry, all past symbols together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Observation,
    Probe,
    Series,
)
from seqprobe.estimators.information import DecodedBits, recalled_bits
from seqprobe.probes.evidence.recorded import ALL, Recorded, recorded

SEQUENCES, SYMBOLS, LIMITED = 128, 64, 0.95


@dataclass(frozen=True)
class Capacity(Probe):
    """Bits about the whole past that a fitted read-out recalls from the state."""

    id: ClassVar[str] = "capacity"
    passes: ClassVar[float] = 0.5
    title: ClassVar[str] = "Capacity of the state"
    question: ClassVar[str] = "How many bits about the past does the state carry, all together?"
    method: ClassVar[str] = (
        "The model reads independent, equally likely symbols. A linear read-out, fitted on four "
        "fifths of the sequences and scored on the last fifth, in turn, recalls them from the "
        "state, the last one first, each given the state and the ones recalled before. The known "
        "entropy minus the losses adds up to a lower bound of what the state says about the past."
    )
    reading: ClassVar[str] = (
        "At least so many bits pass through the state. A number of a state could hold as many "
        "bits as its precision has; what is used of that is far less in trained models."
    )
    limits: ClassVar[str] = (
        "Always at least: a read-out that is not linear, or more sequences, may recall more, and "
        "training on recall itself would make the model store more. Where half the sequences give "
        "clearly less, the read-out is limited by its own training. For attention it is the "
        "vectors of one position, without keys and values of the others."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Capacity and trainability in recurrent neural networks (Collins et al., 2017)",
        "Repeat after me: transformers are better than state space models at copying "
        "(Jelassi et al., 2024)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", states=True, tokens=True, sequences=SEQUENCES)

    def observe(self, observation: Observation) -> Evidence:
        assert observation.alphabet is not None
        rows = len(observation.sequences)
        kept = recorded(observation, SEQUENCES)
        state = next(iter(observation.states.values()))
        return {
            **kept,
            "alphabet": np.tile(observation.alphabet.cpu().numpy(), (rows, 1)),
            "precision": np.full(rows, 8 * state.element_size()),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        sequences = len(evidence["read"])
        seen, alphabet = Recorded.of(evidence), torch.from_numpy(evidence["alphabet"][0])
        width, precision = seen.width(ALL), int(evidence["precision"][0])
        all_, half = (
            self._recalled(seen, alphabet, count) for count in (sequences, sequences // 2)
        )
        metrics = _metrics(all_, half, width, precision)
        return Measurement(
            headline=_headline(metrics, width, precision),
            metrics=metrics,
            key="bits",
            series=(Series.of(self.id, _columns(all_), {"distance": "steps"}),),
            warnings=_warnings(metrics),
        )

    def _recalled(self, seen: Recorded, alphabet: torch.Tensor, sequences: int) -> DecodedBits:
        """From the first sequences; as many symbols as there are samples for."""
        classes, states = len(alphabet), seen.together[:sequences]
        symbols = seen.lagged(torch.searchsorted(alphabet, seen.read))[:sequences]
        room = (states[..., 0].numel() // 4 - states.shape[2]) // (classes - 1)
        symbols = symbols[..., : max(1, min(SYMBOLS, room))]
        chances = torch.full((classes,), 1 / classes)
        return recalled_bits(states, symbols, classes, chances=chances, seed=self.seed)


def _metrics(
    found: DecodedBits, half: DecodedBits, width: int, precision: int
) -> dict[str, Estimate]:
    most = min(float(found.entropy.sum()), float(width * precision))
    return {
        "bits": found.total(1.0, most),
        "bits_per_state_float": found.total(1 / width, precision),
        "at_half_the_sequences": half.total(1.0, most),
    }


def _limited(metrics: dict[str, Estimate]) -> bool:
    """Whether more sequences would give clearly more."""
    bits, half = metrics["bits"].value, metrics["at_half_the_sequences"].value
    return bits is not None and (half is None or half < LIMITED * bits)


def _headline(metrics: dict[str, Estimate], width: int, precision: int) -> str:
    bits, each = metrics["bits"], metrics["bits_per_state_float"]
    if bits.value is None or each.value is None:
        return f"Not estimable, because {bits.reason}."
    return (
        f"The state carries at least {bits.value:.1f} bits about the past: {each.value:.2f} bits "
        f"for each of its {width} numbers of {precision} bits."
    )


def _warnings(metrics: dict[str, Estimate]) -> tuple[str, ...]:
    if not _limited(metrics):
        return ()
    half = metrics["at_half_the_sequences"].value or 0.0
    return (
        f"limited by the training of the read-out: half the sequences give {half:.1f} bits, so "
        "more of them would give more; raise --limit",
    )


def _columns(found: DecodedBits) -> dict[str, object]:
    return {
        "distance": range(len(found.lower)),
        "lower_bound": found.lower,
        "low": found.low,
        "high": found.high,
        "total": found.lower.cumsum(),
        "null": found.null.mean(0),
        "null_high": found.band,
        "ceiling": found.entropy,
    }
