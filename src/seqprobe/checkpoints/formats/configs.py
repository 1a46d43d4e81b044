"""Configurations that stand in the folder of a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats import json_text
from seqprobe.checkpoints.formats.bounded import content
from seqprobe.errors import FileError

_MOST = 2**20  # bytes
_TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt",
)  # fmt: skip


def beside(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parse them, by file name, and say of which that failed.

    Files of a tokenizer may be large, and are given as their paths.
    """
    found: dict[str, Any] = {n: str(folder / n) for n in _TOKENIZERS if (folder / n).is_file()}
    failed = []
    for name, parse in _PARSERS.items():
        if (folder / name).is_file():
            try:
                found[name] = parse(content(folder / name, _MOST), name)
            except FileError as error:
                failed.append(error.said)
    return found, tuple(failed)


def _yaml(text: bytes, where: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without merged mappings, which can grow without bound."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if any(key.tag.endswith(":merge") for key, _ in node.value):
                raise yaml.YAMLError("merged mappings")

    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # objects of Python, for one
        first_line = str(error).split("\n")[0][:100]
        raise FileError("no plain YAML", where=where, got=first_line) from error


_PARSERS: dict[str, Callable[[bytes, str], Any]] = {
    "config.json": json_text.mapping,
    "generation_config.json": json_text.mapping,
    "adapter_config.json": json_text.mapping,
    "params.json": json_text.mapping,
    "model_config.yaml": _yaml,
    "hparams.yaml": _yaml,
    "hyperparams.yaml": _yaml,
    "CKPT.yaml": _yaml,
}
