"""What edits do to predictions, read where interventions give outputs."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Observation
from seqprobe.estimators.effects import kl_bits, surprisal_bits, top_changed

KL, LOSS, TOP = range(3)
Reader = Callable[[Tensor, Tensor, Tensor], Tensor]


def effects(observation: Observation) -> Reader:
    """Reads KL divergence from the plain prediction, change of the loss (both in bits), and whether
    another class became the likeliest: the last axis, in this order.

    The loss is that of the next token; NaN where that is not known, or not what the model predicts.
    """
    assert observation.interventions is not None
    plain = _precise(observation.interventions.plain).log_softmax(-1)
    loss, following = next_token_bits(observation, plain)

    def read(
        outputs: Float[Tensor, "rows time classes"],
        sequences: Int[Tensor, " rows"],
        steps: Int[Tensor, "rows time"],
    ) -> Float[Tensor, "rows time 3"]:
        at = sequences[:, None], steps
        before, after = plain[at], _precise(outputs)
        change = surprisal_bits(after, following[at]) - loss[at]
        top = top_changed(before, after).to(change)
        return torch.stack([kl_bits(before, after), change, top], dim=-1)

    return read


def next_token_bits(
    observation: Observation, outputs: Float[Tensor, "batch time classes"]
) -> tuple[Float[Tensor, "batch time"], Int[Tensor, "batch time"]]:
    """The loss of each prediction, NaN where it is not known; and the tokens that follow.

    Where the model does not predict tokens, these are any.
    """
    tokens, known = observation.inputs, observation.frequencies
    if known is None or len(known) != outputs.shape[-1]:
        nothing = torch.zeros(outputs.shape[:2], dtype=torch.long, device=outputs.device)
        return torch.full_like(outputs[..., 0], torch.nan), nothing
    following = tokens.roll(-1, dims=1)
    loss = surprisal_bits(outputs, following)
    loss[:, -1] = torch.nan
    return loss, following


def _precise(outputs: Tensor) -> Tensor:
    """At least in single precision."""
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))
