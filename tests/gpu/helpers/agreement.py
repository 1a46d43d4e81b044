"""Whether two reports say the same, within what rounding can do to them."""

import json
import math
from collections.abc import Iterator
from typing import Any

import torch

from seqprobe.report import Report

TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3}
"""Of numbers, relative to them: curves that fit equally well differ by as much.

Decoders make much of a last bit. In float64 there is none: they are fitted to float32.
"""
NOISE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Smaller numbers are nothing but rounding."""
BY_THE_CLOCK = ("throughput",)
BY_KERNELS = ("memory/metrics/training_", "memory/table")
"""What a forward keeps for its backward depends on who computes it."""
BY_THE_LAST_BIT = ("window/metrics/reach/", "window/metrics/hard_limit/", "window-reach/")
"""For how long at least one bit differs is a matter of rounding alone."""
LEFT_OUT = (*BY_THE_CLOCK, *BY_KERNELS, *BY_THE_LAST_BIT)
METRIC = ("value", "low", "high", "n", "reason")


def differences(one: Report, other: Report, dtype: torch.dtype) -> list[str]:
    """Where they do not agree: status, metrics and tables of all checks; of clocks the shape."""
    first, second = dict(_told(one)), dict(_told(other))
    assert len(first) > 100
    return [
        f"{name}: {first.get(name)} and {second.get(name)}"
        for name in sorted(first.keys() | second.keys())
        if not _same(first.get(name, "nothing"), second.get(name, "nothing"), dtype)
    ]


def _told(report: Report) -> Iterator[tuple[str, Any]]:
    for name, cell in _cells(json.loads(report.to_json())):
        if not name.startswith(LEFT_OUT):
            yield name, cell
        elif name.startswith(BY_THE_CLOCK):
            yield name, type(cell).__name__


def _cells(written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for check in written["checks"]:
        yield from ((f"{check['id']}/{key}", check[key]) for key in ("status", "error"))
        for name, metric in check["metrics"].items():
            yield from ((f"{check['id']}/metrics/{name}/{key}", metric[key]) for key in METRIC)
    for table in written["tables"]:
        names = [column["name"] for column in table["columns"]]
        for number, row in enumerate(table["rows"]):
            for name, cell in zip(names, row, strict=True):
                yield f"{table['id']}/table/{number}/{name}", cell


def _same(one: Any, other: Any, dtype: torch.dtype) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE[dtype], abs_tol=NOISE[dtype])
    return bool(one == other)
