"""Checkpoints, journals, comparisons and training with `--device`."""

import pytest
import torch
from agreement import differences
from click.testing import CliRunner

import seqprobe
from seqprobe.reference.language_models import build
from seqprobe.runner import rounds
from seqprobe_cli.main import main

ASKED = {"data": "synthetic:iid", "length": 16, "distance": 5, "limit": 4, "dtype": "float64"}
PROBES = ("gradient-decay", "position", "carry-over")


def run(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def trained(tmp_path, device):
    settings = ["steps=3", "parameters=3000", "context=32", "batch=4", "distance=8"]
    words = [word for setting in settings for word in ("--set", setting)]
    output = run("train", "gru", "--data", "copy", "--device", device, *words,
                 "-o", tmp_path / "gru.pt")  # fmt: skip
    assert output.splitlines()[-1] == str(tmp_path / "gru.pt")
    return tmp_path / "gru.pt"


def test_checkpoints_are_trained_loaded_and_measured_there(trained, device):
    model = seqprobe.load(trained, device=str(device))
    assert {tensor.device.type for tensor in model.tensors()} == {device.type}
    weights = torch.load(trained, map_location="cpu", weights_only=True)
    assert all(each.device.type == "cpu" for each in weights.values() if torch.is_tensor(each))
    one, other = (
        seqprobe.analyze(trained, device=str(each), probes=PROBES, **ASKED)
        for each in ("cpu", device)
    )
    assert other.environment.device.startswith(device.type)
    assert differences(one, other, torch.float64) == []


def test_a_run_cut_short_goes_on_there(trained, device, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "batch_size", lambda *_, **__: 2)
    asked = {**ASKED, "device": str(device), "probes": PROBES, "journal": tmp_path / "progress"}
    whole = seqprobe.analyze(trained, **asked)
    shown, kept = rounds.Rounds._shown, []

    def dying(self, numbers, wanted):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(numbers)
        return shown(self, numbers, wanted)

    monkeypatch.setattr(rounds.Rounds, "_shown", dying)
    assert seqprobe.analyze(trained, **asked).warnings
    monkeypatch.setattr(rounds.Rounds, "_shown", shown)
    again = seqprobe.analyze(trained, **asked, resume=True)
    assert again.tables == whole.tables
    assert [check.metrics for check in again.checks] == [check.metrics for check in whole.checks]


def test_models_on_two_devices_are_compared(device):
    module = build("gru", vocab_size=8, width=8, layers=1).double()
    models = [module, build("rnn", vocab_size=8, width=8, layers=1).double().to(device)]
    found = seqprobe.compare(*models, data="synthetic:iid", length=16, limit=8, distance=5,
                             probes=PROBES)  # fmt: skip
    alone = seqprobe.analyze(models[1].cpu(), data="synthetic:iid", length=16, limit=8, distance=5,
                             probes=PROBES)  # fmt: skip
    assert differences(alone, found.reports[1], torch.float64) == []
