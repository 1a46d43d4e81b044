"""What a device can do is tried and timed; what will be slow there follows from that."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend

from seqprobe.models import machine as module
from seqprobe.models.machine import Machine, ceilings

FAST = Machine(
    device="cuda",
    threads=16,
    processors=16,
    free=100 * 2**30,
    products={"float32": 5e13, "bfloat16": 7e14, "float16": 7e14},
    copies=4e12,
    launch=5e-6,
    attention={"flash": ("bfloat16", "float16"), "memory-efficient": ("float32",)},
    recurrences="cuDNN 91002",
    flushes=True,
    rounded=False,
)


def test_where_nothing_is_slow_nothing_is_said():
    assert list(FAST.slow) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention": {}}, "attention runs without a fused kernel: memory grows with the sq"),
        ({"recurrences": ""}, "recurrences run without cuDNN, operator by operator"),
        ({"rounded": True}, "float32 products are rounded to TF32, about three digits"),
        ({"launch": 5e-5}, "2,048 steps of 20 operators take 2.0 s, however small the model"),
        ({"free": 2**29}, "0.5 GiB of memory are free: batches will be small"),
        ({"threads": 64}, "64 threads on 16 processors get in each other's way: set OMP_NUM_T"),
        ({"device": "cpu", "threads": 2}, "2 of 16 processors are used: set OMP_NUM_THREADS=16"),
        ({"device": "cpu", "flushes": False}, "cannot be flushed to zero on this processor"),
        (
            {"products": {"float32": 5e13, "bfloat16": 1e13, "float16": 5e13}},
            "bfloat16 takes 5.0 times as long as float32: use --dtype float32",
        ),
        (
            {"products": {"float32": 2.048e12, "bfloat16": 7e14, "float16": 7e14}},
            "all checks of 100 million parameters at 256 tokens take at least 2 minutes",
        ),
    ],
)
def test_each_weakness_is_named_alone(change, said):
    (only,) = replace(FAST, **change).slow
    assert said in only


def test_the_cpu_is_measured_as_it_is():
    found = Machine.measured(torch.device("cpu"))
    assert (found.device, found.threads) == ("cpu", torch.get_num_threads())
    assert set(found.attention) == {"flash"}
    assert not found.rounded
    assert min(found.products.values()) > 1e9
    assert 0 < found.launch < 1e-2


def test_a_kernel_that_refuses_is_not_there(monkeypatch):
    def refuses(*_args, **_kwargs):
        raise RuntimeError("No viable backend for scaled_dot_product_attention was found.")

    monkeypatch.setattr(module.F, "scaled_dot_product_attention", refuses)
    assert not module._attends(SDPBackend.FLASH_ATTENTION, torch.device("cpu"), torch.float32)


def test_rates_count_multiplications_and_additions_and_bytes_both_ways(monkeypatch):
    """Two operations for each of n^3 terms; every byte is read and written."""
    seconds = iter([3.0, 0.5, 2.0, 4.0, 7.0, 1.0, 0.25, 9.0, 8.0, 5.0])
    monkeypatch.setattr(module, "timed", lambda *_: next(seconds))
    found = ceilings(torch.device("cpu"), torch.float32)
    assert found == (2 * 1024**3 / 0.5, 2 * 2**26 / 0.25)


@pytest.mark.parametrize("flushing", [False, True])
def test_asking_for_flushing_leaves_it_as_it_was(flushing):
    torch.set_flush_denormal(flushing)
    try:
        able = module._flushes()
        smallest = torch.tensor(torch.finfo(torch.float32).tiny)
        assert (float(smallest / 2) == 0) == (flushing and able)
    finally:
        torch.set_flush_denormal(False)
