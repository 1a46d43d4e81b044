"""What states and gates do in a training loop's own forwards."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES
from seqprobe.probes.evidence import gates
from seqprobe.probes.evidence.gates import SATURATED, STRETCHES
from seqprobe.probes.evidence.over_sequences import typical
from seqprobe.probes.evidence.positions import by_position, evenly_long, first_and_last_quarter

NORMS = "/norms"
NO_STATES = ("embedding", "inputs")


@dataclass(frozen=True)
class States(Probe):
    """Norms of states along the sequence, and gates, in the forwards that train the model."""

    id: ClassVar[str] = "states"
    title: ClassVar[str] = "States and gates in training"
    question: ClassVar[str] = "Do states grow along the sequence, and do gates still move?"
    method: ClassVar[str] = (
        "Norms of what recurrent layers and blocks give in the loop's own forwards, in the last "
        "quarter of the steps relative to the first: geometric mean over sequences and sites. "
        "Gates are those that keep the state, of the first sequence of each forward: half of them "
        f"keep it for the time constant; saturated ones lie within {SATURATED:g} of 0 or 1. With "
        f"fewer than {FEWEST_SEQUENCES} sequences the interval of that share is over {STRETCHES} "
        "stretches of each."
    )
    reading: ClassVar[str] = (
        "A saturated gate gets hardly any gradient: it stays closed or open. Open ones are what a "
        "memory of more than a hundred steps needs. Norms that grow along the sequence go on "
        "growing in longer ones."
    )
    limits: ClassVar[str] = (
        "Stretches of one sequence are less independent than sequences are, most of all where "
        "gates follow something slow in the data. Of a recurrence the outputs are seen, not the "
        "cell state. Other gates than those that keep the state are not counted."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Visualizing and understanding recurrent networks (Karpathy et al., 2015)",
        "Can recurrent neural networks warp time? (Tallec and Ollivier, 2018)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="loop", states=True)

    def observe(self, observation: Observation) -> Evidence:
        found = {
            f"{site}{NORMS}": norms.double().numpy()
            for site, norms in observation.state_norms.items()
            if site not in NO_STATES
        }
        if not found:
            raise NotApplicable("no module that gives a state per step was found")
        finite = [np.isfinite(norms).all(1) for norms in found.values()]
        unseen = [f"{what}: {why}" for what, why in observation.unseen.items() if what != "heads"]
        batch, time = observation.inputs.shape[:2]
        return {
            **found,
            **gates.observe(observation, 2 * self.distance),
            "finite": np.all(finite, axis=0),
            "time": np.full(batch, time),
            "unseen": np.full(batch, "; ".join(unseen)),
        }

    def rows(self) -> Evidence:
        """Sequences of one step need not be equally long."""
        return Probe.rows(replace(self, evidence=evenly_long(self.evidence, NORMS)))

    def measure(self, evidence: Evidence) -> Measurement:
        finite = evidence["finite"]
        sites = {
            name.removesuffix(NORMS): norms[finite]
            for name, norms in evidence.items()
            if name.endswith(NORMS)
        }
        metrics = {
            "norm_growth": _growth(sites, evidence["time"][finite]),
            **gates.metrics(evidence, self.seed),
        }
        parts = [_columns(site, norms) for site, norms in sites.items()]
        return Measurement(
            headline=_headline(metrics),
            metrics=metrics,
            key="norm_growth",
            series=(Series.stacked(self.id, parts), *gates.tables(self.id, evidence)),
            warnings=tuple(why for why in dict.fromkeys(evidence["unseen"].tolist()) if why),
        )


def _growth(
    sites: Mapping[str, Float64[np.ndarray, "sequences time"]], times: np.ndarray
) -> Estimate:
    """A sequence counts where its states are finite, and not zero, at all sites."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(first_and_last_quarter(norms, times)) for norms in sites.values()]
        ratios = np.exp(np.mean([late - early for early, late in logs], axis=0))
    return typical(
        ratios[np.isfinite(ratios)],
        Null("states of one size", 1.0),
        "states are zero, NaN or infinite in every sequence",
    )


def _columns(site: str, norms: Float64[np.ndarray, "sequences time"]) -> dict[str, object]:
    columns = by_position(norms, "norm")
    return {"position": columns.pop("position"), "site": site, **columns, "n": len(norms)}


def _headline(metrics: Mapping[str, Estimate]) -> str:
    growth, saturated = metrics["norm_growth"], metrics.get("saturated_gates")
    if growth.value is None:
        return f"{growth.reason[0].upper()}{growth.reason[1:]}."
    said = f"States are {growth.value:.2g} times as long at the end of a sequence as at its start"
    if saturated is None or saturated.value is None:
        return f"{said}."
    return f"{said}; {saturated.value:.0%} of the gates are saturated."
