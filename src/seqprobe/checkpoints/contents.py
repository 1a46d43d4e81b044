"""What a checkpoint holds, in plain values: nothing of it was imported, called or loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.tensors import TensorSpec


@dataclass(frozen=True)
class Module:
    """One module of a pickled model: its class by name, and its plain attributes."""

    kind: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Contents:
    """A checkpoint that was read.

    Attributes:
        path: the file or folder that the user named.
        container: in a few words, such as `torch.save (zip)`, `safetensors in 3 shards`.
        bytes: on disk.
        weights: the state dict, by the names that stand in the file.
        beside: plain values that stand beside it: hyper-parameters (`model_args`, `config`,
            `hyper_parameters`, `args`, `cfg`, .. each a mapping under its own name), and values
            such as `iter_num`. Of a folder: `config.json` and the like under its file name.
        modules: of a pickled model, by dotted path; the model itself is at "".
        others: further state dicts in the same file, such as an average of the weights ("ema").
        warnings: what the user should know about this reading.
    """

    path: Path
    container: str
    bytes: int
    weights: Mapping[str, TensorSpec]
    beside: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, Module] = field(default_factory=dict)
    others: Mapping[str, Mapping[str, TensorSpec]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the file, without its folders."""
        return self.path.name or str(self.path)

    @property
    def plain(self) -> dict[str, TensorSpec]:
        """The state dict without what wrappers put into names."""
        return {new: self.weights[old] for new, old in unwrapped(self.weights).items()}


_WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


def unwrapped(weights: Iterable[str]) -> dict[str, str]:
    """From names without wrappers to the names in the file.

    Wrappers are those of DistributedDataParallel, torch.compile, FSDP and activation
    checkpointing, and one attribute that holds the whole model, as in a LightningModule. The
    counter of averaged weights is left out.
    """
    names = {name: name for name in weights if name != "n_averaged"}
    for wrapper in _WRAPPERS:
        names = {_without(new, wrapper): old for new, old in names.items()}
    while (holder := _only_holder(names)) is not None:
        names = {new.removeprefix(holder): old for new, old in names.items()}
    return names


def _without(name: str, wrapper: str) -> str:
    """A wrapper stands at the beginning, or after a dot."""
    return name.removeprefix(wrapper).replace(f".{wrapper}", ".")


_HOLDERS = ("model.", "net.", "network.", "lm.", "_model.")


def _only_holder(names: Mapping[str, str]) -> str | None:
    """An attribute of which every tensor is a part."""
    for holder in _HOLDERS:
        if names and all(name.startswith(holder) for name in names):
            return holder
    return None
