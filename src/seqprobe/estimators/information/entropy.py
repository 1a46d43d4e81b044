"""What there is to know about symbols."""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor


def surprisal(
    labels: Int[Tensor, "rows lags"], classes: int, chances: Float[Tensor, " classes"] | None
) -> Float64[Tensor, "rows lags"]:
    """-log2 of the chance of each label; counted among these rows where none is known by design.

    The mean is then the plug-in entropy: too small by about (classes - 1) / (2 rows ln 2) bits, so
    that a bound stays one.
    """
    if chances is not None:
        told: Tensor = -chances.to(labels.device).double().log2()[labels]
        return told
    counts = torch.stack([lag.bincount(minlength=classes) for lag in labels.T])
    shares = counts.double() / len(labels)
    return -shares.gather(1, labels.T).log2().T


def entropies(
    labels: Int[Tensor, "rows lags"], classes: int, chances: Float[Tensor, " classes"] | None
) -> Float64[np.ndarray, " lags"]:
    """Of the labels at each lag, in bits."""
    if chances is None:
        each: np.ndarray = surprisal(labels, classes, None).mean(0).cpu().numpy()
        return each
    known = torch.special.entr(chances.double()).sum().item() / np.log(2)
    return np.full(labels.shape[1], known)
