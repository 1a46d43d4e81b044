"""What is right is right at every distance, and guessing costs what the number of symbols says."""

import math

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqprobe.reference.held_out import held_out_bits, held_out_by_distance
from seqprobe.sequences.tasks import Copy, Distances, Recall

CPU = torch.device("cpu")
SURE = 100.0


class Right(nn.Module):
    """Knows the task; `up_to` a distance, beyond which it guesses."""

    def __init__(self, task: Distances, up_to: int) -> None:
        super().__init__()
        self.task, self.up_to = task, up_to

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        rows = [self._copied(row) if isinstance(self.task, Copy) else self._last(row)
                for row in tokens.tolist()]  # fmt: skip
        answers = torch.tensor(rows)
        known = F.one_hot(answers.clamp(min=0), self.task.vocab_size) * SURE
        guessed = torch.zeros_like(known)
        guessed[..., self.task.symbols] = -SURE
        return known.where((answers >= 0)[..., None], guessed).float()

    def _copied(self, row: list[int]) -> list[int]:
        distance = row.index(self.task.symbols)
        seen = [-1] * distance + row[: len(row) - distance]
        return seen if distance <= self.up_to else [-1] * len(row)

    def _last(self, row: list[int]) -> list[int]:
        last = [
            max(p for p in range(t + 1) if row[p] != self.task.symbols) for t in range(len(row))
        ]
        return [row[p] if t - p <= self.up_to else -1 for t, p in enumerate(last)]


@pytest.mark.parametrize("task", [Copy(16, symbols=6, shortest=4), Recall(16, shortest=4)])
def test_right_up_to_a_distance(task: Distances) -> None:
    found = held_out_by_distance(Right(task, up_to=8), task, 512, CPU)
    assert list(found) == ["4", "8", "16"]
    for distance in ("4", "8"):
        assert found[distance] == {"bits": 0, "accuracy": 1}
    assert found["16"]["bits"] == pytest.approx(math.log2(task.symbols), abs=1e-4)
    asked = 512 * (16 if isinstance(task, Copy) else 1)
    chance = 1 / task.symbols
    sigma = math.sqrt(chance * (1 - chance) / asked)
    assert found["16"]["accuracy"] == pytest.approx(chance, abs=4 * sigma)


def test_bits_are_those_of_what_is_asked_for() -> None:
    """A naive loop over the targets, in the mode in which the module was left."""
    torch.manual_seed(0)
    task = Recall(6, shortest=2)
    module = nn.Sequential(nn.Embedding(5, 5), nn.Dropout(0.5)).train()
    table = module[0].weight.detach()
    inputs, targets = task.held_out(40)
    bits = [
        -math.log2(table[symbol].softmax(-1)[wanted])
        for row, due in zip(inputs.tolist(), targets.tolist(), strict=True)
        for symbol, wanted in zip(row, due, strict=True)
        if wanted >= 0
    ]
    assert held_out_bits(module, task, 40, CPU) == pytest.approx(sum(bits) / len(bits), rel=1e-5)
    assert module[1].training
