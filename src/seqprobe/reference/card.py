"""The card of a reference model: its recipe, what it learned, and where it was trained."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqprobe.estimators.ngram import ngram_bits
from seqprobe.models.hardware import hardware
from seqprobe.reference.held_out import held_out_bits, held_out_by_distance
from seqprobe.reference.recipe import Recipe, command
from seqprobe.sequences.tasks import Distances, NextByte, Task

SEQUENCES, PER_DISTANCE = 1024, 256


def card_of(
    recipe: Recipe,
    task: Task,
    model: nn.Module,
    device: torch.device,
    *,
    name: str,
    architecture: dict[str, Any],
    checked: Sequence[tuple[int, float]],
    precision: torch.dtype,
    seconds: float,
) -> dict[str, Any]:
    """What the file called `name` and its card say; `checked` are steps and held-out bits."""
    recipe = replace(recipe, data=Path(recipe.data).name)  # no folders of the user's
    best_step, best_bits = min(checked, key=lambda each: each[1])
    return {
        "name": Path(name).stem,
        "command": command(recipe, name),
        "recipe": asdict(recipe),
        "architecture": architecture,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": recipe.steps * recipe.batch * task.context,
        "held_out_bits": round(held_out_bits(model, task, SEQUENCES, device), 4),
        "held_out_sequences": SEQUENCES,
        "best_step": best_step,
        "best_held_out_bits": round(best_bits, 4),
        "held_out_over_training": [[step, round(bits, 4)] for step, bits in checked],
        **_of_task(model, task, device),
        "hardware": hardware(device),
        "precision": str(precision).removeprefix("torch."),
        "torch": str(torch.__version__),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
    }


def _of_task(model: nn.Module, task: Task, device: torch.device) -> dict[str, Any]:
    if isinstance(task, Distances):
        return {"held_out_by_distance": held_out_by_distance(model, task, PER_DISTANCE, device)}
    if isinstance(task, NextByte):
        return {
            "corpus": {"source": task.corpus.source, "sha256": task.corpus.sha256},
            "training_bytes": len(task.corpus.train),
            "python": platform.python_version(),
            "trigram_bits": round(_trigram_bits(task), 4),
        }
    return {}


def _trigram_bits(task: NextByte) -> float:
    """The byte trigram of the same training text on the same held-out targets."""
    inputs, targets = task.held_out(SEQUENCES)
    windows = torch.cat([inputs, targets[:, -1:]], dim=1).byte().numpy()
    return float(ngram_bits(task.corpus.train.numpy(), windows).mean())
