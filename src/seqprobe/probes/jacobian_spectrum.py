"""In how many directions, and how fast, small changes of a state grow or fade."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from seqprobe.contracts import (
    Estimate,
    Evidence,
    Jacobian,
    Measurement,
    Needs,
    Null,
    Observation,
    Probe,
    Recurrence,
    Series,
)
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means
from seqprobe.estimators.lyapunov import lyapunov_exponents, orthonormal
from seqprobe.estimators.spectrum import (
    effective_rank,
    log_singular_values,
    product_singular_values,
)

EXPONENTS, EVERY, VALUES = 16, 4, 8
LONGEST, WIDEST = 64, 1024
MOST_ROWS, DIRECTIONS = 256, 32
"""Of other models: the widest state of which every row is taken, and random rows of wider ones."""
TOO_WIDE = Estimate.missing("directions", f"the state has more than {MOST_ROWS} numbers")
Rows = Float64[np.ndarray, "sequences points"]


@dataclass(frozen=True)
class JacobianSpectrum(Probe):
    """Singular values of d state_t / d state_{t-k}, and Lyapunov exponents; or over-squashing."""

    id: ClassVar[str] = "jacobian-spectrum"
    passes: ClassVar[float] = 60.0
    title: ClassVar[str] = "Spectrum of the Jacobian"
    question: ClassVar[str] = (
        "In how many directions does a change survive, and how fast does it fade?"
    )
    method: ClassVar[str] = (
        "Recurrent models: tangents of the whole state (hidden and cell, all layers) are carried "
        "through the linearised steps and made orthonormal by QR every four; the mean logarithm "
        "of what each direction gains, after a quarter of the sequence, is its Lyapunov exponent. "
        "Singular values of the product over k steps stand beside it: growth for a while is no "
        "growth for ever. Other models: singular values of d state_n / d x_s of the last layer at "
        "the last step, by position s, and how many directions they span; of states of more than "
        f"{MOST_ROWS} numbers only the norm, from {DIRECTIONS} random rows."
    )
    reading: ClassVar[str] = (
        "An exponent of -0.1 loses a factor e every ten steps; above zero small changes grow: the "
        "state is chaotic. A low effective rank means that all the past is squeezed into a few "
        "directions."
    )
    limits: ClassVar[str] = (
        "Exponents are averages along the sequences that were fed, and of finite length: the table "
        "of convergence says how far they have settled. The step is the one of `nn.RNN`, `nn.LSTM` "
        "and `nn.GRU` that run forward; of other recurrences the step is not known."
    )
    references: ClassVar[tuple[str, ...]] = (
        "Lyapunov characteristic exponents for smooth dynamical systems (Benettin et al., 1980)",
        "On Lyapunov Exponents for RNNs (Vogt et al., 2022)",
        "The effective rank: a measure of effective dimensionality (Roy and Vetterli, 2007)",
        "On the Emergence of Position Bias in Transformers (Wu et al., 2025)",
    )

    @property
    def needs(self) -> Needs:
        return Needs(stream="data", states=True, gradients=True, sequences=8)

    def observe(self, observation: Observation) -> Evidence:
        if observation.recurrence is not None:
            return _recurrent(observation.recurrence, observation, self.seed)
        if observation.jacobian is None:
            raise NotApplicable("the step from state to state cannot be told apart from the rest")
        return _by_position(observation.jacobian, observation, self.distance)

    def measure(self, evidence: Evidence) -> Measurement:
        measured = _of_states if "running" in evidence else _of_positions
        return measured(evidence, self.distance, self.seed)


def _recurrent(recurrence: Recurrence, observation: Observation, seed: int) -> Evidence:
    """Exponents after a quarter of the sequence, and singular values from there on."""
    batch, time = observation.inputs.shape[:2]
    like: dict[str, Any] = {
        "dtype": observation.outputs.dtype,
        "device": observation.outputs.device,
    }
    burn_in, width = time // 4, recurrence.width
    start = orthonormal(1, min(EXPONENTS, width), width, seed=seed, **like)
    found = lyapunov_exponents(
        recurrence.push, start.repeat(batch, 1, 1), time, burn_in=burn_in, every=EVERY
    )
    quarters = [len(found.steps) * part // 4 - 1 for part in (1, 2, 3, 4)]
    rows = {
        "running": found.running[quarters].transpose(0, 1).cpu().numpy(),
        "lengths": np.tile([found.steps[mark] for mark in quarters], (batch, 1)),
    }
    if width > WIDEST:
        return rows

    def later(tangents: Tensor, step: int) -> Tensor:
        return recurrence.push(tangents, burn_in + step)

    distances = _doubling(min(LONGEST, time - burn_in))
    values = product_singular_values(later, width, distances, batch=batch, **like)
    return rows | _spectra(values.transpose(0, 1), distances)


def _by_position(jacobian: Jacobian, observation: Observation, distance: int) -> Evidence:
    """Singular values of the last layer at the last step against single inputs."""
    if not observation.states:
        raise NotApplicable("no states per step are known")
    time = observation.inputs.shape[1]
    distances = sorted({0, *_doubling(time - 1), min(distance, time - 1), time - 1})
    sources = time - 1 - torch.tensor(distances)
    site, state = list(observation.states.items())[-1]
    if state.shape[-1] > MOST_ROWS:
        found = jacobian(site, time - 1, sources, _signs(state.shape[-1]))
        squares = found.double().square().mean(2).sum(-1)
        rows = {"norm": (squares.log() / 2 + math.log(state.shape[-1]) / 2).cpu().numpy()}
        return {"distances": np.tile(distances, (len(found), 1)), **rows}
    found = jacobian(site, time - 1, sources)
    scale = torch.zeros(found.shape[:2], dtype=torch.float64, device=found.device)
    values = log_singular_values(found, scale)
    return _spectra(values, distances)


def _signs(width: int) -> Float[Tensor, "directions width"]:
    """Random directions of length one; the mean square of what they give estimates the norm."""
    generator = torch.Generator().manual_seed(width)
    drawn = torch.randint(2, (DIRECTIONS, width), generator=generator)
    signs: Tensor = (2.0 * drawn - 1) / width**0.5
    return signs


def _doubling(longest: int) -> list[int]:
    return [2**power for power in range(longest.bit_length()) if 2**power <= longest]


def _spectra(
    values: Float64[Tensor, "batch distances values"], distances: list[int]
) -> dict[str, np.ndarray]:
    """The largest few values, the effective rank and the norm, by distance; logarithms."""
    top = values[..., :1]
    relative = (values - top).nan_to_num(nan=-math.inf).exp()
    return {
        "distances": np.tile(distances, (len(values), 1)),
        "largest": values[..., :VALUES].cpu().numpy(),
        "rank": effective_rank(relative).cpu().numpy(),
        "norm": (0.5 * (2 * values).logsumexp(-1)).cpu().numpy(),
    }


def _of_states(evidence: Evidence, distance: int, seed: int) -> Measurement:
    last = evidence["running"][:, -1]
    metrics = {"lyapunov_max": _exponent(last[:, 0], seed)}
    metrics["time_constant"] = _time_constant(metrics["lyapunov_max"])
    tables = [_convergence(evidence, seed)]
    warnings: tuple[str, ...] = ()
    if "largest" in evidence:
        metrics |= {
            "effective_rank": _rank(evidence, distance, seed),
            "transient_growth": _transient(evidence, seed),
        }
        rate = metrics["lyapunov_max"].value
        tables.insert(0, _by_distance(evidence, seed, rate))
    else:
        warnings = (f"singular values are left out: a state has more than {WIDEST} numbers",)
    return Measurement(
        _headline_of_states(metrics), metrics, "lyapunov_max", tuple(tables), warnings
    )


def _exponent(rows: Float64[np.ndarray, " sequences"], seed: int) -> Estimate:
    null = Null("orthogonal recurrence", 0.0)
    if not np.isfinite(rows).all():
        because = "every direction is annihilated: the state does not depend on the one before"
        return Estimate.missing("nats/step", because, n=len(rows), null=null)
    about = number_interval(resampled_means(rows[:, None], seed)[:, 0], len(rows), seed)
    return Estimate.sampled(float(rows.mean()), "nats/step", about, n=len(rows), null=null)


def _time_constant(exponent: Estimate) -> Estimate:
    """Steps in which the slowest direction loses a factor e."""
    n, null = exponent.n, Null("memoryless model", 0.0)
    if exponent.value is None:
        return Estimate(0.0, "steps", low=0.0, high=0.0, n=n, null=null)
    low, high = (_steps(end) for end in (exponent.low, exponent.high))
    if exponent.value >= 0 or (exponent.high is not None and high is None):
        return Estimate.missing("steps", "no direction is sure to fade", low=low, n=n, null=null)
    return Estimate(-1 / exponent.value, "steps", low=low, high=high, n=n, null=null)


def _steps(exponent: float | None) -> float | None:
    return -1 / exponent if exponent is not None and exponent < 0 else None


def _rank(evidence: Evidence, distance: int, seed: int) -> Estimate:
    """At the measured distance that is nearest to the one asked about, and not above it."""
    distances, rows = evidence["distances"][0], evidence["rank"]
    index = int(np.flatnonzero(distances <= distance)[-1])
    about = number_interval(resampled_means(rows, seed)[:, index], len(rows), seed)
    null = Null("memoryless model", 0.0)
    value = float(rows[:, index].mean())
    found = Estimate.sampled(value, "directions", about, n=len(rows), null=null)
    there = int(distances[index])
    return found if there == distance else replace(found, reason=f"at {there} steps")


def _transient(evidence: Evidence, seed: int) -> Estimate:
    """The most that any change has grown over any of the distances."""
    rows = evidence["largest"][..., 0]
    null = Null("a contraction", 1.0)
    value = float(np.exp(rows.mean(0).max()))
    again = np.exp(_means(rows, seed).max(1))
    about = number_interval(again, len(rows), seed)
    return Estimate.sampled(value, "", about, n=len(rows), null=null)


def _means(rows: Rows, seed: int) -> np.ndarray:
    """Of rows drawn again; -inf where a row is."""
    lost = ~np.isfinite(rows)
    again = resampled_means(np.where(lost, 0.0, rows), seed)
    return np.where(resampled_means(lost.astype(np.float64), seed) > 0, -np.inf, again)


def _by_distance(evidence: Evidence, seed: int, rate: float | None) -> Series:
    """Geometric means over sequences."""
    largest = evidence["largest"][..., 0]
    low, high = curve_interval(_means(largest, seed), len(largest))
    distances = evidence["distances"][0]
    columns = {
        "distance": distances,
        "largest": np.exp(largest.mean(0)),
        "low": np.exp(low),
        "high": np.exp(high),
        "norm": np.exp(evidence["norm"].mean(0)),
        "rank": evidence["rank"].mean(0),
        "asymptotic": np.exp(distances * rate) if rate is not None else math.nan,
        "n": len(largest),
    }
    return Series.stacked("jacobian-spectrum", [columns])


def _norms_by_distance(evidence: Evidence, seed: int) -> Series:
    """Where single values are not known."""
    norm = evidence["norm"]
    low, high = curve_interval(_means(norm, seed), len(norm))
    columns = {
        "distance": evidence["distances"][0],
        "norm": np.exp(norm.mean(0)),
        "low": np.exp(low),
        "high": np.exp(high),
        "n": len(norm),
    }
    return Series.stacked("jacobian-spectrum", [columns])


def _convergence(evidence: Evidence, seed: int) -> Series:
    """Every exponent after a quarter, a half, three quarters and all of the counted steps."""
    parts = []
    for index in range(evidence["running"].shape[2]):
        rows = evidence["running"][..., index]
        low, high = curve_interval(_means(rows, seed), len(rows))
        parts.append(
            {
                "length": evidence["lengths"][0],
                "index": index + 1,
                "exponent": rows.mean(0),
                "low": low,
                "high": high,
                "n": len(rows),
            }
        )
    return Series.stacked("jacobian-spectrum-convergence", parts)


def _headline_of_states(metrics: Mapping[str, Estimate]) -> str:
    exponent, constant = metrics["lyapunov_max"], metrics["time_constant"]
    if exponent.value is None:
        return exponent.reason[0].upper() + exponent.reason[1:] + "."
    if constant.value is not None:
        return (
            f"The slowest direction of the state loses a factor e every {constant.value:.1f} "
            f"steps (largest Lyapunov exponent {exponent.value:.3f} nats per step)."
        )
    return f"Largest Lyapunov exponent {exponent.value:.3f} nats per step: {constant.reason}."


def _of_positions(evidence: Evidence, distance: int, seed: int) -> Measurement:
    rank = _rank(evidence, distance, seed) if "rank" in evidence else TOO_WIDE
    primacy = _primacy(evidence["norm"], evidence["distances"][0], seed)
    known = "largest" in evidence
    return Measurement(
        _headline_of_positions(rank, primacy, distance),
        {"effective_rank": rank, "primacy": primacy},
        "effective_rank" if known else "primacy",
        (_by_distance(evidence, seed, None) if known else _norms_by_distance(evidence, seed),),
    )


def _headline_of_positions(rank: Estimate, primacy: Estimate, distance: int) -> str:
    said = []
    if rank.value is not None:
        said.append(
            f"seen from {distance} steps later, an input acts in {rank.value:.1f} directions"
        )
    if primacy.value is not None:
        said.append(
            f"the first position acts {primacy.value:.2g} times as strongly as the median one"
        )
    headline = "; ".join(said) or primacy.reason
    return f"{headline[0].upper()}{headline[1:]}."


def _primacy(norm: Rows, distances: np.ndarray, seed: int) -> Estimate:
    """How much stronger the very first input acts on the last step than the median one.

    Few positions are measured, and most of them near: logarithms in between lie on a line.
    """
    null = Null("the same influence everywhere", 1.0)
    every = np.arange(distances[-1])
    median = np.median([np.interp(every, distances, row) for row in norm], axis=1)
    if not np.isfinite(median).all():
        because = "most earlier inputs have no influence at all"
        return Estimate.missing("", because, n=len(norm), null=null)
    ratio = np.exp(norm[:, -1] - median)
    about = number_interval(resampled_means(ratio[:, None], seed)[:, 0], len(ratio), seed)
    return Estimate.sampled(float(ratio.mean()), "", about, n=len(ratio), null=null)
