"""How many bits about each past symbol can be read from the state."""

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
    Series,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import (
    FEWEST_SEQUENCES,
    curve_interval,
    number_interval,
    resampled_means,
)
from seqprobe.estimators.information import DecodedBits, decodable_bits

ALL = "all states"


@dataclass(frozen=True)
class Bottleneck(Probe):
    """Bits about x_{t-k} that a held-out linear decoder finds in the state at t."""

    id: ClassVar[str] = "bottleneck"
    title: ClassVar[str] = "Bits kept in the state"
    question: ClassVar[str] = "What can still be read from the state about the symbol k steps back?"
    method: ClassVar[str] = (
        "The model reads independent, equally likely symbols; a linear decoder in closed form is "
        "fitted on four fifths of the sequences and scored on the last fifth, in turn. Bits are "
        "the known entropy of the symbol minus the decoder's loss: a lower bound for everything "
        "that the state holds. The null is the same fit on the symbols of other sequences."
    )
    reading: ClassVar[str] = (
        "The state holds at least so many bits about the symbol k steps back; the dashed line is "
        "all there is to know. Inside the null band nothing was found."
    )
    limits: ClassVar[str] = (
        "At least: what a linear decoder cannot read is not counted, and few sequences make it "
        "read less. Symbols are drawn at random, so a model of text is far from what it was "
        "trained on. For attention it is the vector at one position, not the keys and values that "
        "stay available."
    )
    references: ClassVar[tuple[str, ...]] = (
        "The IM algorithm: a variational approach to information maximization "
        "(Barber and Agakov, 2003)",
        "A theory of usable information under computational constraints (Xu et al., 2020)",
        "Designing and interpreting probes with control tasks (Hewitt and Liang, 2019)",
    )  # fmt: skip

    @property
    def needs(self) -> Needs:
        return Needs(stream="iid", states=True, tokens=True, sequences=256)

    def observe(self, observation: Observation) -> Evidence:
        if not observation.states:
            raise NotApplicable("no state was recognised in the model; name some with sites=[...]")
        assert observation.alphabet is not None
        window = observation.inputs.shape[1] // 2
        symbols = torch.searchsorted(observation.alphabet, observation.inputs.cpu())
        states = {
            site: state[:, window:].detach().float().cpu().numpy()
            for site, state in observation.states.items()
        }
        rows = len(observation.sequences)
        return {
            "symbols": symbols.to(torch.uint8).numpy(),
            "classes": np.full(rows, len(observation.alphabet)),
            "sites": np.tile(np.array(list(states)), (rows, 1)),
            **{f"state {site}": state for site, state in states.items()},
        }

    def measure(self, evidence: Evidence) -> Measurement:
        if len(evidence["sites"]) < FEWEST_SEQUENCES:
            raise NotApplicable(
                "too few sequences to hold any out",
                got=str(len(evidence["sites"])),
                expected=f"at least {FEWEST_SEQUENCES}",
                do="Raise --limit.",
            )
        sites = evidence["sites"][0].tolist()
        states = {site: torch.from_numpy(evidence[f"state {site}"]) for site in sites}
        if len(sites) > 1:
            states = {ALL: torch.cat(list(states.values()), dim=-1), **states}
        classes = int(evidence["classes"][0])
        curves = [
            _Curve.of(site, state, torch.from_numpy(evidence["symbols"]).long(), classes, self.seed)
            for site, state in states.items()
        ]
        metrics = _metrics(curves[0], self.distance)
        return Measurement(
            headline=_headline(metrics, self.distance),
            metrics=metrics,
            key="total_bits",
            series=(Series.stacked(self.id, [_columns(curve) for curve in curves]),),
            warnings=_warnings(curves[0]),
        )


@dataclass(frozen=True)
class _Curve:
    """What one site holds at each lag, beside the same fit where there is nothing to find."""

    site: str
    width: int
    classes: int
    bits: DecodedBits
    null: np.ndarray
    low: np.ndarray
    high: np.ndarray
    null_high: np.ndarray

    @classmethod
    def of(
        cls,
        site: str,
        states: Float[torch.Tensor, "sequences steps width"],
        symbols: torch.Tensor,
        classes: int,
        seed: int,
    ) -> "_Curve":
        steps = states.shape[1]
        bits = decodable_bits(states, _lagged(symbols, steps), classes, seed=seed)
        elsewhere = _lagged(symbols.roll(1, dims=0), steps)
        null = decodable_bits(states, elsewhere, classes, seed=seed).held_out.double().numpy()
        low, high = curve_interval(
            resampled_means(bits.held_out.double().numpy(), seed), len(states)
        )
        return cls(
            site,
            states.shape[2],
            classes,
            bits,
            null.mean(0),
            low,
            high,
            curve_interval(resampled_means(null, seed), len(null))[1],
        )

    @property
    def rows(self) -> Float[np.ndarray, "sequences lags"]:
        """The lower bound in every sequence."""
        return self.bits.held_out.double().numpy()

    @property
    def value(self) -> Float[np.ndarray, " lags"]:
        mean: np.ndarray = np.mean(self.rows, axis=0)
        return mean

    @property
    def band(self) -> Float[np.ndarray, " lags"]:
        """What the fit may show where there is nothing to find."""
        band: np.ndarray = np.maximum(self.null_high, 0)
        return band

    @property
    def ceiling(self) -> float:
        return math.log2(self.classes)

    def entry(self, curve: np.ndarray) -> float:
        """The first lag at which a curve lies in the null band; infinite if none does.

        Of the lower confidence limit it is the first lag at which nothing is shown to be held.
        """
        inside = np.flatnonzero(~(curve > self.band))
        return float(inside[0]) if len(inside) else math.inf


