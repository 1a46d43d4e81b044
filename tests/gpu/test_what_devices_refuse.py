"""What the second device stands in for: what CUDA refuses, it refuses too."""

import threading

import pytest
import torch
from torch.nn.functional import embedding

TWO = "on the same device|either on cpu or on the same device"
OPERATORS = {
    "sum": lambda here, there: here + there,
    "product": lambda here, there: here @ there,
    "cat": lambda here, there: torch.cat([there, here]),
    "where": lambda here, there: torch.where(here > 0, here, there),
    "gather": lambda here, there: here.gather(1, there.long()),
    "index": lambda here, there: there[here.long()],
    "embedding": lambda here, there: embedding(there.long(), here),
    "in place": lambda here, there: here.add_(there),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operands_on_two_devices(name, device):
    with pytest.raises(RuntimeError, match=TWO):
        OPERATORS[name](torch.ones(2, 2, device=device), torch.ones(2, 2))


def test_what_goes_with_any_device(device):
    here = torch.arange(4.0, device=device).view(2, 2)
    assert (here * torch.tensor(2.0)).tolist() == [[0, 2], [4, 6]]
    assert here[torch.tensor([1])].tolist() == [[2, 3]]


def test_numbers_are_not_numpy_s(device):
    with pytest.raises(TypeError, match="can't convert"):
        torch.ones(2, device=device).numpy()


def test_random_numbers_are_its_own(device):
    with pytest.raises(RuntimeError, match="Expected a"):
        torch.rand(3, device=device, generator=torch.Generator())
    drawn = []
    for where in (device, device, "cpu"):
        torch.manual_seed(0)
        drawn.append(torch.rand(3, device=where).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_backwards_run_in_a_thread_of_the_device(device):
    """What holds for a thread only, such as flushed denormals, does not hold there."""
    threads = set()
    doubled = 2 * torch.ones(2, device=device, requires_grad=True)
    doubled.register_hook(lambda _: threads.add(threading.get_ident()))
    doubled.sum().backward()
    assert threads.isdisjoint({threading.get_ident()})
