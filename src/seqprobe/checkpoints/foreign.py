"""Files that are no checkpoints of PyTorch: what each is, and what makes one of it."""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from seqprobe.errors import FileError

_AGAIN = "Download the file again."
_UNPACK = "Unpack it, and give the file or folder with the weights."
_ARRAYS = "torch.save({name: torch.from_numpy(array), ...}, 'weights.pt')"
_KERAS = f"Read its arrays with h5py, save them by {_ARRAYS}, and give the architecture by --model."
_ONNX = "Convert it: torch.save(onnx2torch.convert(file).state_dict(), 'weights.pt')."
_TENSORFLOW = "Convert it to ONNX with tf2onnx, then with onnx2torch."
_GGUF = "Convert it: AutoModelForCausalLM.from_pretrained(folder, gguf_file=name) of transformers."
_FLAX = f"Read it with flax.serialization.msgpack_restore, and save it by {_ARRAYS}."
_COMPILED = "Give the checkpoint that it was compiled from."
_REPORT = "Give the checkpoint; to show a report use `seqprobe report`."

_BEGINNINGS = (  # matched at the first byte, in this order
    (rb"version https://git-lfs", "a Git LFS pointer{}, not the weights", "Run `git lfs pull`."),
    (rb"(?i)\s*<!doctype html>.*SeqProbe</title>", "a report of SeqProbe{}", _REPORT),
    (rb"(?i)\s*<(!doctype|html)", "an HTML page{} (a failed download?)", _AGAIN),
    (rb"(?i)\s*<\?xml", "an XML page{} (a failed download?)", _AGAIN),
    (rb'\s*\{.*"schema": ?"seqprobe\.', "a report of SeqProbe{}", _REPORT),
    (rb"\s*[{[]", "a JSON file{}, not the weights", "Give the weights, or the folder of both."),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd|Rar!", "a compressed file{}", _UNPACK),
    (rb"GGUF|GGML|lmgg|tjgg", "a GGUF file{}", _GGUF),
    (rb"\x89HDF", "an HDF5 file{} (Keras?)", _KERAS),
    (rb"\x93NUMPY", "an array of NumPy{}", f"Save it by {_ARRAYS}."),
    (rb".{4}TFL3", "a TensorFlow Lite model{}", _COMPILED),
    (rb".{4}ET\d\d", "an ExecuTorch program{}", _COMPILED),
    (rb"\0\0.\x08.(\x10.)?\x1a\x02\x08", "the index of a TensorFlow checkpoint{}", _TENSORFLOW),
    (rb"\x08\x01\x12", "a TensorFlow SavedModel{}", _TENSORFLOW),
    (rb"\x08[\x02-\x1f](\x12.[ -~]|\x3a)", "an ONNX model{}", _ONNX),
    (rb"([\x81-\x8f]|\xde..)([\xa1-\xbf]|\xd9.)[ -~]", "a msgpack file{} (Flax?)", _FLAX),
)
_MEMBERS = (  # of zip archives
    (r"model\.weights\.h5", "a Keras archive{}", _KERAS),
    (r".*\.npy", "arrays of NumPy{} (npz)", f"Save them by {_ARRAYS}."),
    (r"(.*/)?data/aotinductor/.*", "a compiled package{} (AOTInductor)", _COMPILED),
)


def named(path: Path, head: bytes, size: int) -> FileError:
    """What a file is that begins with these bytes."""
    for beginning, what, do in _BEGINNINGS:
        if re.match(beginning, head.removeprefix(codecs.BOM_UTF8), re.DOTALL):
            return _foreign(path, what, size, do)
    if _is_text(head):
        do = "Give the weights; a text to measure on goes to --data."
        return _foreign(path, "a text{}, not the weights", size, do)
    return FileError(
        "not a checkpoint",
        where=path.name,
        got=f"{amount(size)} starting with {head[:8]!r}",
        expected="a file written by torch.save or safetensors",
        do="Give the file with the weights.",
    )


def named_archive(path: Path, members: Sequence[str], size: int) -> FileError:
    """What a zip archive is that has these members."""
    for member, what, do in _MEMBERS:
        if any(re.fullmatch(member, name) for name in members):
            return _foreign(path, what, size, do)
    return FileError(
        "a zip archive, but not one of torch.save",
        where=path.name,
        got=f"{len(members)} members" + (f", the first {members[0]}" if members else ""),
        expected="a member data.pkl",
        do=_UNPACK,
    )


def amount(size: int) -> str:
    """Of bytes, as people say it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:,} bytes"


def _foreign(path: Path, what: str, size: int, do: str) -> FileError:
    return FileError(f"this is {what.format(f' ({amount(size)})')}", where=path.name, do=do)


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign.isspace() for sign in text)
