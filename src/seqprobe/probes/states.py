"""What states and gates do in a training loop's own forwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES, number_interval, resampled_means
from seqprobe.probes.evidence import gates
from seqprobe.probes.evidence.over_sequences import typical
from seqprobe.probes.evidence.positions import (
    AT_THE_INPUT,
    evenly_long,
    first_and_last_quarter,
    observed,
    of_finite,
    table,
)

SATURATED, STRETCHES = 0.01, 8


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
        norms = observation.state_norms
        found = {site: norms[site] for site in norms if site not in AT_THE_INPUT}
        if not found:
            raise NotApplicable("no module that gives a state per step was found")
        unseen = [f"{what}: {why}" for what, why in observation.unseen.items() if what != "heads"]
        batch, time = observation.inputs.shape[:2]
        return {
            **observed(found, time),
            **gates.observe(observation, 2 * self.distance),
            **_saturated(observation),
            "unseen": np.full(batch, "; ".join(unseen)),
        }

    def rows(self) -> Evidence:
        """Sequences of one step need not be equally long."""
        return Probe.rows(replace(self, evidence=evenly_long(self.evidence)))

    def measure(self, evidence: Evidence) -> Measurement:
        sites = of_finite(evidence)
        metrics = {
            "norm_growth": _growth(sites, evidence["time"][evidence["finite"]]),
            **gates.metrics(evidence),
            **_share_saturated(evidence, self.seed),
        }
        return Measurement(
            headline=_headline(metrics),
            metrics=metrics,
            key="norm_growth",
            series=(table(self.id, sites), *gates.tables(self.id, evidence)),
            warnings=tuple(why for why in dict.fromkeys(evidence["unseen"].tolist()) if why),
        )


def _saturated(observation: Observation) -> dict[str, np.ndarray]:
    """Per sequence and stretch of it, the share of gates near 0 or 1, mean over layers."""
    layers = [_stretches(gate) for gate in _gates(observation)]
    return {"saturated": torch.stack(layers).mean(0).cpu().numpy()} if layers else {}


def _gates(observation: Observation) -> Iterator[Float[Tensor, "time batch hidden"]]:
    for layer in observation.layers.values():
        gate = layer.retention
        if gate is not None:
            yield gate.detach().double()


def _stretches(gate: Float[Tensor, "time batch hidden"]) -> Float[Tensor, "batch stretches"]:
    """NaN where there are fewer steps than stretches, or a gate is NaN."""
    near = ((gate - 0.5).abs() > 0.5 - SATURATED).to(gate).where(~gate.isnan(), torch.nan)
    return torch.stack([part.mean((0, 2)) for part in near.tensor_split(STRETCHES)], dim=1)


def _share_saturated(evidence: Evidence, seed: int) -> dict[str, Estimate]:
    if "saturated" not in evidence:
        return {}
    rows = evidence["saturated"]
    count, few = len(rows), len(rows) < FEWEST_SEQUENCES
    samples = rows[~np.isnan(rows)] if few else np.nanmean(rows, axis=1)
    again = resampled_means(samples[:, None], seed)[:, 0] if len(samples) else samples
    return {
        "saturated_gates": Estimate.sampled(
            float(samples.mean()) if len(samples) else np.nan, "",
            number_interval(again, len(samples)), n=count, null=Null("gates that move", 0.0),
        )
    }  # fmt: skip


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


def _headline(metrics: Mapping[str, Estimate]) -> str:
    growth, saturated = metrics["norm_growth"], metrics.get("saturated_gates")
    if growth.value is None:
        return f"{growth.reason[0].upper()}{growth.reason[1:]}."
    said = f"States are {growth.value:.2g} times as long at the end of a sequence as at its start"
    if saturated is None or saturated.value is None:
        return f"{said}."
    return f"{said}; {saturated.value:.0%} of the gates are saturated."
