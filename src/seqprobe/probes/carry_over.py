"""What goes from one call to the next: the state that should, and nothing else."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from seqprobe.contracts import Estimate, Evidence, Measurement, Needs, Observation, Probe, Series
from seqprobe.errors import ModelError
from seqprobe.probes.evidence import boundary, chunks, washout
from seqprobe.probes.evidence.leaks import leaks
from seqprobe.probes.evidence.predicting import why_no_loss

ROUNDING = 64


@dataclass(frozen=True)
class CarryOver(Probe):
    """Chunks against one pass, carried against reset, leakage, and washout of the past."""

    id: ClassVar[str] = "carry-over"
    passes: ClassVar[float] = 3.0
    title: ClassVar[str] = "Carry-over between calls"
    question: ClassVar[str] = "What is carried from one call to the next, and what is it worth?"
    method: ClassVar[str] = (
        "The loss after a boundary is measured with all that was read before it, and with nothing; "
        "the difference is the gain of carrying. Where the module returns a state that one of its "
        "arguments takes again, sequences are read in chunks and held against one pass; also token "
        "by token, if only that goes on with what was read. The same "
        "batch is read again after others, other rows of it are replaced, and its rows are turned "
        "round: no output may change. For the washout, everything before the boundary is drawn "
        "anew; the distance of the outputs after it is relative to that at its last token."
    )
    reading: ClassVar[str] = (
        "The gain is what throwing the state away costs per token, and for how long. A washout "
        "that falls along a straight line forgets by the same factor at each step."
    )
    limits: ClassVar[str] = (
        "Reading afresh also moves a token's position: in models with positions the gain counts "
        "that too. What cannot be told from rounding counts as no gain. The past drawn anew is "
        "unlike text, and a washout slower than exponential has no single rate."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Transformer-XL: attentive language models beyond a fixed-length context "
        "(Dai et al., 2019)",
        "The echo state approach to analysing and training recurrent neural networks "
        "(Jaeger, 2001)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", rerun=True, lengths=True)

    def observe(self, observation: Observation) -> Evidence:
        rows, (gains, no_loss) = len(observation.inputs), _gains(observation)
        known: dict[str, object] = {
            "precision": torch.finfo(observation.outputs.dtype).eps,
            "causal": observation.causal,
            "no_loss": no_loss,
        }
        generators = [self.random(number) for number in observation.sequences]
        return {
            **{name: np.full(rows, value) for name, value in known.items()},
            **leaks(observation),
            **chunks.differences(observation),
            **washout.distances(observation, generators),
            **gains,
        }

    def measure(self, evidence: Evidence) -> Measurement:
        rounding = ROUNDING * float(evidence["precision"][0])
        leakage = _leakage(evidence, rounding)
        why = _why_untold(evidence, leakage, rounding)
        told = {} if why else self._told(evidence)
        because = why or str(evidence["no_loss"][0])
        metrics = {
            **{name: Estimate.missing(unit, because) for name, unit in UNITS.items() if because},
            **told,
            **leakage,
            "rounding": Estimate(rounding, "", exact=True),
        }
        return Measurement(
            headline=_headline(metrics, evidence),
            metrics=metrics,
            key="gain_bits",
            series=() if why else self._tables(evidence, metrics),
        )

    def _told(self, evidence: Evidence) -> dict[str, Estimate]:
        precision, seed = float(evidence["precision"][0]), self.seed
        found = chunks.estimates(evidence)
        if "gain" in evidence:
            found |= boundary.estimates(evidence["gain"], evidence["gain_null"], seed)
        return found | washout.estimates(evidence["apart"], evidence["size"], precision, seed)

    def _tables(self, evidence: Evidence, metrics: dict[str, Estimate]) -> tuple[Series, ...]:
        tables = []
        if metrics["gain_bits"].value is not None:
            tables.append(boundary.table(evidence["gain"], self.seed))
        if metrics["washout_steps"].null is not None:
            tables.append(washout.table(evidence["apart"], self.seed))
        if by_chunk := chunks.table(evidence):
            tables.append(by_chunk)
        return tuple(tables)


def _gains(observation: Observation) -> tuple[Evidence, str]:
    """Or why there are none."""
    if because := why_no_loss(observation):
        return {}, because
    try:
        return boundary.gains(observation), ""
    except ModelError as error:
        return {}, f"half a sequence cannot be read: {error.said}"


UNITS = {
    "gain_bits": "bits",
    "gain_steps": "tokens",
    "equivalence_error": "",
    "washout_rate": "nats/step",
    "washout_steps": "steps",
}
CALLS, ROWS = "calls leak into each other", "rows of a batch leak into each other"


def _leakage(evidence: Evidence, rounding: float) -> dict[str, Estimate]:
    """Rows cannot be compared from call to call where calls leak."""
    calls, rows = (_leak(evidence[name]) for name in ("call_leak", "row_leak"))
    if (calls.value or 0.0) > rounding:
        rows = Estimate.missing("", CALLS)
    return {"call_leakage": calls, "row_leakage": rows}


def _leak(found: np.ndarray) -> Estimate:
    if not np.isfinite(found).all():
        return Estimate.missing("", "some outputs are not finite")
    return Estimate(float(found.max()), "", n=len(found), exact=True)


def _why_untold(evidence: Evidence, leakage: dict[str, Estimate], rounding: float) -> str:
    """Why nothing else can be measured; empty where it can."""
    for name, why in (("call_leakage", CALLS), ("row_leakage", ROWS)):
        if (leakage[name].value or 0.0) > rounding:
            return why
    if not evidence["causal"].all():
        return "outputs depend on later inputs: there is no past to carry"
    return ""


def _headline(metrics: dict[str, Estimate], evidence: Evidence) -> str:
    gain, steps, error = (metrics[n] for n in ("gain_bits", "gain_steps", "equivalence_error"))
    saved = f"What carrying saves is not estimable, because {gain.reason}"
    if gain.value is not None:
        first = min(boundary.FIRST, evidence["gain"].shape[1])
        saved = (
            f"Carrying the past saves {gain.value:.2g} bits per token over the first {first} "
            "tokens after a boundary"
        )
        if steps.value:
            saved += f", and {boundary.HELPS} bits or more for {steps.value:.0f} tokens"
    equal = f"Chunks cannot be held against one pass, because {error.reason}"
    if error.value is not None:
        singly = bool(evidence["singly"][0])
        equal = (
            f"Read {'one token at a time' if singly else 'in chunks'} through "
            f"`{evidence['argument'][0]}`, outputs differ by at most {error.value:.1g} of the "
            "largest"
        )
    several = metrics.get("chunk_error")
    if several and several.value is not None:
        equal += f"; read in chunks, by {several.value:.1g}"
    return f"{saved}. {equal}."
