"""Text as bytes, split into train and held-out: the standard library, a file, or a folder."""

import hashlib
import sysconfig
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from seqprobe.errors import FileError

HELD_OUT_SHARE = 0.1
_NOT_STDLIB = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True)
class Corpus:
    """Bytes of text in two parts that share no file (or no position, if there is one file)."""

    source: str
    sha256: str
    train: UInt8[Tensor, " train_bytes"]
    held_out: UInt8[Tensor, " held_out_bytes"]


def read_corpus(source: str) -> Corpus:
    """Read `stdlib` (the running interpreter's standard library), a text file, or a folder.

    Folders are split by file: a file is held out when the hash of its relative path falls in
    the lowest tenth, so that the split survives files being added. Hidden files and files with
    zero bytes are left out.
    """
    if source == "stdlib":
        folder = Path(sysconfig.get_paths()["stdlib"])
        return _read_folder(folder, "stdlib", "*.py", without=_NOT_STDLIB)
    path = Path(source)
    if path.is_dir():
        return _read_folder(path, path.resolve().name, "*")
    if path.is_file():
        return _read_file(path)
    raise FileError(
        "no such data",
        where=source,
        expected="a text file, a folder, `stdlib`, or `synthetic:iid`",
        do="Check the path, or see `seqprobe data list`.",
    )


def _read_folder(folder: Path, name: str, pattern: str, without: Collection[str] = ()) -> Corpus:
    parts: dict[bool, list[bytes]] = {True: [], False: []}
    for file in sorted(folder.rglob(pattern)):
        inside = file.relative_to(folder)
        hidden = any(part.startswith(".") or part in without for part in inside.parts)
        if hidden or not file.is_file():
            continue
        text = _bytes(file)
        if b"\0" not in text:
            parts[_is_held_out(inside.as_posix())].append(text)
    return _corpus(name, b"\n".join(parts[False]), b"\n".join(parts[True]))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(
            "the data cannot be read",
            where=str(path),
            got=error.strerror or type(error).__name__,
            do="Check its permissions.",
        ) from error


def _read_file(path: Path) -> Corpus:
    text = _bytes(path)
    cut = round(len(text) * (1 - HELD_OUT_SHARE))
    return _corpus(path.name, text[:cut], text[cut:])


def _is_held_out(relative_path: str) -> bool:
    return hashlib.sha256(relative_path.encode()).digest()[0] < 256 * HELD_OUT_SHARE


def _corpus(name: str, train: bytes, held_out: bytes) -> Corpus:
    if not held_out:
        raise FileError(
            "no text to read",
            where=name,
            got=f"{len(train)} bytes, none held out",
            expected="text, with at least one file or byte held out",
            do="Point --data at a larger text file or folder.",
        )
    digest = hashlib.sha256(train + b"\0" + held_out).hexdigest()
    return Corpus(name, digest, _tensor(train), _tensor(held_out))


def _tensor(text: bytes) -> UInt8[Tensor, " bytes"]:
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)
