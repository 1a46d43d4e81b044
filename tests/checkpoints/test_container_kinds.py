"""What kind of file it is, by its bytes: each foreign or broken one is named."""

import gzip
import io
import json
import os
import pickle
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from seqprobe.checkpoints.container import Kind, container
from seqprobe.checkpoints.fetch import fetch_all
from seqprobe.checkpoints.read import read
from seqprobe.errors import FileError


def saved(thing: object, *, zipped: bool = True, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return buffer.getvalue()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("model_config.yaml"))
    return buffer.getvalue()


def lying(header: object, body: bytes = b"") -> bytes:
    """A safetensors file with this header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


WEIGHTS = {"weight": torch.arange(300.0), "bias": torch.zeros(5)}
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f"
    b"32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\xf3\x02"  # IR version 8, by pytorch
SAVED_MODEL = b"\x08\x01\x12\xa4\x0e\n\xb5\x03"
TENSORFLOW_INDEX = b"\0\0\x06\x08\x01\x1a\x02\x08\x01\0\x10"
FLAX = b"\x82\xa5model\x81\xa6kernel\xc7\x0c\x01\x93\x91\x02\xa7float32"
FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "git lfs pointer": (
        lambda: POINTER,
        r"this is a Git LFS pointer \(130 bytes\), not the weights\. Run `git lfs pull`\.$",
    ),
    "html": (
        lambda: b"<!DOCTYPE html><p>404",
        r"an HTML page \(21 bytes\) \(a failed download\?\)\. Download the file again\.$",
    ),
    "html, indented": (lambda: b"\xef\xbb\xbf\r\n  <HTML><p>", r"this is an HTML page"),
    "xml": (lambda: b"<?xml version='1.0'?><Error>AccessDenied", r"this is an XML page"),
    "our page": (
        lambda: b'<!doctype html>\n<html lang="en">\n<title>gru.pt \xe2\x80\x93 SeqProbe</title>',
        r"this is a report of SeqProbe .*use `seqprobe report`",
    ),
    "our report": (
        lambda: json.dumps({"schema": "seqprobe.report/1"}).encode(),
        r"this is a report of SeqProbe .*use `seqprobe report`",
    ),
    "json": (lambda: b'{"hidden_size": 1}', r"this is a JSON file .*Give the weights, or the fold"),
    "text": (
        ("na\u00efve \u2013 " * 700).encode,
        r"this is a text \(7,700 bytes\), not the weights\. .* goes to --data\.$",
    ),
    "text that begins like a pickle": (lambda: b"cat\nsat\non the mat", "this is a text"),
    "gzip": (lambda: gzip.compress(saved(WEIGHTS)), r"a compressed file .*Unpack it, and give"),
    "gguf": (lambda: b"GGUF\x03\0\0\0", r"this is a GGUF file .*from_pretrained\(folder, gguf_fil"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n\0", r"an HDF5 file \(9 bytes\) \(Keras\?\)\. .*h5py"),
    "keras": (
        lambda: archive(**{"metadata.json": b"{}", "model.weights.h5": b"\x89HDF"}),
        r"this is a Keras archive .*with h5py",
    ),
    "onnx": (lambda: ONNX, r"this is an ONNX model .*onnx2torch\.convert"),
    "onnx without a producer": (lambda: b"\x08\x07:\xf3\x02\n", r"this is an ONNX model"),
    "saved model": (lambda: SAVED_MODEL, r"a TensorFlow SavedModel .*with tf2onnx"),
    "tensorflow": (lambda: TENSORFLOW_INDEX, r"the index of a TensorFlow checkpoint .*tf2onnx"),
    "tflite": (lambda: b"\x1c\0\0\0TFL3\x14\0", r"a TensorFlow Lite model .*was compiled from"),
    "executorch": (lambda: b"\x1c\0\0\0ET12\x14\0", r"an ExecuTorch program .*was compiled from"),
    "aotinductor": (
        lambda: archive(**{"m/data/aotinductor/model/a.so": b""}),
        r"a compiled package .*\(AOTInductor\)",
    ),
    "flax": (lambda: FLAX, r"this is a msgpack file .*\(Flax\?\)\. .*msgpack_restore"),
    "npz": (npz, r"this is arrays of NumPy .*\(npz\)\. .*torch\.from_numpy\(array\)"),
    "npy": (npy, r"this is an array of NumPy .*torch\.from_numpy\(array\)"),
    "another zip": (
        lambda: archive(**{"policy.pth": b"..", "data": b".."}),
        r"a zip archive, but not one of torch.save; got 2 members, the first policy.pth; .*Unpack",
    ),
    "empty zip": (lambda: b"PK\x03\x04" + archive(), "not one of torch.save; got 0 members;"),
    "another tar": (tar, r"a tar archive, but not a complete one of torch.save before 0.1.10"),
    "random": (
        lambda: bytes(range(200, 256)) * 9,
        r"not a checkpoint; got 504 bytes starting with b'\\xc8",
    ),
    "paddle": (
        lambda: pickle.dumps({"fc.w": [1.0], "StructuredToParameterName@@": {}}, protocol=2),
        r"a checkpoint of PaddlePaddle\. Convert it: .*paddle\.load",
    ),
}
BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", r"the file is empty; got 0 bytes; expected a checkpoint"),
    "cut-off zip": (
        lambda: saved(WEIGHTS)[:1000],
        r"the file is cut off: its central directory is missing; got 1,000 bytes on disk\. Copy",
    ),
    "large and cut off": (
        lambda: b"PK\x03\x04" + bytes(11_999_996),
        r"the file is cut off: its central directory is missing; got 12\.0 MB on disk\. Copy",
    ),
    "two bytes": (lambda: b"PK", r"the file is cut off"),
    "zip with a damaged directory": (
        lambda: saved(WEIGHTS).replace(b"PK\x01\x02", b"PK\x01\x09"),
        r"the file is damaged: its central directory cannot be read",
    ),
    "random, like a pickle": (
        lambda: b"\x80\x02" + bytes(range(200, 256)) * 9,
        r"the pickle in it cannot be read; it may be cut off or damaged",
    ),
    "cut-off safetensors": (
        lambda: save(WEIGHTS)[:-8],
        r"the file is cut off; got 1,3\d\d bytes on disk; expected at least 1,3\d\d bytes",
    ),
    "safetensors, cut in the header": (
        lambda: save(WEIGHTS)[:40],
        r"the file is cut off; got 40 bytes on disk",
    ),
    "safetensors, too long": (
        lambda: save(WEIGHTS) + b"more",
        r"the header is damaged; got 4 bytes after the last tensor",
    ),
    "safetensors, lying about a shape": (
        lambda: lying({"a": entry([3, 2], 0, 8)}, bytes(8)),
        r"the header is damaged; got a of shape \(3, 2\) in 8 bytes",
    ),
    "safetensors, two tensors in one place": (
        lambda: lying({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, bytes(8)),
        r"the header is damaged; got a gap or an overlap at byte \d+",
    ),
    "safetensors, a hole": (
        lambda: lying({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        r"the header is damaged; got a gap or an overlap at byte \d+",
    ),
    "safetensors, a negative size": (
        lambda: lying({"a": entry([-1, -2], 0, 8)}, bytes(8)),
        r"the header is damaged; got a described by \{'dtype': 'F32', 'shape': \[-1",
    ),
    "safetensors, four bits": (
        lambda: lying({"a": entry([2], 0, 1, "F4")}, bytes(1)),
        r"numbers of a kind that torch cannot compute with; got a in F4; .*dequantise it first",
    ),
    "safetensors, a huge header": (
        lambda: (10**12).to_bytes(8, "little") + b"{}",
        r"the header is damaged; got a header of 1,000,000,000,000 bytes",
    ),
    "safetensors, deep": (
        lambda: (5 + 200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 200_000,
        r"damaged JSON; got maximum recursion depth",
    ),
    "safetensors, a name that moves the cursor": (
        lambda: lying({"a\x1b[2J": entry([1], 0, 4)}, bytes(4)),
        r"a tensor has a name that cannot be printed; got 'a\\x1b\[2J'",
    ),
    "cut-off legacy file": (
        lambda: saved(WEIGHTS, zipped=False)[:-10],
        r"cut off",
    ),
    "a zip with a foreign data.pkl": (
        lambda: archive(**{"x/data.pkl": b"nothing"}),
        r"the pickle in it cannot be read",
    ),
    "TorchScript without a pickle of modules": (
        lambda: archive(**{"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/m.py": b""}),
        r"the pickle in it cannot be read",
    ),
    "two programs of torch.export": (
        lambda: archive(
            **{"m/archive_format": b"pt2"},
            **{f"m/data/weights/{name}_weights_config.json": b"{}" for name in "ab"},
        ),
        r"torch.export without one set of weights; got 2 of them\. Save one program with torch.exp",
    ),
    "a damaged list of weights of torch.export": (
        lambda: archive(
            **{
                "m/archive_format": b"pt2",
                "m/data/weights/model_weights_config.json": b'{"config": {"a": {}}}',
            }
        ),
        r"the list of its weights is damaged; got a described by \{\}",
    ),
}
ASIDES: dict[str, tuple[object, str]] = {
    "optimizer": (
        torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict(),
        r"the state of an optimizer, without the model's weights",
    ),
    "random numbers": (
        {"python": (3, (1, 2), None), "numpy": (), "cpu": torch.get_rng_state(), "cuda": []},
        r"the states of random number generators, without weights\. Give the weights that lie in",
    ),
    "schedule": (
        {"base_lrs": [0.1], "last_epoch": 3, "_step_count": 4, "_last_lr": [0.1]},
        r"the state of a learning-rate schedule, without weights",
    ),
    "scaler": (
        {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "_growth_tracker": 0},
        r"the state of a gradient scaler, without weights",
    ),
    "adapter": (
        {"q.lora_A.weight": torch.ones(2, 4), "q.lora_B.weight": torch.ones(4, 2)},
        r"a LoRA adapter, without the model that it changes",
    ),
}


def _refused(path: Path, message: str) -> None:
    with pytest.raises(FileError, match=f"^{path.name}: .*{message}") as raised:
        read(path)
    text = str(raised.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert raised.value.do, "what to do"
    assert raised.value.exit_code == 4


@pytest.mark.parametrize(
    ("content", "message"), [*FOREIGN.values(), *BROKEN.values()], ids=[*FOREIGN, *BROKEN]
)
def test_named_for_what_it_is(
    content: Callable[[], bytes], message: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content())
    _refused(path, message)
    assert not recwarn.list


@pytest.mark.parametrize(("thing", "message"), ASIDES.values(), ids=ASIDES)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_lies_beside_the_weights(
    thing: object, message: str, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(saved(thing, zipped=zipped))
    _refused(path, message)


class TrainingArguments:
    """As the Trainer of transformers pickles its own into training_args.bin."""

    def __init__(self) -> None:
        self.learning_rate = 0.1


def test_arguments_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "training_args.bin"
    torch.save(TrainingArguments(), path)
    _refused(path, r"the arguments of a training \(\S+\.TrainingArguments\)\. Give the weights")


KINDS: dict[str, tuple[Callable[[], bytes], Kind]] = {
    "zip": (lambda: saved(WEIGHTS), Kind.ZIP),
    "safetensors": (lambda: save(WEIGHTS), Kind.SAFETENSORS),
    "safetensors with a header of 128 bytes": (
        lambda: lying({"weight": entry([1], 0, 4), "_" * 62: entry([0], 4, 4)}, bytes(4)),
        Kind.SAFETENSORS,
    ),
    **{
        f"legacy {protocol}": (
            lambda protocol=protocol: saved(WEIGHTS, zipped=False, protocol=protocol),
            Kind.LEGACY,
        )
        for protocol in (2, 3, 4, 5)
    },
    **{
        f"pickle {protocol}": (
            lambda protocol=protocol: pickle.dumps(WEIGHTS, protocol=protocol),
            Kind.PICKLE,
        )
        for protocol in range(6)
    },
    **{
        f"pickled module {protocol}": (
            lambda protocol=protocol: pickle.dumps(nn.Linear(2, 2), protocol=protocol),
            Kind.PICKLE,
        )
        for protocol in range(6)
    },
}


@pytest.mark.parametrize(("content", "kind"), KINDS.values(), ids=KINDS)
def test_the_kind_whatever_the_ending(
    content: Callable[[], bytes], kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "model.html"
    path.write_bytes(content())
    assert container(path) is kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [(saved(WEIGHTS), Kind.ZIP), (saved(WEIGHTS, zipped=False), Kind.LEGACY)],
    ids=["zip", "legacy"],
)
def test_weights_come_out(content: bytes, kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    contents = read(path)
    tensors = fetch_all(contents.weights)
    assert (contents.container, contents.bytes, contents.path) == (kind, len(content), path)
    assert tensors.keys() == WEIGHTS.keys()
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere.pt: no such checkpoint\. Check the path"):
        read(tmp_path / "nowhere.pt")
    (tmp_path / "link.pt").symlink_to("blobs/1234")
    with pytest.raises(FileError, match=r"got a link to blobs/1234, which is not there"):
        read(tmp_path / "link.pt")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="no such checkpoint"):
        read(tmp_path / "file" / "model.pt")


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.pt").symlink_to("b.pt")
    (tmp_path / "b.pt").symlink_to("a.pt")
    with pytest.raises(FileError, match=r"cannot be opened; got Too many levels of symbolic links"):
        read(tmp_path / "a.pt")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(str(tmp_path / "s"))
        for name in (tmp_path / "pipe", tmp_path / "s", Path("/dev/zero")):
            with pytest.raises(FileError, match=r"neither a file nor a folder; got a pipe, a soc"):
                read(name)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK")

    def denied(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FileError, match=r"cannot be opened; got Permission denied\. Check the pat"):
        container(path)


def test_a_file_larger_than_any_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": entry([2**38], 0, 2**40)}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**40)
    assert read(path).weights["a"].shape == (2**38,)


@pytest.mark.parametrize("zipped", [True, False])
def test_any_damage_is_an_error_of_ours_or_none(tmp_path: Path, zipped: bool) -> None:
    """Bytes flipped at random."""
    whole = saved(nn.GRU(2, 2).state_dict(), zipped=zipped)
    random = np.random.default_rng(0)
    path, refused = tmp_path / "model.pt", 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read(path)
        except FileError:
            refused += 1
    assert refused > 20
