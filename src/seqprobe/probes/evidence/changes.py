"""What is done to the past of some predictions, and what that changes in them."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seqprobe.contracts import Observation, Pieces, Read
from seqprobe.errors import NotApplicable
from seqprobe.estimators.precise import precise
from seqprobe.probes.evidence.predicting import predictions, why_no_loss

LOSS, KL, TOP = range(3)


def changes(observation: Observation) -> Read:
    """Reads the change of the loss and the KL divergence, in bits, and that of the likeliest token.

    All against the plain predictions. Where the next input has no loss, its change is NaN; so is
    what would be infinite.

    Raises:
        NotApplicable: there is no prediction but a number.
    """
    plain, compared = _plain(observation), predictions(observation)
    if observation.frequencies is not None and plain.shape[-1] == 1:
        raise NotApplicable("the model gives one number per step, and no distribution to compare")
    loss = None if why_no_loss(observation) else loss_change(observation)

    def read(
        outputs: Float[Tensor, "rows time classes"],
        sequences: Int[Tensor, " rows"],
        steps: Int[Tensor, "rows time"],
    ) -> Float[Tensor, "rows time measures"]:
        before, after = plain[sequences[:, None], steps], precise(outputs)
        kl, top = compared.kl(before, after), compared.top_changed(before, after)
        lost = loss(outputs, sequences, steps)[..., 0] if loss else torch.full_like(kl, torch.nan)
        return finite(torch.stack([lost, kl, top.to(kl)], dim=-1))

    return read


def loss_change(observation: Observation) -> Read:
    """Reads the change of the loss alone; it takes less time where there are many tokens.

    Raises:
        NotApplicable: the next input has no loss.
    """
    if why := why_no_loss(observation):
        raise NotApplicable(f"there is no loss on the next token: {why}")
    following, compared = observation.inputs.roll(-1, dims=1), predictions(observation)
    losses = compared.loss(_plain(observation), following)
    losses[:, -1] = torch.nan

    def read(
        outputs: Float[Tensor, "rows time classes"],
        sequences: Int[Tensor, " rows"],
        steps: Int[Tensor, "rows time"],
    ) -> Float[Tensor, "rows time 1"]:
        at = sequences[:, None], steps
        return finite(compared.loss(precise(outputs), following[at]) - losses[at])[..., None]

    return read


def _plain(observation: Observation) -> Float[Tensor, "batch time classes"]:
    assert observation.interventions is not None
    return precise(observation.interventions.plain)


def finite(bits: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """NaN where a prediction holds the truth for impossible: no mean could be told.

    In double precision, as means are taken.
    """
    return bits.double().where(bits.isfinite(), torch.nan)


def looking_back_only(observation: Observation) -> None:
    """Refuse models that look ahead.

    Raises:
        NotApplicable: the model looks ahead.
    """
    if not observation.causal:
        raise NotApplicable(
            "the model looks ahead: a prediction without its past would lack what follows it too"
        )


def cut_out(
    observation: Observation,
    sequences: Int[Tensor, " rows"],
    starts: Int[Tensor, " rows"],
    steps: int,
) -> Pieces:
    """So many steps of the sequences as they are."""
    at = starts[:, None] + torch.arange(steps, device=starts.device)
    return Pieces(sequences, starts, observation.inputs[sequences[:, None], at])


def unchanged(observation: Observation) -> Float[np.ndarray, "batch measures"]:
    """What `changes` reads of the last prediction whose target is known, with all of its past."""
    run = observation.interventions
    assert run is not None

    def work() -> Float[np.ndarray, "batch measures"]:
        sequences = torch.arange(len(observation.inputs), device=observation.inputs.device)
        whole = cut_out(
            observation, sequences, torch.zeros_like(sequences), observation.inputs.shape[1] - 1
        )
        return run.fresh(whole, changes(observation), last=1)[:, 0].cpu().numpy()

    return run.once(unchanged, work)
