"""Stacks of causal convolutions: reach and hops by closed form and by a naive twin."""

import math
from itertools import product

import numpy as np
import pytest

from seqprobe.probes.path_length import PathLength
from seqprobe.probes.window import Window
from seqprobe.reference.convolutions import convolutions

TIME = 40
STACKS = {
    "plain": (3, (1, 1, 1)),
    "plain, wide": (5, (1, 1)),
    "dilated": (2, (1, 2, 4, 8)),
    "dilated by three": (3, (1, 3, 9)),
    "dilated, wide": (3, (1, 2, 4)),
}


def fewest(kernel, dilations, k):
    """The naive twin: all moves that all layers can make, and how many are no standing still."""
    moves = product(*[range(0, kernel * d, d) for d in dilations])
    return min((np.count_nonzero(m) for m in moves if sum(m) == k), default=None)


def digits(k, base):
    return [k // base**i % base for i in range(8)]


@pytest.mark.parametrize("gated", [False, True], ids=["rectified", "gated"])
@pytest.mark.parametrize("stack", STACKS)
def test_reach_and_hops(stack, gated, show):
    kernel, dilations = STACKS[stack]
    reach = (kernel - 1) * sum(dilations)
    model = convolutions(kernel, dilations, gated=gated, residual=stack != "plain")
    assert (model.family, model.causal) == ("convolution", True)
    found = show(model, PathLength(5), sequences=4, time=TIME)
    assert found.metrics["reach"].value == reach
    hops = found.series[0].column("hops")[: reach + 1]
    assert list(hops) == [fewest(kernel, dilations, k) for k in range(reach + 1)]
    if stack.startswith("plain"):
        assert list(hops) == [math.ceil(k / (kernel - 1)) for k in range(reach + 1)]
    elif stack != "dilated, wide":
        assert list(hops) == [np.count_nonzero(digits(k, kernel)) for k in range(reach + 1)]


def test_the_window_probe_finds_the_reach_too(show):
    assert (
        show(convolutions(2, (1, 2, 4)), Window(), sequences=4, time=32).metrics["reach"].value == 7
    )


def test_depth_is_that_of_the_layers():
    """Into it, three each (padding is none), and out of it."""
    model = convolutions(2, (1, 2, 4))
    assert {model.trace(model.example(1, n)).depth for n in (16, 32, 64)} == {1 + 3 * 3}
