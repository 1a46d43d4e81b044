"""How many tokens of the past a prediction needs: read again with only the last of them."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Read,
    Series,
)
from seqprobe.estimators.enough import ALLOWED, MORE, enough
from seqprobe.probes.evidence.changes import (
    KL,
    LOSS,
    TOP,
    changes,
    cut_out,
    looking_back_only,
    unchanged,
)
from seqprobe.probes.evidence.copying import copied, copy_metrics, copy_table
from seqprobe.probes.evidence.over_sequences import columns, estimated, estimated_mean

TARGETS, DENSE, PER_OCTAVE = 4, 8, 2
KEPT = "the whole past kept"


@dataclass(frozen=True)
class Context(Probe):
    """Change of the loss when only the last tokens are read, from a fresh state."""

    id: ClassVar[str] = "context"
    passes: ClassVar[float] = 7.0
    title: ClassVar[str] = "Effective context"
    question: ClassVar[str] = "How many tokens of the past does the prediction need?"
    method: ClassVar[str] = (
        f"{TARGETS} random predictions in the second half of each sequence, the same ones for "
        "every length, are made again from the last tokens alone, the present one included, "
        "beginning with a fresh state; they are held against those made from all that came "
        "before. The effective length is the smallest one from which on the perplexity is at "
        f"most {MORE:.0%} higher. Copies, of symbols alone: a piece of random tokens stands after "
        "itself, or after another piece, with random tokens between; what its second appearance "
        "gains is the difference of its loss."
    )
    reading: ClassVar[str] = (
        "Where the curve meets the line, more context is worth nothing on this data. The KL "
        "divergence counts every change of the prediction, whether it helps or not. A gain over a "
        "distance means that tokens can be looked up there."
    )
    limits: ClassVar[str] = (
        "Nothing further back than the sequence is seen. Models with absolute positions read a "
        "short piece at positions where they seldom saw its end in training, which overstates its "
        "cost. The loss of few predictions is noisy: --exact measures every length, --limit more "
        "sequences. Random tokens are unlike anything in training; a model may copy text and not "
        "them."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Sharp nearby, fuzzy far away: how neural language models use context "
        "(Khandelwal et al., 2018)",
        "In-context learning and induction heads (Olsson et al., 2022)",
    )  # fmt: skip

    exact: bool = False

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, lengths=True)

    def observe(self, observation: Observation) -> Evidence:
        looking_back_only(observation)
        read = changes(observation)
        generators = [self.random(number) for number in observation.sequences]
        time = observation.inputs.shape[1]
        lengths = self._lengths(time // 2)
        ends = np.stack([g.integers(time // 2 - 1, time - 1, TARGETS) for g in generators])
        return {
            "length": np.tile(lengths, (len(generators), 1)),
            "whole": np.full(len(generators), time),
            "kept": _kept(observation, read, ends, lengths),
            "null": unchanged(observation),
            **copied(observation, self.distance, generators),
        }

    def _lengths(self, most: int) -> list[int]:
        """All short ones, then a few for each doubling; the distance asked about, and one more."""
        if self.exact:
            return list(range(1, most + 1))
        steps = range(math.floor(PER_OCTAVE * math.log2(max(most / DENSE, 1))) + 1)
        grown = [round(DENSE * 2 ** (step / PER_OCTAVE)) for step in steps]
        wanted = {*range(1, DENSE + 1), *grown, self.distance, self.distance + 1, most}
        return sorted(length for length in wanted if 1 <= length <= most)

    def measure(self, evidence: Evidence) -> Measurement:
        lengths = evidence["length"][0].astype(float)
        by_loss, by_kl = (
            _Curve(lengths, evidence["kept"][..., kind], evidence["null"][:, kind], self.seed)
            for kind in (LOSS, KL)
        )
        metrics = {
            "effective_length": by_loss.enough("tokens"),
            "effective_length_kl": by_kl.enough("tokens"),
            "share_of_length": by_loss.enough("", 1 / float(evidence["whole"][0])),
            "bits_from_context": by_loss.at(1),
            "loss_at_distance": by_loss.at(self.distance),
            "kl_at_distance": by_kl.at(self.distance),
            **copy_metrics(evidence, self.distance, self.seed),
        }
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="effective_length",
            series=(_table(evidence, self.seed), *copy_table(evidence, self.seed)),
        )


def _kept(
    observation: Observation, read: Read, ends: np.ndarray, lengths: list[int]
) -> Float[np.ndarray, "batch lengths measures"]:
    """Mean changes of the predictions at steps (batch, targets), by how many tokens are kept."""
    run, device = observation.interventions, observation.inputs.device
    assert run is not None
    steps = torch.from_numpy(ends).to(device).flatten()
    sequences = torch.arange(len(ends), device=device).repeat_interleave(ends.shape[1])
    found = [
        run.fresh(cut_out(observation, sequences, steps - length + 1, length), read, last=1)
        for length in lengths
    ]
    kept: np.ndarray = torch.cat(found, dim=1).unflatten(0, ends.shape).mean(1).cpu().numpy()
    return kept


@dataclass(frozen=True)
class _Curve:
    """One kind of change, (sequences, lengths), by how many tokens are kept."""

    lengths: Float[np.ndarray, " lengths"]
    rows: Float[np.ndarray, "sequences lengths"]
    unedited: Float[np.ndarray, " sequences"]
    seed: int

    def enough(self, unit: str, scale: float = 1.0) -> Estimate:
        """The effective length, times the scale."""
        if self._unknown:
            return Estimate.missing(unit, self._unknown)
        nothing = np.full(len(self.lengths), self.unedited.mean())
        return estimated(
            self.rows,
            lambda curve: scale * enough(curve, self.lengths, ALLOWED),
            unit,
            Null(KEPT, float(scale * enough(nothing, self.lengths, ALLOWED))),
            seed=self.seed,
            beyond=f"even the last {self.lengths[-1]:.0f} tokens do not predict like all of them",
            longest=float(scale * self.lengths[-1]),
        )

    def at(self, length: int) -> Estimate:
        """Bits of change with so many tokens."""
        if length not in self.lengths:
            most = self.lengths[-1]
            return Estimate.missing(
                "bits", f"{length} tokens were not measured; {most:.0f} were the most"
            )
        if self._unknown:
            return Estimate.missing("bits", self._unknown)
        column = self.rows[:, self.lengths.tolist().index(length)]
        null = Null(KEPT, float(self.unedited.mean()))
        return estimated_mean(column, "bits", null, seed=self.seed)

    @property
    def _unknown(self) -> str:
        return "the outputs do not predict the inputs" if np.isnan(self.rows).all() else ""


def _table(evidence: Evidence, seed: int) -> Series:
    kept = evidence["kept"]
    table = {
        "length": evidence["length"][0],
        **columns(kept[..., LOSS], "loss_bits", "", seed=seed),
        **columns(kept[..., KL], "kl_bits", "kl_", seed=seed),
        "top_changed": kept[..., TOP].mean(0),
        "n": [len(kept)] * kept.shape[1],
    }
    return Series.of("context", table, {"length": "tokens"})


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    worth, needed = metrics["bits_from_context"], metrics["effective_length"]
    if worth.value is None:
        return f"By the KL divergence alone, {_needed(metrics['effective_length_kl'])}."
    return (
        f"For the loss, {_needed(needed)}; what comes before the present token is worth "
        f"{worth.value:.2g} bits.{_copied(metrics['copied_at_distance'], distance)}"
    )


def _needed(length: Estimate) -> str:
    if length.value is None:
        return length.reason
    enough = "present token is" if length.value == 1 else f"last {length.value:.0f} tokens are"
    return f"the {enough} as good as all, to {MORE:.0%} of perplexity"


def _copied(gained: Estimate, distance: int) -> str:
    if gained.value is None:
        return ""
    if gained.low is None or gained.low <= 0:
        return f" Random tokens are not copied over {distance} steps."
    return (
        f" Random tokens that come again after {distance} steps cost {gained.value:.2g} of "
        f"{gained.ceiling:.2g} bits less."
    )
