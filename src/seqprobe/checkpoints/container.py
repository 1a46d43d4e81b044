"""What kind of file this is, by its bytes and never by its ending; torch is not needed."""

import os
import re
import stat
import zipfile
from enum import StrEnum
from pathlib import Path

from seqprobe.checkpoints import foreign
from seqprobe.errors import FileError


class Kind(StrEnum):
    """What can be read, as named in reports."""

    ZIP = "torch.save (zip)"
    LEGACY = "torch.save before 1.6"
    TAR = "torch.save before 0.1.10 (tar)"
    PICKLE = "pickle"
    SAFETENSORS = "safetensors"
    TORCHSCRIPT = "TorchScript"
    EXPORTED = "torch.export"
    INDEX = "index of shards"
    DISTRIBUTED = "torch.distributed.checkpoint"
    FOLDER = "folder"


_HEAD = 4096
_NUMBER = rb"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.|L119547037146038801333356L"  # torch's magic number
_SIGNATURES = (
    (rb".{5}\0{3}\{", Kind.SAFETENSORS),  # the length of a JSON header, then its brace
    (rb"(?:\x80[\x02-\x05](?:\x95.{8})?)?(?:" + _NUMBER + rb")", Kind.LEGACY),
    (rb"\x80[\x02-\x05]|[(]?c[\w.]+\n\w+\n[pq()]|[(][dl]p?\d*\n|[]}]q", Kind.PICKLE),
    (rb"\s*\{.*\"weight_map\"\s*:", Kind.INDEX),
)
_TAR = slice(257, 262)


def container(path: Path) -> Kind:
    """Name the kind of a file or folder.

    Raises:
        FileError: it is missing, a pipe or device, empty, cut off, or something else.
    """
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        return Kind.DISTRIBUTED if (path / ".metadata").is_file() else Kind.FOLDER
    if not stat.S_ISREG(status.st_mode):
        raise FileError(
            "neither a file nor a folder",
            where=str(path),
            got="a pipe, a socket or a device",
            expected="a checkpoint on disk",
            do="Copy it into a file first.",
        )
    return _of_file(path, status.st_size)


def unopened(path: Path, error: Exception) -> FileError:
    """A file that is there and cannot be read."""
    return FileError(
        "the file cannot be opened",
        where=str(path),
        got=getattr(error, "strerror", None) or type(error).__name__,
        do="Check the path and its permissions.",
    )


def _of_file(path: Path, size: int) -> Kind:
    if not size:
        raise FileError(
            "the file is empty",
            where=path.name,
            got="0 bytes",
            expected="a checkpoint written by torch.save or safetensors",
            do="Copy it again.",
        )
    head = _beginning(path)
    for signature, kind in _SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return kind
    if head.startswith(b"PK"):
        return _zipped(path, size)
    if head[_TAR] == b"ustar" or head.startswith(b"sys_info\0"):
        return Kind.TAR
    raise foreign.named(path, head, size)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        link = f"a link to {path.readlink()}, which is not there" if path.is_symlink() else ""
        raise FileError(
            "no such checkpoint", where=str(path), got=link, do="Check the path."
        ) from None
    except (OSError, ValueError) as error:
        raise unopened(path, error) from error


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise unopened(path, error) from error


def _zipped(path: Path, size: int) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged directory can make the reader fail in many ways
        raise FileError(
            "the file is cut off or damaged: its central directory cannot be read",
            where=path.name,
            got=f"{foreign.amount(size)} on disk",
            do="Copy it again.",
        ) from None
    inside = {name.partition("/")[2] or name for name in names} | set(names)
    if {"data.pkl", "constants.pkl"} <= inside:
        return Kind.TORCHSCRIPT
    if "data/weights/model_weights_config.json" in inside or inside >= _EXPORTED_BEFORE:
        return Kind.EXPORTED
    if "data.pkl" in inside:
        return Kind.ZIP
    raise foreign.named_archive(path, names, size)


_EXPORTED_BEFORE = {"serialized_exported_program.json", "serialized_state_dict.pt"}  # torch < 2.8
