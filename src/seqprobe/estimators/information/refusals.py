"""Why nothing can be estimated."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.estimators.bootstrap import FEWEST_SEQUENCES

COPIES = 0.05


def refusals(
    states: Float[Tensor, "sequences steps width"],
    labels: Int[Tensor, "sequences steps lags"],
    classes: int,
    chances: Float[Tensor, " classes"] | None = None,
) -> tuple[str, ...]:
    """For each lag the reason, empty where there is none."""
    whole = of_states(states)
    return tuple(
        whole or _of_labels(lag, classes, chances) for lag in labels.flatten(0, 1).T.unbind()
    )


def of_states(states: Float[Tensor, "sequences steps width"]) -> str:
    """The reason that holds for all lags."""
    return _of_states(states) or _repeated(states)


def of_tokens(
    tokens: Int[Tensor, " rows"],
    embedding: Float[Tensor, "vocab embedding"],
    chances: Float[Tensor, " vocab"] | None = None,
) -> str:
    """The reason that holds for the tokens of one lag, which need not all occur."""
    beyond = tokens[(tokens < 0) | (tokens >= len(embedding))]
    if len(beyond):
        return f"token {int(beyond[0])} has no row in an embedding of {len(embedding)} tokens"
    if not torch.isfinite(embedding).all():
        return "the embedding holds infinite values or NaN"
    if (embedding == embedding[0]).all():
        return "the embedding is the same for all tokens"
    if (tokens == tokens[0]).all():
        return f"all {len(tokens)} tokens are the same: there is nothing to know"
    never = tokens[:0] if chances is None else tokens[chances.to(tokens.device)[tokens] <= 0]
    if len(never):
        return f"token {int(never[0])} occurs, though its chance is zero"
    return ""


def _of_states(states: Float[Tensor, "sequences steps width"]) -> str:
    sequences, steps, width = states.shape
    if sequences < FEWEST_SEQUENCES:
        return f"{sequences} sequences are too few to hold any out; {FEWEST_SEQUENCES} are needed"
    if not steps or not width:
        return f"no states: {steps} steps of {width} numbers"
    if not torch.isfinite(states).all():
        return "the states hold infinite values or NaN"
    if (states == states[0, 0]).all():
        return "the states never change: their variance is zero"
    return ""


def _repeated(states: Float[Tensor, "sequences steps width"]) -> str:
    """A sequence that comes twice is not held out; a few of them may be alike by chance.

    States of which there are few in all may come as often as they like.
    """
    flat = states.flatten(1)
    direction = torch.randn(flat.shape[1], generator=torch.Generator().manual_seed(0))
    marks = (flat * direction.to(flat)).double().sum(1)
    different = len(marks.unique())
    if len(marks) - different <= COPIES * len(marks) or different < len(marks) // 10:
        return ""
    return (
        f"{len(marks) - different} of {len(marks)} sequences of states are copies of others: "
        "what is held out would have been seen"
    )


def _of_labels(
    labels: Int[Tensor, " rows"], classes: int, chances: Float[Tensor, " classes"] | None
) -> str:
    if len(labels) < classes:
        return f"{len(labels)} samples are fewer than the {classes} classes"
    counts = labels.bincount(minlength=classes)
    expected = torch.ones(classes) if chances is None else chances
    never = np.flatnonzero((counts == 0).cpu() & (expected > 0).cpu())
    if len(never):
        return f"class {never[0]} of {classes} never occurs in {len(labels)} samples"
    return ""
