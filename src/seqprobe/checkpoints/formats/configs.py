"""Configurations that stand in the folder of a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats import json_text
from seqprobe.checkpoints.formats.bounded import content
from seqprobe.checkpoints.trees.plain import Plain
from seqprobe.errors import FileError

_MOST_JSON, _MOST_YAML = 2**20, 2**16  # bytes; YAML is slow, and slower when it is hostile
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
                found[name] = parse(folder / name)
            except FileError as error:
                failed.append(error.said)
    return found, tuple(failed)


def _json(path: Path) -> Any:
    return json_text.mapping(content(path, _MOST_JSON), path.name)


def _yaml(path: Path) -> Any:
    import yaml

    text = content(path, _MOST_YAML)

    class Loader(yaml.SafeLoader):
        """Without merged mappings, which can grow without bound."""

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            if any(key.tag.endswith(":merge") for key, _ in node.value):
                raise yaml.YAMLError("merged mappings")

    try:
        return Plain(path.name)(yaml.load(text, Loader))
    except Exception as error:  # hostile YAML can fail in any way
        first_line = str(error).split("\n")[0][:100]
        raise FileError("no plain YAML", where=path.name, got=first_line) from error


_PARSERS: dict[str, Callable[[Path], Any]] = {
    "config.json": _json,
    "generation_config.json": _json,
    "adapter_config.json": _json,
    "params.json": _json,
    "model_config.yaml": _yaml,
    "hparams.yaml": _yaml,
    "hyperparams.yaml": _yaml,
    "CKPT.yaml": _yaml,
}
