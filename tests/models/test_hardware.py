"""What numbers are measured on is named."""

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seqprobe.models.hardware import hardware


def test_cpu() -> None:
    assert hardware(torch.device("cpu")).endswith(f" CPU, {torch.get_num_threads()} threads")


@pytest.mark.parametrize(
    ("said", "driver"),
    [("580.65.06\n580.65.06\n", "580.65.06"), (None, "unknown"), (9, "unknown")],
    ids=["two GPUs", "no such program", "it fails"],
)
def test_gpu(monkeypatch: pytest.MonkeyPatch, said: str | int | None, driver: str) -> None:
    def run(words: tuple[str, ...], **_: Any) -> SimpleNamespace:
        assert words[0] == "nvidia-smi"
        if said is None:
            raise FileNotFoundError(words[0])
        if isinstance(said, int):
            raise subprocess.CalledProcessError(said, words)
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    found = hardware(torch.device("cuda"))
    assert found == f"NVIDIA H200, driver {driver}, CUDA 13.0, cuDNN 91300"
