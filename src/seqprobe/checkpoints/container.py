"""What kind of file this is, by its first bytes and never by its ending; torch is not needed."""

import zipfile
from pathlib import Path

from seqprobe.errors import FileError

_FOREIGN = {  # in lower case
    b"version https://git-lfs": ("a Git LFS pointer, not the weights", "Run `git lfs pull`."),
    b"<!doctype": ("an HTML page (a failed download?)", "Download the file again."),
    b"<html": ("an HTML page (a failed download?)", "Download the file again."),
    b"<?xml": ("an XML page (a failed download?)", "Download the file again."),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
    b"gguf": ("a GGUF file", "Give the PyTorch checkpoint that it was converted from."),
    b"\x89hdf": ("an HDF5 file (Keras?)", "Convert its weights to a PyTorch state dict."),
    b"{": ("a JSON file", "Give the weights; to show a report use `seqprobe report`."),
}
_HEAD = 64


def container(path: Path) -> str:
    """`zip` (torch.save), `safetensors` or `legacy` (torch.save before 1.6).

    Raises:
        FileError: the file is missing, empty, cut off, or something else.
    """
    if not path.exists():
        raise FileError("no such checkpoint", where=str(path), do="Check the path.")
    if path.is_dir():
        raise FileError(
            "a folder, not a checkpoint", where=str(path), do="Give the file with the weights."
        )
    size, head = _beginning(path)
    if not head:
        raise FileError(
            "the file is empty",
            where=path.name,
            got="0 bytes",
            expected="a checkpoint written by torch.save or safetensors",
            do="Copy it again.",
        )
    return _kind(path, head, size)


def _beginning(path: Path) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            return path.stat().st_size, file.read(_HEAD)
    except OSError as error:
        raise FileError(
            "the file cannot be opened",
            where=str(path),
            got=error.strerror or type(error).__name__,
            do="Check its permissions.",
        ) from error


def _kind(path: Path, head: bytes, size: int) -> str:
    for magic, (what, do) in _FOREIGN.items():
        if head.lstrip().lower().startswith(magic):
            raise FileError(f"this is {what}", where=path.name, got=f"{size:,} bytes", do=do)
    if head.startswith(b"PK\x03\x04"):
        return _torch_zip(path, size)
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"\x80"):
        return "legacy"
    raise FileError(
        "not a checkpoint",
        where=path.name,
        got=f"{size:,} bytes starting with {head[:8]!r}",
        expected="a file written by torch.save or safetensors",
        do="Give the file with the weights.",
    )


def _torch_zip(path: Path, size: int) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged directory can make the reader fail in many ways
        raise FileError(
            "the file is cut off or damaged: its central directory cannot be read",
            where=path.name,
            got=f"{size:,} bytes",
            do="Copy it again.",
        ) from None
    if any(name.endswith("constants.pkl") for name in names):
        raise FileError(
            "a TorchScript archive, which holds code",
            where=path.name,
            expected="a file written by torch.save",
            do="Save its state dict: torch.save(torch.jit.load(path).state_dict(), 'weights.pt').",
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise FileError(
            "a zip archive, but not one of torch.save",
            where=path.name,
            got=f"{len(names)} members" + (f", the first {names[0]}" if names else ""),
            expected="a member data.pkl",
            do="Give the checkpoint itself.",
        )
    return "zip"
