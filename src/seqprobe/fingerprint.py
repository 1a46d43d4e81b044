"""What decides the numbers of a run: two runs that agree in it can share their batches."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from importlib import metadata
from typing import Any

import torch
from torch import nn

from seqprobe.models.sequence_model import SequenceModel
from seqprobe.records import ModelRecord
from seqprobe.runner.plan import Pass
from seqprobe.sequences.streams import Stream

ELSEWHERE = ("data", "tokenizer", "command", "device")
"""Paths and names that say less than what is behind them, which is told apart."""


def fingerprint(
    model: SequenceModel, record: ModelRecord, data: Stream, passes: Sequence[Pass], asked: Any
) -> dict[str, str]:
    """Names and short values, to be compared and to be told.

    `asked` is a dataclass of what was asked for.
    """
    longest = max((each.needs.length for each in passes if each.stream == "data"), default=1)
    return {
        **{f.name: repr(getattr(asked, f.name)) for f in fields(asked) if f.name not in ELSEWHERE},
        **{name: metadata.version(name) for name in ("seqprobe", "torch", "numpy")},
        "checkpoint": record.sha256,
        "parameters of the model": _of_state(model.module),
        "what it predicts": str(model.predicts),
        "rows and columns of patches": str(model.grid),
        "device": model.device.type,
        "data": f"{data.source}, {data.sha256}, {_of_tensor(data.take([0], longest))}",
        "probes and their versions": _of_plan(passes),
    }


def _of_plan(passes: Sequence[Pass]) -> str:
    said = [(repr(each), [probe.version for probe in each.probes]) for each in passes]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _of_state(module: nn.Module) -> str:
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            whole.update(f"{name} {tensor.dtype} {_of_tensor(tensor)}".encode())
    return whole.hexdigest()


def _of_tensor(tensor: torch.Tensor) -> str:
    numbers = tensor.detach().cpu().contiguous()
    as_bytes = numbers.flatten().view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tuple(numbers.shape)}".encode() + as_bytes).hexdigest()
