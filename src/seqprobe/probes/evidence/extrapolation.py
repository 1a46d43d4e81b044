"""The loss at each position, and what reading beyond the trained length does to it."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Null, Observation, Series
from seqprobe.errors import ModelError
from seqprobe.estimators.spans import log_spaced, span_columns
from seqprobe.probes.evidence.over_sequences import estimated
from seqprobe.probes.evidence.predicting import predictions

SHORTEST, PRECISE = 16, 1 << 20
NOTHING = "the same within the trained length"


def losses(observation: Observation, length: int, trained: int) -> Evidence:
    """`loss`: bits lost on each next token after 1, 2, .. of so many tokens.

    `beyond` and `within` are pairs of mean losses on the same tokens, as in `_paired`: beyond the
    trained length, and up to it. NaN where the sequences are too short for that,
    or the model takes no shorter ones.
    """
    assert observation.longer is not None
    tokens = observation.longer(length)
    loss = _loss(observation, tokens)
    pairs = {"beyond": trained, "within": trained // 2}
    return {"loss": loss} | {
        name: _paired(observation, tokens, loss, most) for name, most in pairs.items()
    }


def enough(length: int, trained: int) -> bool:
    """Whether sequences of this length tell something about reading beyond the trained one."""
    return trained >= SHORTEST and length >= 2 * trained


def _paired(
    observation: Observation,
    tokens: Tensor,
    loss: Float64[np.ndarray, "batch read"],
    most: int,
) -> Float64[np.ndarray, "batch 2"]:
    """Mean losses on the same tokens: after all that stands before them, and after less.

    All is between `most` and twice as many tokens, less is between half of `most` and `most`.
    """
    if tokens.shape[1] < 2 * most:
        return np.full((len(tokens), 2), np.nan)
    half = most // 2
    try:
        after_less = [
            _loss(observation, tokens[:, start : start + most])[:, half:] for start in (half, most)
        ]
    except ModelError:  # this one takes no shorter sequences
        return np.full((len(tokens), 2), np.nan)
    after_all = [loss[:, start + half : start + most - 1] for start in (half, most)]
    return np.stack([np.concatenate(part, 1).mean(1) for part in (after_all, after_less)], axis=1)


def _loss(observation: Observation, tokens: Tensor) -> Float64[np.ndarray, "batch read"]:
    """As many outputs are in memory at once as of the batch itself, few of them in double
    precision.
    """
    assert observation.rerun is not None
    compared, (batch, time) = predictions(observation), observation.inputs.shape[:2]
    found, at_once = [], batch * time // tokens.shape[1]
    for some in tokens.split(max(1, at_once)):
        outputs, following = observation.rerun(some)[:, :-1], some[:, 1:]
        steps = max(1, PRECISE // outputs[:, 0].numel())
        parts = zip(outputs.split(steps, 1), following.split(steps, 1), strict=True)
        losses = [compared.loss(few.double(), targets).cpu() for few, targets in parts]
        found.append(torch.cat(losses, 1))
    whole: np.ndarray = torch.cat(found).numpy()
    return whole


def ratio(evidence: Evidence, seed: int) -> Estimate:
    """The mean loss beyond the trained length over that of the same tokens within it.

    The null is the same with half the length, so that all lies within it.
    """

    def over(pairs: Float64[np.ndarray, "rows 2"]) -> Float64[np.ndarray, " rows"]:
        ratios: np.ndarray = pairs[:, 0] / pairs[:, 1]
        return ratios

    within = estimated(evidence["within"], over, "", Null(NOTHING, None), seed=seed)
    null = Null(NOTHING, within.value, within.low, within.high)
    return estimated(evidence["beyond"], over, "", null, seed=seed)


def table(loss: Float64[np.ndarray, "sequences read"], trained: int, seed: int) -> Series:
    """Means over spans of positions, none of which goes across the trained length."""
    spans = log_spaced(loss.shape[1], through=trained, per_octave=2)
    middle = [(start + 1 + stop) / 2 for start, stop in spans]
    units = {"position": "tokens read", "mean": "bits"}
    return Series.of("window", {"position": middle, **span_columns(loss, spans, seed)}, units)
