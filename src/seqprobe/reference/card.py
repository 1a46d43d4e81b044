"""The card of a reference model: its recipe, what it learned, and where it was trained."""

import platform
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqprobe.estimators.ngram import ngram_bits
from seqprobe.models.hardware import hardware
from seqprobe.reference.held_out import held_out_bits, held_out_by_distance
from seqprobe.reference.recipe import Recipe, command
from seqprobe.sequences.tasks import Distances, NextByte, Task

SEQUENCES, PER_DISTANCE = 1024, 256


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the model with its last weights, and those of its `best_step`.

    `checked` are steps and their bits on some held-out sequences, by which that step was chosen.
    """

    recipe: Recipe
    task: Task
    architecture: dict[str, Any]
    model: nn.Module
    best_step: int
    best: Mapping[str, Tensor]
    checked: Sequence[tuple[int, float]]
    device: torch.device
    precision: torch.dtype
    seconds: float

    def bits(self) -> float:
        """Mean bits per predicted token that was held out."""
        return held_out_bits(self.model, self.task, SEQUENCES, self.device)

    def best_bits(self) -> float:
        """The same with the weights of the best step."""
        last = deepcopy(self.model.state_dict())
        self.model.load_state_dict(self.best)
        bits = self.bits()
        self.model.load_state_dict(last)
        return bits


def card_of(trained: Trained, name: str) -> dict[str, Any]:
    """What the file called `name` and its card say."""
    recipe, task = trained.recipe, trained.task
    recipe = replace(recipe, data=Path(recipe.data).name)  # no folders of the user's
    return {
        "name": Path(name).stem,
        "command": command(recipe, name),
        "recipe": asdict(recipe),
        "architecture": trained.architecture,
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "tokens": recipe.steps * recipe.batch * task.context,
        "held_out_bits": round(trained.bits(), 4),
        "held_out_sequences": SEQUENCES,
        "best_step": trained.best_step,
        "best_held_out_bits": round(trained.best_bits(), 4),
        "checked": [[step, round(bits, 4)] for step, bits in trained.checked],
        **_of_task(trained),
        "hardware": hardware(trained.device),
        "precision": str(trained.precision).removeprefix("torch."),
        "torch": str(torch.__version__),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(trained.seconds),
    }


def _of_task(trained: Trained) -> dict[str, Any]:
    task = trained.task
    if isinstance(task, Distances):
        far = held_out_by_distance(trained.model, task, PER_DISTANCE, trained.device)
        return {"held_out_by_distance": far}
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
