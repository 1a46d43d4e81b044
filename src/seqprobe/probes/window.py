"""Which length ends the model: it is refused, loses the oldest token, or costs loss."""

import math
from collections.abc import Iterator
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
from seqprobe.probes.evidence import extrapolation, refused
from seqprobe.probes.evidence.oldest import OTHERS, SEQUENCES, Oldest, changed
from seqprobe.probes.evidence.predicting import why_no_loss
from seqprobe.probes.evidence.refused import FURTHER


@dataclass(frozen=True)
class Window(Probe):
    """First length that fails or loses bit-reach; loss by position beyond the trained length."""

    id: ClassVar[str] = "window"
    title: ClassVar[str] = "Window and longer inputs"
    question: ClassVar[str] = "Which length is too long, and what does reading on cost?"
    method: ClassVar[str] = (
        f"Lengths up to {FURTHER} times that of the analysis are tried, by doubling and halving. "
        f"In {SEQUENCES} sequences of the longest one, of independent symbols, the first is "
        f"replaced by {OTHERS} others, and outputs are compared bit for bit: the last step at "
        "which one differs is the reach of the oldest token. The loss at each position is averaged "
        "over sequences. The extrapolation ratio is the mean loss on tokens with L to 2L others "
        "before them, over the loss on the same tokens when only the last L/2 to L of these are "
        "read. L is the trained length if the checkpoint tells it, else that of the analysis."
    )
    reading: ClassVar[str] = (
        "The hard limit is the first length that the model refuses, or whose oldest token no "
        "longer changes a bit of the last output. A ratio above 1 means that it would predict "
        "better if it read less than it was given."
    )
    limits: ClassVar[str] = (
        "Limits beyond the longest length tried stay unseen. A fading memory loses its oldest "
        "token to rounding: that limit belongs to the precision."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Train short, test long: attention with linear biases enables input length extrapolation "
        "(Press et al., 2022)",
    )  # fmt: skip

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, lengths=True)

    def observe(self, observation: Observation) -> Evidence:
        assert observation.attempt is not None
        rows, time = observation.inputs.shape[:2]
        attempts = refused.tried(observation.attempt, time)
        longest = max(one.length for one in attempts if refused.works(one))
        first = [number for number in observation.sequences if number < SEQUENCES]
        told = observation.trained_length
        known: dict[str, object] = {
            "told": told or 0,
            "trained": told or time,
            "source": observation.longest or math.inf,
            "precision": torch.finfo(observation.outputs.dtype).eps,
            "causal": observation.causal,
            "no_loss": (no_loss := why_no_loss(observation)),
        }
        read = min(longest, observation.longest or longest)
        return {
            **{name: np.full(rows, value) for name, value in known.items()},
            **({} if no_loss else extrapolation.losses(observation, read, told or time)),
            **(refused.as_evidence(attempts) if 0 in first else {}),
            **(changed(observation, longest, list(map(self.random, first))) if first else {}),
        }

    def measure(self, evidence: Evidence) -> Measurement:
        first, error = refused.first_refused(evidence)
        oldest, told = Oldest.of(evidence), int(evidence["told"][0])
        metrics = {
            "hard_limit": _hard_limit(first, oldest),
            "extrapolation_ratio": self._ratio(evidence, error),
            "reach": oldest.reach,
            "reach_above_rounding": oldest.above_rounding,
            "refused_length": first,
            "trained_length": _trained(told),
        }
        return Measurement(
            headline=_headline(metrics, oldest, error, int(evidence["trained"][0])),
            metrics=metrics,
            key="hard_limit",
            series=(*self._tables(evidence, oldest), refused.table(evidence)),
        )

    def _ratio(self, evidence: Evidence, error: str) -> Estimate:
        if because := _why_no_ratio(evidence, error):
            return Estimate.missing("", because)
        return extrapolation.ratio(evidence, self.seed)

    def _tables(self, evidence: Evidence, oldest: Oldest) -> Iterator[Series]:
        if "loss" in evidence and np.isfinite(evidence["loss"]).all():
            yield extrapolation.table(evidence["loss"], int(evidence["trained"][0]), self.seed)
        if not oldest.reason:
            yield oldest.table()


def _why_no_ratio(evidence: Evidence, error: str) -> str:
    """Why the loss beyond the trained length is not known; empty where it is."""
    if without := str(evidence["no_loss"][0]):
        return without
    finite = np.isfinite(evidence["loss"]).all(0)
    if not finite.all():
        return f"the loss is not finite at position {int(finite.argmin()) + 1:,}"
    read, trained = evidence["loss"].shape[1] + 1, int(evidence["trained"][0])
    if extrapolation.enough(read, trained):
        return ""
    source = float(evidence["source"][0])
    if source < 2 * trained:
        return (
            f"sequences of this source end after {source:,.0f} tokens; give longer text as --data"
        )
    if error:
        return f"the model takes no {2 * trained:,} tokens: {error}"
    return f"{read:,} tokens were read, and {2 * trained:,} are needed; raise --length"


def _trained(told: int) -> Estimate:
    if told:
        return Estimate(float(told), "tokens", exact=True)
    return Estimate.missing("tokens", "the checkpoint does not tell")


def _hard_limit(first: Estimate, oldest: Oldest) -> Estimate:
    """The first length that is refused, or at which the oldest token is one step too far."""
    lost = float(oldest.furthest + 2) if oldest.ends else math.inf
    if first.value is None and lost == math.inf:
        return first
    return Estimate(min(first.value or math.inf, lost), "tokens", exact=True)


def _headline(metrics: dict[str, Estimate], oldest: Oldest, error: str, trained: int) -> str:
    first, beyond = metrics["refused_length"], metrics["extrapolation_ratio"]
    taken = first.reason[:1].upper() + first.reason[1:]
    if first.value is not None:
        taken = f"The first length that fails is {first.value:,.0f} tokens: {error.rstrip('.')}"
    because = beyond.reason.removesuffix(f": {error}") if error else beyond.reason
    ratio = f"The extrapolation ratio is not estimable, because {because}"
    if beyond.value is not None:
        whose = "trained length" if metrics["trained_length"].value else "length of the analysis"
        times = f"{beyond.value:.3f} times that within"
        ratio = f"Beyond the {whose} ({trained:,} tokens) the loss is {times}"
    return f"{taken}. {_reach(oldest)}. {ratio}."


def _reach(oldest: Oldest) -> str:
    if oldest.reason:
        return f"The reach of the oldest token is not estimable, because {oldest.reason}"
    if oldest.furthest == 0:
        return "No token changes a later output"
    until = f"at all {oldest.furthest:,} steps measured"
    if oldest.ends:
        until = (
            f"up to {oldest.furthest:,} steps later{'' if oldest.fades else ', then is cut off'}"
        )
    above = oldest.above_rounding.value
    faint = f", beyond {above:,.0f} no more than rounding does" if above and oldest.fades else ""
    return f"The oldest token changes the output {until}{faint}"
