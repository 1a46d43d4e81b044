"""`torch.export.save`: a zip archive with raw numbers, and JSON that says which tensor they are."""

import re
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.json_text import LIMIT, mapping
from seqprobe.checkpoints.formats.torch_zip import Archive
from seqprobe.checkpoints.pickles.storages import Storage, spec
from seqprobe.errors import FileError

_FOLDER = "data/weights"
_CONFIG = re.compile(rf"{_FOLDER}/(.*)_weights_config\.json")
_BEFORE = re.compile(rf"{_FOLDER}/.*\.pt|serialized_state_dict\.pt")  # torch.save, inside
_MARKERS = ("archive_format", "serialized_exported_program.json")
_DTYPES = {  # numbers of torch's ScalarType
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
    34: "uint32", 35: "uint64",
}  # fmt: skip


def read(path: Path) -> Any:
    """Give the state dict; the program itself is left alone.

    Raises:
        FileError: damaged, or with more than one program.
    """
    archive = Archive.open(path, markers=_MARKERS)
    configs = [name for name in archive.members if _CONFIG.fullmatch(name)]
    before = [name for name in archive.members if _BEFORE.fullmatch(name)]
    if len(configs or before) != 1:
        raise FileError(
            "an archive of torch.export without one set of weights",
            where=path.name,
            got=f"{len(configs or before)} of them",
            do="Save one program with torch.export.save.",
        )
    if not configs:
        return Archive.open(path, part=archive.member(before[0])).pickle()
    entries = mapping(archive.read(configs[0], LIMIT), path.name).get("config")
    return {name: _tensor(archive, name, entry) for name, entry in _items(entries, path)}


def _items(entries: Any, path: Path) -> Any:
    if isinstance(entries, dict):
        return entries.items()
    raise _damaged(path, "no list of weights")


def _tensor(archive: Archive, name: str, entry: Any) -> Any:
    match entry:
        case {"path_name": str(place), "use_pickle": True}:
            span = archive.member(f"{_FOLDER}/{place}")
            return Archive.open(archive.path, part=span).pickle()
        case {"path_name": str(place), "tensor_meta": {
            "dtype": int(code), "sizes": [*sizes], "strides": [*strides], "storage_offset": offset,
            "layout": 7,
        }} if code in _DTYPES:  # fmt: skip
            storage = Storage(_DTYPES[code], archive.member(f"{_FOLDER}/{place}"))
            offset, *numbers = (_integer(value) for value in (offset, *sizes, *strides))
            return spec(storage, offset, numbers[: len(sizes)], numbers[len(sizes) :])
    raise _damaged(archive.path, f"{name[:60]} described by {str(entry)[:80]}")


def _integer(value: Any) -> int:
    match value:
        case {"as_int": int(number)}:
            return number
    raise FileError(
        "a weight without a fixed size", got=str(value)[:80], do="Export it with fixed sizes."
    )


def _damaged(path: Path, got: str) -> FileError:
    return FileError(
        "the list of its weights is damaged", where=path.name, got=got, do="Copy it again."
    )
