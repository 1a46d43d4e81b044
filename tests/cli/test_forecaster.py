"""A forecaster in a checkpoint, and its series in a table, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seqprobe.sequences.lagged import PHI, LaggedStream

SMALL, SURE = 0.02, 20.0


def shifting_gru() -> dict[str, Tensor]:
    """A GRU whose gates stand open: it holds the last two values, and says 0.9 of the older one."""
    weights = {
        "rnn.weight_ih_l0": torch.zeros(6, 1), "rnn.weight_hh_l0": torch.zeros(6, 2),
        "rnn.bias_ih_l0": torch.tensor([SURE, SURE, -SURE, -SURE, 0, 0]),
        "rnn.bias_hh_l0": torch.zeros(6),
        "head.weight": torch.tensor([[0.0, PHI / SMALL]]), "head.bias": torch.zeros(1),
    }  # fmt: skip
    weights["rnn.weight_ih_l0"][4] = SMALL
    weights["rnn.weight_hh_l0"][5, 0] = 1.0
    return weights


def test_a_checkpoint_and_a_table_tell_what_is_used(run, folder: Path, plain_page) -> None:
    torch.save(shifting_gru(), folder / "forecaster.pt")
    series = LaggedStream(2, 1, torch.float64).take([0], 600)[0]
    np.savetxt(folder / "series.csv", series.numpy(), header="value", comments="", delimiter=",")
    probes = [word for probe in ("position", "context", "order") for word in ("--probe", probe)]
    said = run(
        "analyze", "forecaster.pt", "--data", "series.csv", "--set", "pooling=none", *probes,
        "--length", "64", "--limit", "16", "--distance", "10", "-o", "report.html",
    ).output  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    checks = {check["id"]: check["metrics"] for check in report["checks"]}
    assert checks["position"]["horizon"]["value"] == pytest.approx(1, abs=0.2)
    assert checks["context"]["effective_length"]["value"] == 2
    assert checks["context"]["effective_length"]["unit"] == "steps"
    assert checks["order"]["span"]["value"] == 2
    assert "The model uses 2 of the 64 steps it is given" in said
    assert "Shorten the look-back to 2 steps" in said
