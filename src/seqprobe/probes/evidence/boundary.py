"""The loss after a boundary, once with all that was read before it and once without."""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Pieces, Series
from seqprobe.estimators.bootstrap import number_interval, resampled_means
from seqprobe.estimators.effects import surprisal_bits
from seqprobe.estimators.spans import log_spaced, span_columns, span_means

PLACES, FIRST = 4, 32
HELPS, ROUNDING = 0.01, 16

Gains = Float64[np.ndarray, "sequences steps"]


def gains(observation: Observation) -> Evidence:
    """Loss without the past minus loss with it, at each step after a boundary, in bits.

    The boundaries lie in the second quarter of the sequences, and half a sequence is read after
    each. `gain_null` is the same where nothing is thrown away, after the last boundary. What
    rounding alone may do to a loss counts as zero.

    Raises:
        ModelError: the model does not take half a sequence.
    """
    assert observation.interventions is not None
    tokens, run = observation.inputs, observation.interventions
    time, half = tokens.shape[1], tokens.shape[1] // 2
    steps = half - 1  # the last token of the sequences has no next one
    carried = surprisal_bits(run.plain[:, :-1].double(), tokens[:, 1:])
    largest = run.plain.abs().where(run.plain.isfinite(), 0).amax((1, 2)).double()
    rounding = ROUNDING * torch.finfo(run.plain.dtype).eps * largest[:, None]

    def read(outputs: Tensor, sequences: Tensor, at: Tensor) -> Tensor:
        targets = tokens[sequences[:, None], (at + 1).clamp(max=time - 1)]
        return surprisal_bits(outputs.double(), targets).unsqueeze(-1)

    def gain(start: int, *, kept: bool) -> np.ndarray:
        rows = torch.arange(len(tokens), device=tokens.device)
        pieces = Pieces(rows, torch.full_like(rows, start), tokens[:, start : start + half])
        lost = (run.continued if kept else run.fresh)(pieces, read)[:, :steps, 0]
        more = lost - carried[:, start : start + steps]
        found: np.ndarray = more.where(more.abs() > rounding, 0.0).cpu().numpy()
        return found

    starts = np.linspace(time // 4, half, PLACES).astype(int).tolist()
    return {
        "gain": np.mean([gain(start, kept=False) for start in starts], axis=0),
        "gain_null": gain(starts[-1], kept=True),
    }


def estimates(gain: Gains, nothing: Gains, seed: int) -> dict[str, Estimate]:
    """`gain_bits` over the first tokens, and for how many `gain_steps` it lasts."""
    if not np.isfinite(gain).all():
        because = "the loss is not finite"
        return {
            "gain_bits": Estimate.missing("bits", because),
            "gain_steps": Estimate.missing("tokens", because),
        }
    return {
        "gain_bits": _bits(gain, nothing, seed),
        "gain_steps": _steps(gain, nothing, seed),
    }


def _bits(gain: Gains, nothing: Gains, seed: int) -> Estimate:
    """Mean over the first steps after a boundary."""

    def mean(rows: Gains) -> tuple[float, tuple[float, float] | None]:
        each = rows[:, :FIRST].mean(1, keepdims=True)
        return float(each.mean()), number_interval(resampled_means(each, seed)[:, 0], len(each))

    (value, interval), (null, band) = mean(gain), mean(nothing)
    nowhere = Null("nothing thrown away", null, *(band or ()))
    return Estimate.sampled(value, "bits", interval, n=len(gain), null=nowhere)


def _steps(gain: Gains, nothing: Gains, seed: int) -> Estimate:
    """After how many tokens carrying no longer saves 0.01 bits, by means over spans of them."""
    longest = gain.shape[1]
    spans = log_spaced(longest, per_octave=1)

    def steps(curve: np.ndarray) -> float:
        over = np.flatnonzero(curve < HELPS)
        return float(spans[over[0]][0]) if len(over) else math.inf

    rows = span_means(gain, spans)
    replicates = np.array([steps(curve) for curve in resampled_means(rows, seed)])
    nowhere = Null("nothing thrown away", steps(span_means(nothing, spans).mean(0)))
    return Estimate.sampled(
        steps(rows.mean(0)), "tokens", number_interval(replicates, len(gain)),
        n=len(gain), null=nowhere, longest=float(longest),
        beyond=f"it still saves {HELPS} bits after {longest} tokens, the longest measured",
    )  # fmt: skip


def table(gain: Gains, seed: int) -> Series:
    """Means over spans of tokens after the boundary, the first one being distance 1."""
    spans = log_spaced(gain.shape[1], per_octave=1)
    columns = {"distance": [(start + 1 + stop) / 2 for start, stop in spans]}
    units = {"distance": "tokens", "mean": "bits"}
    return Series.of("carry-over", columns | span_columns(gain, spans, seed), units)
