"""How fast two different pasts stop to matter while the same is read after them."""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Series
from seqprobe.estimators.bootstrap import curve_interval, number_interval, resampled_means
from seqprobe.estimators.decay import exponential_rate, last_crossings
from seqprobe.estimators.spans import log_spaced
from seqprobe.probes.evidence.replaced import drawn_values

WASHED, ROUNDING = 1e-3, 16
SAME = "the same past twice"

Squares = Float64[np.ndarray, "sequences steps"]


def distances(observation: Observation, generators: list[np.random.Generator]) -> Evidence:
    """Squared distances of outputs after two pasts, from the last token of these on.

    The other past is independent inputs, as frequent as in the data, or noise. `size` is the
    squared size of the outputs.
    """
    assert observation.rerun is not None
    inputs = observation.inputs
    boundary = inputs.shape[1] // 2
    edited = inputs.clone()
    for row, generator in enumerate(generators):
        edited[row, :boundary] = _past(observation, boundary, generator)
    plain, other = (
        observation.rerun(each)[:, boundary - 1 :].double() for each in (inputs, edited)
    )
    apart = (plain - other).where(plain != other, 0.0)
    return {
        "apart": apart.square().sum(-1).cpu().numpy(),
        "size": plain.square().sum(-1).mean(1).cpu().numpy(),
    }


def _past(observation: Observation, steps: int, generator: np.random.Generator) -> Tensor:
    like = observation.inputs
    if observation.values is not None:
        return drawn_values(observation.values, generator, steps)
    if observation.frequencies is None:
        return torch.from_numpy(generator.standard_normal((steps, *like.shape[2:]))).to(like)
    chances = observation.frequencies.double().cpu().numpy()
    drawn = generator.choice(len(chances), size=steps, p=chances / chances.sum())
    return torch.from_numpy(drawn).to(like)


def left(apart: Float64[np.ndarray, "*some steps"]) -> Float64[np.ndarray, "*some steps"]:
    """Natural logarithm of the distance relative to that at the boundary; -inf where none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = 0.5 * np.log(apart)
        found: np.ndarray = logs - logs[..., :1]
    return found


def estimates(apart: Squares, size: np.ndarray, precision: float, seed: int) -> dict[str, Estimate]:
    """`washout_rate`, the slope of the logarithm, and `washout_steps`, until a thousandth is left.

    The slope is fitted to what stands above rounding.
    """
    total = apart.mean(0)
    if not np.isfinite(apart).all() or total[0] == 0:
        because = "outputs at the boundary are the same whatever was read before it, or not finite"
        return {
            "washout_rate": Estimate.missing("nats/step", because),
            "washout_steps": Estimate.missing("steps", because),
        }
    n, longest = len(apart), float(apart.shape[1] - 1)
    floor = math.log(ROUNDING * precision) + 0.5 * math.log(size.mean() / total[0])
    curves = left(np.concatenate([total[None], resampled_means(apart, seed)]))
    rates = exponential_rate(curves, floor)
    steps = last_crossings(curves, math.log(WASHED))
    return {
        "washout_rate": Estimate.sampled(
            rates[0], "nats/step", number_interval(rates[1:], n, seed), n=n, null=Null(SAME, None),
            beyond="the distance is above rounding at fewer than five steps",
        ),
        "washout_steps": Estimate.sampled(
            steps[0], "steps", number_interval(steps[1:], n, seed), n=n,
            null=Null(SAME, 0.0), longest=longest,
            beyond=f"more than a thousandth is left after {longest:.0f} steps, the most measured",
        ),
    }  # fmt: skip


def table(apart: Squares, seed: int) -> Series:
    """The share of the distance that is left, at some steps."""
    last = apart.shape[1] - 1
    steps = [0, *(stop for _, stop in log_spaced(last))]
    low, high = curve_interval(left(resampled_means(apart, seed)), len(apart))
    columns = {
        "distance": steps,
        "left": np.exp(left(apart.mean(0)))[steps],
        "low": np.exp(low)[steps],
        "high": np.exp(high)[steps],
        "n": [len(apart)] * len(steps),
    }
    return Series.of("carry-over-washout", columns, {"distance": "steps"})
