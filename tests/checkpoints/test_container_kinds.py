"""What kind of file it is, by its bytes: each foreign or broken one is named."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from seqprobe.checkpoints.container import container
from seqprobe.checkpoints.weights import read
from seqprobe.errors import FileError


def saved(thing: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
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


WEIGHTS = {"weight": torch.arange(300.0), "bias": torch.zeros(5)}
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f"
    b"32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", r"the file is empty; got 0 bytes; expected a checkpoint"),
    "cut-off zip": (
        lambda: saved(WEIGHTS)[:1000],
        r"cut off or damaged: its central directory cannot be read; got 1,000 bytes\. Copy it aga",
    ),
    "two bytes": (lambda: b"PK", r"not a checkpoint; got 2 bytes starting with b'PK'"),
    "git lfs pointer": (
        lambda: POINTER,
        r"this is a Git LFS pointer, not the weights; got \d+ bytes\. Run `git lfs pull`",
    ),
    "html": (lambda: b"<!DOCTYPE html><p>404", r"this is an HTML page \(a failed download\?\)"),
    "html, indented": (lambda: b"\r\n  <HTML><p>", r"this is an HTML page .*Download the file"),
    "xml": (lambda: b"<?xml version='1.0'?><Error>AccessDenied", r"this is an XML page"),
    "gzip": (lambda: gzip.compress(saved(WEIGHTS)), r"this is a gzip archive; .*Unpack it first"),
    "gguf": (lambda: b"GGUF\x03\0\0\0", r"this is a GGUF file; .*converted from"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n\0", r"this is an HDF5 file \(Keras\?\); .*state dict"),
    "json": (lambda: b'{"schema": 1}', r"this is a JSON file; .*use `seqprobe report`"),
    "random": (
        lambda: bytes(range(200, 256)) * 9,
        r"not a checkpoint; got 504 bytes starting with b'\\xc8",
    ),
    "random, like a pickle": (
        lambda: b"\x80" + bytes(range(200, 256)) * 9,
        r"nothing in a checkpoint is ever executed; got a pickle that torch.save did not write",
    ),
    "npz": (npz, r"a zip archive, but not one of torch.save; got 1 members, the first weight.npy"),
    "empty zip": (lambda: b"PK\x03\x04" + archive(), "not one of torch.save; got 0 members;"),
    "cut-off safetensors": (
        lambda: save(WEIGHTS)[:-8],
        r"the file cannot be read; it may be cut off or damaged; got .*not fully covered",
    ),
    "safetensors, cut in the header": (lambda: save(WEIGHTS)[:40], r"may be cut off or damaged"),
    "cut-off legacy file": (
        lambda: saved(WEIGHTS, zipped=False)[:-10],
        r"may be cut off or damaged; got unexpected EOF",
    ),
    "a zip with a foreign data.pkl": (
        lambda: archive(**{"x/data.pkl": b"nothing"}),
        r"cannot be read|nothing in a checkpoint is ever executed",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_named_for_what_it_is(
    content: Callable[[], bytes], message: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content())
    with pytest.raises(FileError, match=f"^model.pt: .*{message}") as raised:
        read(path)
    text = str(raised.value)
    assert "\n" not in text
    assert "weights_only" not in text, "torch's advice to load unsafely"
    assert str(raised.value).endswith(".")
    assert raised.value.exit_code == 4
    assert not recwarn.list


def test_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(archive(**{"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/m.py": b""}))
    with pytest.raises(FileError, match=r"model.pt: a TorchScript archive, which holds code"):
        read(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere.pt: no such checkpoint\. Check the path"):
        container(tmp_path / "nowhere.pt")
    with pytest.raises(
        FileError, match=r"a folder, not a checkpoint. Give the file with the weigh"
    ):
        container(tmp_path)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    path.touch()

    def denied(*_args: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(FileError, match=r"cannot be opened; got Permission denied\. Check its per"):
        container(path)


def test_the_three_kinds_whatever_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for kind, content in {
        "zip": saved(WEIGHTS),
        "legacy": saved(WEIGHTS, zipped=False),
        "safetensors": save(WEIGHTS),
    }.items():
        path.write_bytes(content)
        contents = read(path)
        assert contents.container == kind
        assert contents.bytes == len(content)
        assert all(torch.equal(contents.weights[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("zipped", [True, False])
def test_any_damage_is_an_error_of_ours_or_none(tmp_path: Path, zipped: bool) -> None:
    """Bytes flipped at random: torch's reader fails in many ways; the user sees one."""
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
