"""The width found by halving is the one that a look at all of them finds."""

import pytest
import torch

from seqprobe.reference.language_models import build, width_for

SHAPE = {"vocab_size": 16, "layers": 2, "heads": 4, "context": 8}


@pytest.mark.parametrize("kind", ["lstm", "attention"])
def test_no_other_width_comes_closer(kind):
    widths = range(8, 89, 8)
    with torch.device("meta"):
        models = [build(kind, width=width, **SHAPE) for width in widths]
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    for parameters in (1, counts[3] + 1, counts[8] - 1, (2 * counts[5] + counts[6]) // 3, 9_000):
        closest = min(widths, key=lambda w: abs(counts[widths.index(w)] - parameters))
        assert width_for(kind, parameters, **SHAPE) == closest
