"""Folders: which file in them holds the weights."""

import re
from collections.abc import Collection
from pathlib import Path

from seqprobe.checkpoints.container import unopened
from seqprobe.errors import FileError

USUAL = (  # the first that is there
    "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json",
    "lit_model.pth", "consolidated.safetensors", "consolidated.00.pth", "weights.th",
    "adapter_model.safetensors", "adapter_model.bin",
)  # fmt: skip
_ENDINGS = {".ckpt", ".pt", ".pth", ".safetensors", ".bin", ".th", ".pt2"}
_FOREIGN = {".h5", ".msgpack", ".pb", ".onnx", ".gguf", ".keras", ".npz", ".pdparams"}
_ASIDE = re.compile(  # states of a training, never opened
    r"(training_args|optimizer|scheduler|scaler|rng_state|random_states|brain|counter|dataloader"
    r"|meta)[-_.\w]*"
)
_PART = re.compile(r".*-\d{5}-of-\d{5}\.\w+|.*\.distcp|\.metadata")


def weights_in(folder: Path) -> Path:
    """Give the file with the weights, or the index of its shards.

    Raises:
        FileError: there is none, or more than one.
    """
    files = _files(folder)
    for name in USUAL:
        if name in files:
            return _undivided(folder / name)
    _not_deepspeed(folder, files)
    if {"CKPT.yaml", "model.ckpt"} <= files:
        return folder / "model.ckpt"
    for endings in (_ENDINGS, _FOREIGN):
        found = [n for n in sorted(files) if Path(n).suffix in endings and not _ASIDE.fullmatch(n)]
        if found:
            return folder / _only(found, folder)
    raise FileError(
        "no weights in this folder",
        where=folder.name,
        got=f"{len(files)} files" + (f": {_listed(sorted(files))}" if files else ""),
        expected=f"{USUAL[0]}, {USUAL[2]} or another checkpoint",
        do=_deeper(folder),
    )


def candidates(folder: Path) -> list[Path]:
    """The files, and the folders in it, that may each hold the weights of a model."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if _holds_weights(entry)
        or (entry.suffix in _ENDINGS and entry.is_file() and not _ASIDE.fullmatch(entry.name))
    )


def whole(file: Path) -> Path:
    """Give the file back unless it is one part of a model.

    Raises:
        FileError: the other parts lie beside it.
    """
    if _PART.fullmatch(file.name):
        raise FileError(
            "one part of a model that lies in several files",
            where=file.name,
            do=f"Give the folder with all of them: {file.absolute().parent}",
        )
    return _undivided(file)


def _files(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir() if not entry.is_dir()}
    except OSError as error:
        raise unopened(folder, error) from error


def _undivided(file: Path) -> Path:
    if file.name == "consolidated.00.pth" and (file.parent / "consolidated.01.pth").exists():
        raise FileError(
            "the first of several files that each hold a slice of every tensor",
            where=file.name,
            do="Join them with convert_llama_weights_to_hf.py of transformers.",
        )
    return file


def _not_deepspeed(folder: Path, files: Collection[str]) -> None:
    if "zero_to_fp32.py" in files or any(folder.glob("global_step*")):
        raise FileError(
            "a DeepSpeed checkpoint, cut into pieces for its workers",
            where=folder.name,
            do="Join them with `python zero_to_fp32.py . out` in that folder, and give out.",
        )


def _only(found: list[str], folder: Path) -> str:
    if len(found) > 1:
        raise FileError(
            f"{len(found)} files that may hold the weights",
            where=folder.name,
            got=_listed(found),
            do="Give one of them.",
        )
    return found[0]


def _deeper(folder: Path) -> str:
    inside = sorted(entry.name for entry in folder.iterdir() if _holds_weights(entry))
    if inside:
        return f"Give one of its folders: {_listed(inside)}."
    return "Give the file with the weights."


def _holds_weights(entry: Path) -> bool:
    return entry.is_dir() and any(
        inside.suffix in _ENDINGS or inside.suffix == ".distcp" for inside in entry.iterdir()
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
