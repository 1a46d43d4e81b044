"""Folders: which file is the checkpoint, in how many pieces, and what stands beside it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError

WEIGHTS = {"wte.weight": torch.arange(6.0).view(3, 2), "norm.weight": torch.ones(2)}
CONFIG = {"model_type": "gpt2", "n_head": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As save_pretrained leaves it, without weights."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "tokenizer.json").write_text("{}")
    return made


def _shards(folder: Path, *, kind: str = "safetensors") -> Path:
    """One tensor in each; the index as transformers writes it."""
    name = "model" if kind == "safetensors" else "pytorch_model"
    places = {}
    for number, (tensor, value) in enumerate(WEIGHTS.items(), start=1):
        file = f"{name}-0000{number}-of-00002.{kind}"
        places[tensor] = file
        if kind == "safetensors":
            safetensors.torch.save_file({tensor: value}, folder / file, metadata={"format": "pt"})
        else:
            torch.save({tensor: value}, folder / file)
    index = folder / f"{name}.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 32}, "weight_map": places}, indent=2))
    return index


def _equal(path: Path) -> bool:
    tensors: Mapping[str, Tensor] = fetch_all(read(path).weights)
    return tensors.keys() == WEIGHTS.keys() and all(
        torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS
    )


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "lit_model.pth", "weights.th", "best.ckpt"]
)
def test_one_file(folder: Path, name: str) -> None:
    if name.endswith("safetensors"):
        safetensors.torch.save_file(WEIGHTS, folder / name)
    else:
        torch.save(WEIGHTS, folder / name)
    contents = read(folder)
    assert _equal(folder)
    assert contents.path == folder
    assert contents.bytes == (folder / name).stat().st_size
    assert contents.beside["config.json"] == CONFIG
    assert contents.beside["tokenizer.json"] == str(folder / "tokenizer.json")
    assert contents.warnings == ()


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards(folder: Path, kind: str) -> None:
    index = _shards(folder, kind=kind)
    for path in (folder, index):
        contents = read(path)
        assert _equal(path)
        assert contents.path == path
        assert contents.container.endswith(" in 2 shards")
        assert contents.bytes == sum(file.stat().st_size for file in folder.glob("*-of-*"))
        assert contents.beside["config.json"] == CONFIG


def test_safetensors_come_first(folder: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, folder / "model.safetensors")
    torch.save({"other": torch.zeros(1)}, folder / "pytorch_model.bin")
    assert _equal(folder)


def test_a_missing_shard(folder: Path) -> None:
    index = _shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        FileError,
        match=r"^model.safetensors.index.json: 1 of 2 shards are missing; got no "
        r"model-00002-of-00002.safetensors; expected all of them beside the index\. Download or",
    ):
        read(index)


def test_a_tensor_that_is_not_in_its_shard(folder: Path) -> None:
    _shards(folder)
    safetensors.torch.save_file({"x": torch.ones(1)}, folder / "model-00002-of-00002.safetensors")
    with pytest.raises(
        FileError, match=r"a tensor is not in its shard; got no norm.weight in mode"
    ):
        read(folder)


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/passwd", "a/b", "", "..", 3])
def test_an_index_that_points_out_of_its_folder(folder: Path, place: object) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": place}}))
    safetensors.torch.save_file(WEIGHTS, folder.parent / "secret.safetensors")
    with pytest.raises(FileError, match="the index points out of its folder; got"):
        read(folder)


@pytest.mark.parametrize("places", ["{}", "[]", "3"])
def test_an_index_of_nothing(folder: Path, places: str) -> None:
    (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {places}}}')
    with pytest.raises(FileError, match="the index names no tensors"):
        read(folder)


def test_an_index_of_itself(folder: Path) -> None:
    name = "model.safetensors.index.json"
    (folder / name).write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(FileError, match=f"^{name}: an index of shards among the shards"):
        read(folder)


def test_a_file_beside_its_configuration(folder: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, folder / "model.safetensors")
    torch.save(WEIGHTS, folder / "own.pt")
    assert read(folder / "model.safetensors").beside["config.json"] == CONFIG
    assert read(folder / "own.pt").beside == {}, "a name of the user's own may stand anywhere"


def test_links_as_in_the_cache_of_the_hub(folder: Path) -> None:
    blob = folder.parent / "1234abcd"
    safetensors.torch.save_file(WEIGHTS, blob)
    (folder / "model.safetensors").symlink_to("../1234abcd")
    assert _equal(folder)


@pytest.mark.parametrize(
    "name", ["training_args.bin", "optimizer.pt", "rng_state_0.pth", "scheduler.pt", "scaler.pt"]
)
def test_states_of_a_training_are_never_opened(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)  # opening it would wait for ever
    torch.save(WEIGHTS, folder / "own.pt")
    assert _equal(folder)


def test_litgpt(folder: Path) -> None:
    torch.save({"model": WEIGHTS}, folder / "lit_model.pth")
    (folder / "model_config.yaml").write_text("n_head: 4\nnorm_eps: 1.0e-05\nbias: false\n")
    for path in (folder, folder / "lit_model.pth"):
        beside = read(path).beside
        assert beside["model_config.yaml"] == {"n_head": 4, "norm_eps": 1e-5, "bias": False}


def test_speechbrain(folder: Path) -> None:
    (folder / "CKPT.yaml").write_text("unixtime: 1.5\nend-of-epoch: true\n")
    torch.save(WEIGHTS, folder / "model.ckpt")
    torch.save(WEIGHTS, folder / "embedding.ckpt")
    (folder / "brain.ckpt").write_text("avg_train_loss: 1.0")
    assert _equal(folder)
    assert read(folder).beside["CKPT.yaml"] == {"unixtime": 1.5, "end-of-epoch": True}


@pytest.mark.parametrize(
    ("name", "text", "warning"),
    [
        ("config.json", "{", "config.json: damaged JSON; got Expecting property name"),
        ("config.json", "[1]", "config.json: unusual JSON; got a list; expected an object"),
        ("config.json", f'"{"x" * 2**20}"', "config.json: the file is too large for what it is"),
        ("hparams.yaml", "!!python/object/apply:os.abort []", "hparams.yaml: no plain YAML; got"),
        ("hparams.yaml", "a: &a {b: 1}\nc: {<<: *a}", "hparams.yaml: no plain YAML; got merged"),
        ("hparams.yaml", "[" * 600, "hparams.yaml: no plain YAML; got"),
        ("hparams.yaml", "a: b\n" * 20_000, "hparams.yaml: the file is too large for what it is"),
        ("hparams.yaml", "a: 2023-99-99", "hparams.yaml: no plain YAML; got month must be"),
    ],
)
def test_a_configuration_that_cannot_be_read(
    folder: Path, name: str, text: str, warning: str
) -> None:
    safetensors.torch.save_file(WEIGHTS, folder / "model.safetensors")
    (folder / name).write_text(text)
    contents = read(folder)
    assert name not in contents.beside
    assert contents.warnings[0].startswith(warning)
    assert "\n" not in contents.warnings[0]


def test_a_configuration_that_contains_itself(folder: Path) -> None:
    safetensors.torch.save_file(WEIGHTS, folder / "model.safetensors")
    (folder / "hparams.yaml").write_text("a: &a\n  - 1\n  - *a\n")
    assert read(folder).beside["hparams.yaml"] == {"a": [1, "<itself>"]}


def _refused(path: Path, message: str) -> None:
    with pytest.raises(FileError, match=message) as raised:
        read(path)
    assert raised.value.do
    assert raised.value.exit_code == 4


def test_no_weights(folder: Path) -> None:
    _refused(
        folder,
        r"^model: no weights in this folder; got 2 files: config.json, tokenizer.json; expected "
        r"model.safetensors, pytorch_model.bin or another checkpoint\. Give the file with the wei",
    )
    for name in ("checkpoint-500", "checkpoint-1000"):
        (folder / name).mkdir()
        torch.save(WEIGHTS, folder / name / "pytorch_model.bin")
    _refused(folder, r"Give one of its folders: checkpoint-1000, checkpoint-500\.")


def test_several_files(folder: Path) -> None:
    for number in range(7):
        (folder / f"epoch={number}.ckpt").touch()
    _refused(
        folder,
        r"7 files that may hold the weights; got epoch=0.ckpt, .*epoch=4.ckpt and 2 more\. Give on",
    )


def test_deepspeed(folder: Path) -> None:
    (folder / "latest").write_text("global_step500")
    (folder / "global_step500").mkdir()
    torch.save(WEIGHTS, folder / "global_step500" / "mp_rank_00_model_states.pt")
    _refused(folder, r"a DeepSpeed checkpoint, .*`python zero_to_fp32.py \. out` in that folder")
    (folder / "zero_to_fp32.py").touch()
    _refused(folder, r"a DeepSpeed checkpoint")
    safetensors.torch.save_file(WEIGHTS, folder / "model.safetensors")
    assert _equal(folder), "the Trainer writes both"


def test_slices_of_every_tensor(folder: Path) -> None:
    for number in range(2):
        torch.save(WEIGHTS, folder / f"consolidated.0{number}.pth")
    for path in (folder, folder / "consolidated.00.pth"):
        _refused(path, r"each hold a slice of every tensor\. .*convert_llama_weights_to_hf\.py")
    (folder / "consolidated.01.pth").unlink()
    assert _equal(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tf_model.h5", b"\x89HDF\r\n\x1a\n", "this is an HDF5 file"),
        ("flax_model.msgpack", b"\x82\xa5model\x81", "this is a msgpack file"),
        ("saved_model.pb", b"\x08\x01\x12\xa4\x0e", "this is a TensorFlow SavedModel"),
        ("model.gguf", b"GGUF\x03\0\0\0", "this is a GGUF file"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_weights_of_others(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    _refused(folder, f"^{name}: .*{message}")


def test_an_unreadable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    _refused(folder, "cannot be opened; got Permission denied")
