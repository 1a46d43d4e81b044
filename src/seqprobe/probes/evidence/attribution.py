"""Attributions over positions by captum, to be shown beside the gradient curve.

Captum: A unified and generic model interpretability library for PyTorch (Kokhlikyan et al., 2020)
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Estimate, Evidence, Observation, Series
from seqprobe.errors import NotApplicable
from seqprobe.estimators.bootstrap import curve_interval, resampled_means

METHODS = ("integrated-gradients", "input-x-gradient", "feature-ablation")


def observe(
    observation: Observation, method: str, steps: Int[Tensor, "batch targets"], window: int
) -> dict[str, np.ndarray]:
    """|attribution| of the input k steps before the first target step to its largest output."""
    embeddings, run = observation.embeddings, observation.from_embeddings
    if embeddings is None or run is None:
        raise NotApplicable("there is nothing continuous to attribute to")
    rows = torch.arange(len(steps))
    named = observation.outputs.detach()[rows, steps[:, 0]].argmax(-1)

    def forward(edited: Float[Tensor, "batch time embedding"]) -> Float[Tensor, " batch"]:
        repeated = len(edited) // len(rows)
        at = torch.arange(len(edited)), steps[:, 0].repeat(repeated), named.repeat(repeated)
        return run(edited)[at]

    attributed = _attribute(method, forward, embeddings.detach())
    back = steps[:, :1] - torch.arange(window + 1)
    return {"attribution": attributed.detach().double().cpu().gather(1, back).numpy()}


def _attribute(
    method: str,
    forward: Callable[[Tensor], Tensor],
    embeddings: Float[Tensor, "batch time embedding"],
) -> Float[Tensor, "batch time"]:
    """Absolute attribution per position; a position is ablated whole, against zeros."""
    from captum import attr

    if method == "feature-ablation":
        positions = torch.arange(embeddings.shape[1], device=embeddings.device)[None, :, None]
        mask = positions.expand_as(embeddings)
        ablated: Tensor = attr.FeatureAblation(forward).attribute(embeddings, feature_mask=mask)
        return ablated[..., 0].abs()
    embeddings = embeddings.requires_grad_()
    if method == "input-x-gradient":
        found: Tensor = attr.InputXGradient(forward).attribute(embeddings)
    else:
        paths = attr.IntegratedGradients(forward)
        found = paths.attribute(embeddings, internal_batch_size=len(embeddings))
    return found.sum(-1).abs()


def metrics(_evidence: Evidence) -> dict[str, Estimate]:
    """None: attributions have no level of their own."""
    return {}


def tables(check: str, evidence: Evidence) -> list[Series]:
    """The mean over sequences, relative to distance 0."""
    if "attribution" not in evidence:
        return []
    rows = evidence["attribution"]
    means = resampled_means(rows)
    low, high = curve_interval(means / means[:, :1], len(rows))
    relative = rows.mean(0) / rows[:, 0].mean()
    columns = {
        "distance": range(rows.shape[1]),
        "relative": relative,
        "low": low,
        "high": high,
        "n": len(rows),
    }
    return [Series.stacked(f"{check}-attribution", [columns])]
