"""How many rows are run at once."""

import pytest
import torch

from seqprobe.models.continuation import Fresh, FullRun
from seqprobe.reference import zoo


@pytest.mark.parametrize("kind", [Fresh, FullRun])
@pytest.mark.parametrize(("classes", "rows"), [(8, 128), (256, 128), (4096, 16), (60_000, 1)])
def test_neither_outputs_nor_activations_grow_without_bound(kind, classes, rows):
    """At 256 steps; both a small and a large vocabulary have their limit."""
    continuation = kind(zoo.memoryless(), torch.zeros(1, 256, dtype=torch.long))
    assert continuation.rows_at_once(256, classes) == rows