def _lagged(symbols: torch.Tensor, steps: int) -> torch.Tensor:
    """The symbol k steps back, [sequence, step, k], for the last `steps` steps."""
    time = symbols.shape[1]
    lags = torch.arange(time - steps + 1)
    return symbols[:, torch.arange(time - steps, time)[:, None] - lags]


def _metrics(curve: _Curve, distance: int) -> dict[str, Estimate]:
    rows, (n, lags) = curve.rows, curve.rows.shape
    held = curve.entry(curve.low)
    kept = slice(0, int(min(held, lags)))

    bits, null = rows[:, kept].sum(1), float(curve.null[kept].sum())
    drawn = resampled_means(bits[:, None])[:, 0]

    def total(unit: str, share: float, ceiling: float | None = None) -> Estimate:
        nothing = Null("symbols of other sequences", null * share)
        interval = number_interval(drawn * share, n)
        value = float(bits.mean()) * share
        return Estimate.sampled(value, unit, interval, n=n, null=nothing, ceiling=ceiling)

    horizon = Estimate.sampled(
        held, "steps", (held, curve.entry(curve.high)), n=n, longest=float(lags - 1),
        null=Null("symbols of other sequences", curve.entry(curve.null)),
        beyond=f"the state still holds something at {lags - 1} steps, the longest measured",
    )  # fmt: skip
    return {
        "bits_at_distance": _bits_at(curve, distance, n),
        "total_bits": total("bits", 1.0, ceiling=lags * curve.ceiling),
        "horizon": horizon,
        "bits_per_state_float": total("bits", 1 / curve.width),
    }


def _bits_at(curve: _Curve, distance: int, n: int) -> Estimate:
    if distance >= len(curve.value):
        because = f"distance {distance} was not measured; {len(curve.value) - 1} was"
        return Estimate.missing("bits", because)
    null = Null(
        "symbols of other sequences",
        float(curve.null[distance]),
        None,
        float(curve.null_high[distance]),
    )
    interval = float(curve.low[distance]), float(curve.high[distance])
    value, ceiling = float(curve.value[distance]), curve.ceiling
    return Estimate.sampled(value, "bits", interval, n=n, null=null, ceiling=ceiling)


def _headline(metrics: dict[str, Estimate], distance: int) -> str:
    total, horizon, there = (metrics[m] for m in ("total_bits", "horizon", "bits_at_distance"))
    if horizon.value == 0:
        return "Nothing about the symbols can be read from the state, not even the present one."
    back = (
        f"up to {horizon.value - 1:.0f} steps back"
        if horizon.value
        else f"also at {horizon.low:.0f} steps, the longest measured"
    )
    at = "" if there.value is None else f" At distance {distance} it holds {_at(there)}."
    return f"The state holds at least {total.value:.1f} bits about the past, {back}.{at}"


def _at(there: Estimate) -> str:
    if there.null is not None and (there.low or 0) <= max(there.null.high or 0, 0):
        return "nothing that could be found"
    return f"at least {there.value:.2f} of {there.ceiling:.2f} bits"


def _warnings(curve: _Curve) -> tuple[str, ...]:
    """Say when the samples are too few for the width.

    Held-out loss exceeds the best possible one by (K - 1)(d + 1) / 2N nats to first order.
    """
    samples = curve.bits.held_out.shape[0] * (len(curve.value) - 1) * 4 // 5
    shortfall = (curve.classes - 1) * (curve.width + 1) / (2 * math.log(2) * samples)
    if shortfall < 0.1:
        return ()
    return (
        f"{samples} samples for a state of {curve.width} numbers: the bound may be up to "
        f"{shortfall:.2f} bits per symbol too low; raise --limit",
    )


def _columns(curve: _Curve) -> dict[str, object]:
    return {
        "distance": range(len(curve.value)),
        "site": curve.site,
        "lower_bound": curve.value,
        "low": curve.low,
        "high": curve.high,
        "estimate": curve.bits.estimate.numpy(),
        "null": curve.null,
        "null_high": curve.null_high,
        "ceiling": curve.ceiling,
    }
