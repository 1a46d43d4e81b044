"""The loss after a boundary, once with all that was read before it and once without."""

import math

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Pieces, Series
from seqprobe.estimators.spans import log_spaced, span_columns, span_means
from seqprobe.probes.evidence.over_sequences import estimated, estimated_mean
from seqprobe.probes.evidence.predicting import predictions

PLACES, FIRST = 4, 32
HELPS = 0.01

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
    compared = predictions(observation)
    time, half = tokens.shape[1], tokens.shape[1] // 2
    steps = half - 1  # the last token of the sequences has no next one
    carried = compared.loss(run.plain[:, :-1].double(), tokens[:, 1:])
    rounding = compared.rounding(run.plain[:, :-1], tokens[:, 1:])

    def read(outputs: Tensor, sequences: Tensor, at: Tensor) -> Tensor:
        targets = tokens[sequences[:, None], (at + 1).clamp(max=time - 1)]
        return compared.loss(outputs.double(), targets).unsqueeze(-1)

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
    first, null = (rows[:, :FIRST].mean(1) for rows in (gain, nothing))
    band = estimated_mean(null, "bits", Null("", None), seed=seed)
    nowhere = Null("nothing thrown away", band.value, band.low, band.high)
    return estimated_mean(first, "bits", nowhere, seed=seed)


def _steps(gain: Gains, nothing: Gains, seed: int) -> Estimate:
    """After how many tokens carrying no longer saves 0.01 bits, by means over spans of them."""
    longest = gain.shape[1]
    spans = log_spaced(longest, per_octave=1)

    def steps(curves: np.ndarray) -> np.ndarray:
        over = curves < HELPS
        starts = np.array([start for start, _ in spans], dtype=np.float64)
        return np.where(over.any(1), starts[over.argmax(1)], math.inf)

    nowhere = steps(span_means(nothing, spans).mean(0, keepdims=True)).item()
    return estimated(
        span_means(gain, spans), steps, "tokens", Null("nothing thrown away", nowhere),
        seed=seed, longest=float(longest),
        beyond=f"it still saves {HELPS} bits after {longest} tokens, the longest measured",
    )  # fmt: skip


def table(gain: Gains, seed: int) -> Series:
    """Means over spans of tokens after the boundary, the first one being distance 1."""
    spans = log_spaced(gain.shape[1], per_octave=1)
    columns = {"distance": [(start + 1 + stop) / 2 for start, stop in spans]}
    units = {"distance": "tokens", "mean": "bits"}
    return Series.of("carry-over", columns | span_columns(gain, spans, seed), units)
