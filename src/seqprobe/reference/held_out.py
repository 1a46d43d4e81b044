"""How well a reference model does on sequences that its training never saw."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.models.calling import undisturbed
from seqprobe.sequences.tasks import IGNORED, Batch, Distances, Task

BATCH = 32


def held_out_bits(model: nn.Module, task: Task, sequences: int, device: torch.device) -> float:
    """Mean bits per predicted token."""
    asked = _asked(model, task, sequences, device)
    return torch.cat([_bits(logits, targets) for logits, targets in asked]).mean().item()


def held_out_by_distance(
    model: nn.Module, task: Distances, sequences: int, device: torch.device
) -> dict[str, dict[str, float]]:
    """Mean bits, and the share of right answers, on the plain task of each distance.

    By chance they are log2(symbols) bits and 1 / symbols.
    """
    return {
        str(distance): _bits_and_accuracy(model, plain, sequences, device)
        for distance, plain in task.by_distance().items()
    }


def _bits_and_accuracy(
    model: nn.Module, task: Task, sequences: int, device: torch.device
) -> dict[str, float]:
    asked = list(_asked(model, task, sequences, device))
    bits = torch.cat([_bits(logits, targets) for logits, targets in asked])
    right = torch.cat([logits.argmax(-1) == targets for logits, targets in asked])
    return {
        "bits": round(bits.mean().item(), 4),
        "accuracy": round(right.double().mean().item(), 4),
    }


def placed(batch: Batch, device: torch.device) -> Batch:
    """On the device, in one transfer that nobody waits for."""
    both = torch.stack(batch)
    both = both.pin_memory() if device.type == "cuda" else both
    inputs, targets = both.to(device, non_blocking=True)
    return inputs, targets


@torch.no_grad()
def _asked(
    model: nn.Module, task: Task, sequences: int, device: torch.device
) -> Iterator[tuple[Float[Tensor, "asked vocab"], Int[Tensor, " asked"]]]:
    """Scores and targets where something is asked for, some sequences at a time."""
    inputs, targets = task.held_out(sequences)
    for batch in zip(inputs.split(BATCH), targets.split(BATCH), strict=True):
        some, wanted = placed(batch, device)
        with undisturbed(model):
            logits = model(some)
        kept = wanted != IGNORED
        yield logits[kept].float(), wanted[kept]


def _bits(
    logits: Float[Tensor, "asked vocab"], targets: Int[Tensor, " asked"]
) -> Float[Tensor, " asked"]:
    return F.cross_entropy(logits, targets, reduction="none") / math.log(2)
