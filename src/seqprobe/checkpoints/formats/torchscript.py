"""TorchScript: a pickle of plain modules beside compiled code, which is left alone."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.torch_zip import Archive
from seqprobe.checkpoints.pickles.opaque import Object
from seqprobe.checkpoints.tensors import TensorSpec

_MANGLED = re.compile(r"__torch__\.|___torch_mangle_\d+\.")
_TAGGED = "torch.jit._pickle.restore_type_tag"  # (value, its type)


def read(path: Path) -> Any:
    """Give the module as a pickle of Python would hold it: parameters, submodules, attributes.

    Raises:
        FileError: damaged, or not written by torch.jit.save.
    """
    tree = Archive.open(path).pickle()
    modules = _modules(tree)
    for module in modules:
        module.state = _parted(module.state)
    for module in modules:
        module.kind = _MANGLED.sub("", module.kind)
    return tree


def _modules(tree: Any) -> Collection[Object]:
    """All of them, each once though parents may share it."""
    found: dict[int, Object] = {}
    waiting = [tree]
    while waiting:
        thing = waiting.pop()
        if id(thing) not in found and _is_module(thing):
            found[id(thing)] = thing
            waiting.extend(thing.state.values())
    return found.values()


def _is_module(thing: Any) -> bool:
    return (
        isinstance(thing, Object)
        and thing.kind.startswith("__torch__.")
        and isinstance(thing.state, dict)
    )


def _parted(state: Mapping[str, Any]) -> dict[str, Any]:
    """What TorchScript keeps in one dictionary, `nn.Module` keeps in several."""
    parts: dict[str, dict[str, Any]] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    plain = {}
    for name, value in state.items():
        if isinstance(value, TensorSpec):
            parts["_parameters"][name] = value
        elif _is_module(value):
            parts["_modules"][name] = value
        else:
            plain[name] = _untagged(value)
    return plain | parts


def _untagged(value: Any) -> Any:
    return value.args[0] if isinstance(value, Object) and value.kind == _TAGGED else value
