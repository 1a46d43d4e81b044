"""A folder of checkpoints is a training, if it is known of which step each one is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import seqprobe
from seqprobe.checkpoints.one_training import one_training
from seqprobe.errors import FileError, ModelError, UsageError
from seqprobe.records import Steps

WEIGHTS = {"weight": torch.zeros(2, 2)}


def saved(folder: Path, *names: str, **beside: Any) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        torch.save({"state_dict": WEIGHTS, **beside}, path)


def found(folder: Path) -> list[tuple[int, str]]:
    training = one_training(folder)
    assert training is not None
    return list(zip(training.steps.values, [path.name for path in training.paths], strict=True))


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["step=1000.pt", "step=200.pt"], [200, 1000]),
        (["epoch=2-step=300.ckpt", "epoch=1-step=150.ckpt"], [150, 300]),
        (["ckpt_000100.pt", "ckpt_001000.pt", "ckpt_000020.pt"], [20, 100, 1000]),
        (["iter-600.pth", "iter-50.pth"], [50, 600]),
        (["checkpoint-9/model.pt", "checkpoint-10/model.pt"], [9, 10]),
        (["gpt2_step5.pt", "gpt2_step40.pt"], [5, 40]),
        (["10.pt", "9.pt"], [9, 10]),
        (["epoch_3.pt", "epoch_12.pt"], [3, 12]),
    ],
)
def test_names_tell_steps_in_their_natural_order(
    tmp_path: Path, names: list[str], steps: list[int]
) -> None:
    saved(tmp_path, *names)
    assert [step for step, _ in found(tmp_path)] == steps


def test_what_the_files_say_goes_before_their_names(tmp_path: Path) -> None:
    saved(tmp_path, "epoch=0.ckpt", global_step=500, epoch=0)
    saved(tmp_path, "epoch=1.ckpt", global_step=20, epoch=1)
    assert found(tmp_path) == [(20, "epoch=1.ckpt"), (500, "epoch=0.ckpt")]
    training = one_training(tmp_path)
    assert training is not None
    assert training.steps == Steps((20, 500), "`global_step` in the files")


def test_only_what_all_of_them_say_counts(tmp_path: Path) -> None:
    saved(tmp_path, "step=7.pt", iter_num=100)
    saved(tmp_path, "step=9.pt")
    assert found(tmp_path) == [(7, "step=7.pt"), (9, "step=9.pt")]


def test_epochs_are_called_so(tmp_path: Path) -> None:
    saved(tmp_path, "a.pt", epoch=3)
    saved(tmp_path, "b.pt", epoch=1)
    training = one_training(tmp_path)
    assert training is not None
    assert training.steps.unit == "epoch"
    assert Steps((1, 2), "'step' in their names").unit == "training step"


class TestOneModel:
    """All that `analyze` takes as one model stays one."""

    def test_a_folder_of_hugging_face(self, tmp_path: Path) -> None:
        save_file(WEIGHTS, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text("{}")
        saved(tmp_path, "checkpoint-1/pytorch_model.bin", "checkpoint-2/pytorch_model.bin")
        assert one_training(tmp_path) is None

    def test_a_distributed_checkpoint(self, tmp_path: Path) -> None:
        (tmp_path / ".metadata").write_bytes(b"x")
        saved(tmp_path, "step=1.pt", "step=2.pt")
        assert one_training(tmp_path) is None

    def test_weights_with_what_training_left_beside_them(self, tmp_path: Path) -> None:
        saved(tmp_path, "step=3.pt", "optimizer.pt", "scheduler.pt")
        assert one_training(tmp_path) is None

    def test_a_file_and_an_empty_folder(self, tmp_path: Path) -> None:
        assert one_training(tmp_path) is None
        saved(tmp_path, "step=3.pt")
        assert one_training(tmp_path / "step=3.pt") is None
        assert one_training(tmp_path / "nothing") is None


class TestRefused:
    def test_without_steps(self, tmp_path: Path) -> None:
        saved(tmp_path, "step=1.pt", "best.pt", "gpt2.pt", "step10k.pt", "model_0.5.pt")
        with pytest.raises(UsageError, match=r"5 checkpoints, and of best.pt the training step is"):
            one_training(tmp_path)

    def test_two_of_the_same_step(self, tmp_path: Path) -> None:
        saved(tmp_path, "epoch=1-step=30.ckpt", "last.ckpt", global_step=30)
        saved(tmp_path, "epoch=0-step=15.ckpt", global_step=15)
        with pytest.raises(
            UsageError,
            match=r"got epoch=1-step=30.ckpt and last.ckpt, both of 30 by `global_step` in the",
        ):
            one_training(tmp_path)

    def test_a_damaged_one_is_named(self, tmp_path: Path) -> None:
        saved(tmp_path, "step=1.pt")
        (tmp_path / "step=2.pt").write_bytes(b"PK\x03\x04")
        with pytest.raises(FileError, match=r"step=2\.pt: the file is cut off"):
            one_training(tmp_path)


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.rnn(self.embedding(tokens))[0])
        return outputs


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three checkpoints of one training, Lightning's way, and the numbers that it read."""
    folder = tmp_path_factory.mktemp("training")
    torch.manual_seed(0)
    text = torch.arange(4000) % 3 + torch.randint(2, (4000,)) * 3
    data = folder / "ints.txt"
    data.write_text(" ".join(map(str, text.tolist())))
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    model = _Tagger()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for step in range(41):
        if step in (0, 20, 40):
            named = {f"model.{name}": value for name, value in model.state_dict().items()}
            torch.save(
                {"state_dict": named, "global_step": step, "epoch": 0},
                checkpoints / f"{'zyx'[step // 20]}.ckpt",
            )
        starts = torch.randint(3600, (16, 1))
        window = text[starts + torch.arange(17)]
        loss = nn.functional.cross_entropy(model(window[:, :-1]).transpose(1, 2), window[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return checkpoints, data


def test_one_that_has_learned_nothing_is_measured_like_the_last_one(
    trained_on: tuple[Path, Path],
) -> None:
    folder, data = trained_on
    asked: dict[str, Any] = {
        "data": str(data), "tokenizer": "ints", "length": 32, "limit": 8, "probes": ("position",),
    }  # fmt: skip
    with pytest.raises(ModelError, match="what was rebuilt is not your model"):
        seqprobe.analyze(folder / "z.ckpt", **asked)
    compared = seqprobe.compare(folder, **asked)
    assert compared.steps == Steps((0, 20, 40), "`global_step` in the files")
    assert [report.model.name for report in compared.reports] == ["z.ckpt", "y.ckpt", "x.ckpt"]
    assert len({report.data for report in compared.reports}) == 1
    assert len({report.model.assumptions for report in compared.reports}) == 1
    for report in compared.reports:
        module = _Tagger().eval()
        held = torch.load(folder / report.model.name)["state_dict"]
        module.load_state_dict({n.removeprefix("model."): value for n, value in held.items()})
        assert seqprobe.analyze(module, **asked).tables == report.tables


def test_without_data_all_read_what_the_last_one_writes(trained_on: tuple[Path, Path]) -> None:
    folder, _ = trained_on
    asked: dict[str, Any] = {
        "assume_defaults": True, "length": 24, "limit": 4, "probes": ("gradient-decay",),
    }  # fmt: skip
    compared = seqprobe.compare(folder, **asked)
    (data,) = {report.data for report in compared.reports}  # token frequencies included
    assert data.source == "text sampled from x.ckpt"
    assert data.unigram_nll is not None
    assert len({report.tables for report in compared.reports}) == 3
