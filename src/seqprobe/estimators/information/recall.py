"""What the state says about the whole past: one symbol after the other is read out of it.

H(x_1, .., x_k) - sum of losses <= I(x_1, .., x_k; h), when the decoder of each symbol knows the
state and the symbols decoded before (chain rule of mutual information).
"""

import math

import numpy as np
from jaxtyping import Float, Float64, Int
from torch import Tensor

from seqprobe.estimators.information.decoded import DecodedBits
from seqprobe.estimators.information.decoder import standardised
from seqprobe.estimators.information.entropy import entropies, surprisal
from seqprobe.estimators.information.folds import Folds
from seqprobe.estimators.information.joint import recall
from seqprobe.estimators.information.refusals import refusals


def recalled_bits(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    *,
    chances: Float[Tensor, " classes"] | None = None,
    seed: int = 0,
) -> DecodedBits:
    """Cross-fitted bits about each of some independent symbols, given the ones before it.

    Each is a lower bound of I(x_k; h | x_1, .., x_{k-1}), and their sum one of the information
    about all of them. Arguments as for `decodable_bits`.
    """
    sequences, steps, lags = labels.shape
    unusable = refusals(states, labels, classes, chances)
    entropy = entropies(labels.flatten(0, 1), classes, chances)
    nothing = np.full((sequences, lags), np.nan)
    held_out, null, seen = nothing, nothing, nothing[0]
    if not any(unusable):
        folds, rows = Folds.of(sequences, steps, seed, states.device), standardised(states)

        def told(of: Int[Tensor, "rows lags"]) -> tuple[Float64[np.ndarray, "_ _"], Tensor]:
            scored = recall(rows, of, classes, folds, seed)
            bits = surprisal(of, classes, chances) + scored.held_out.double() / math.log(2)
            each: np.ndarray = bits.unflatten(0, (sequences, steps)).mean(1).cpu().numpy()
            return each, scored.seen

        held_out, loss = told(labels.flatten(0, 1))
        null, _ = told(labels.roll(1, dims=0).flatten(0, 1))
        seen = entropy + loss.double().cpu().numpy() / math.log(2)
    return DecodedBits(
        held_out,
        null,
        seen,
        np.full(lags, np.nan),
        entropy,
        counted=chances is None,
        rows=sequences * steps * 4 // 5,
        parameters=(classes - 1) * (states.shape[2] + 1),
        seed=seed,
        unusable=unusable,
    )
