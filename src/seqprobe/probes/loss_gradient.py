"""The gradient of the loss as a training loop's own backward brings it back, by position."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Interval,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Series,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES
from seqprobe.estimators.log_means import geometric_mean, share_interval
from seqprobe.probes.evidence.positions import by_position, evenly_long, first_and_last_quarter

NORMS = "/norms"
AT_THE_INPUT = ("embedding", "inputs")


@dataclass(frozen=True)
class LossGradient(Probe):
    """||d loss / d state_t|| for the embedding and other sites, at every position t."""

    id: ClassVar[str] = "loss-gradient"
    title: ClassVar[str] = "Gradient of the loss, by position"
    question: ClassVar[str] = "How much of the training signal comes back to each position?"
    method: ClassVar[str] = (
        "Norms of the gradients that the loop's own backward brings to the outputs of the "
        "embedding (or to real-valued inputs), of recurrent layers and of blocks; geometric means "
        "over the sequences of the step. No pass is added."
    )
    reading: ClassVar[str] = (
        "A gradient that is much smaller at early positions trains what lies far back little; one "
        "that is much larger there grows on its way back. What is not finite trains nothing."
    )
    limits: ClassVar[str] = (
        "All losses together: it does not tell from which distance a gradient comes, and the last "
        "positions have fewer losses after them. Its size is that of the loss as the loop writes "
        "it: a mean over a batch makes it smaller. At the output of a fused nn.LSTM, nn.GRU or "
        "nn.RNN it is only what comes from above, not what comes through the recurrence from later "
        "steps. Of two backward passes through one forward, the first counts. Padding counts as "
        "positions."
    )
    references: ClassVar[tuple[str, ...]] = (
        "On the difficulty of training recurrent neural networks (Pascanu et al., 2013)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="loop", gradients=True)

    def observe(self, observation: Observation) -> Evidence:
        found = observation.loss_gradients
        if not found:
            raise NotApplicable("no gradient of the loss comes back to any module that is watched")
        rows = {f"{site}{NORMS}": norms.double().numpy() for site, norms in found.items()}
        finite = [np.isfinite(norms).all(1) for norms in rows.values()]
        batch, time = observation.inputs.shape[:2]
        return {**rows, "finite": np.all(finite, axis=0), "time": np.full(batch, time)}

    def rows(self) -> Evidence:
        """Sequences of one step need not be equally long."""
        return super(type(self), replace(self, evidence=evenly_long(self.evidence, NORMS))).rows()

    def measure(self, evidence: Evidence) -> Measurement:
        finite, times = evidence["finite"], evidence["time"]
        sites = {
            name.removesuffix(NORMS): norms[finite]
            for name, norms in evidence.items()
            if name.endswith(NORMS)
        }
        metrics = {**_at_the_input(sites, times[finite]), "not_finite": _not_finite(finite)}
        return Measurement(
            headline=_headline(metrics),
            metrics=metrics,
            key="norm",
            series=(Series.stacked(self.id, [_columns(*each) for each in sites.items()]),),
        )


def _columns(site: str, norms: Float64[np.ndarray, "sequences time"]) -> dict[str, object]:
    columns = by_position(norms, "norm")
    return {"position": columns.pop("position"), "site": site, **columns, "n": len(norms)}


def _at_the_input(sites: Mapping[str, np.ndarray], times: np.ndarray) -> dict[str, Estimate]:
    """How large the gradient is there, and how large at early positions relative to late ones."""
    site = next((name for name in AT_THE_INPUT if name in sites), None)
    if site is None:
        because = "no gradient comes back to the embedding; are its weights frozen?"
        return {name: Estimate.missing("", because) for name in ("norm", "early_ratio")}
    early, late = first_and_last_quarter(sites[site], times)
    with np.errstate(divide="ignore"):
        ratios = (early / late)[late > 0]
    return {
        "norm": _typical(
            np.sqrt(np.nansum(sites[site] ** 2, axis=1)),
            Null("no gradient", 0.0),
            "the gradient of every sequence is NaN or infinite",
        ),
        "early_ratio": _typical(
            ratios,
            Null("the same at all positions", 1.0),
            "no sequence has a finite gradient at the last quarter of its positions",
        ),
    }


def _typical(values: Float64[np.ndarray, " sequences"], null: Null, without: str) -> Estimate:
    if not len(values):
        return Estimate.missing("", without, null=null)
    value, low, high = geometric_mean(values[:, None])[:, 0]
    interval = None if len(values) < FEWEST_SEQUENCES else Interval(float(low), float(high))
    return Estimate.sampled(float(value), "", interval, n=len(values), null=null)


def _not_finite(finite: Bool[np.ndarray, " sequences"]) -> Estimate:
    count, bad = len(finite), int((~finite).sum())
    null = Null("finite gradients", 0.0)
    interval = Interval(*share_interval(bad, count))
    return Estimate.sampled(bad / count, "", interval, n=count, null=null)


def _headline(metrics: Mapping[str, Estimate]) -> str:
    norm, ratio, bad = (metrics[name] for name in ("norm", "early_ratio", "not_finite"))
    if norm.value is None:
        return f"{norm.reason[0].upper()}{norm.reason[1:]}."
    early = (
        f"; the first quarter of the positions gets {ratio.value:.2g} times what the last gets"
        if ratio.value is not None
        else ""
    )
    lost = f" It is NaN or infinite in {bad.value:.0%} of the sequences." if bad.value else ""
    return f"The gradient of the loss has norm {norm.value:.2g} at the inputs{early}.{lost}"
