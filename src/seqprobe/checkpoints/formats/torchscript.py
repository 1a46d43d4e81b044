"""TorchScript: a pickle of plain modules beside compiled code, which is left alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.formats.torch_zip import Archive
from seqprobe.checkpoints.opaque import Object
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
    for module in modules.values():
        _reshape(module, modules)
    return tree


def _modules(tree: Any) -> dict[int, Object]:
    """All of them, by identity: parents may share one."""
    found: dict[int, Object] = {}
    waiting = [tree]
    while waiting:
        thing = waiting.pop()
        if id(thing) not in found and _is_module(thing):
            found[id(thing)] = thing
            waiting.extend(thing.state.values())
    return found


def _is_module(thing: Any) -> bool:
    return (
        isinstance(thing, Object)
        and thing.kind.startswith("__torch__.")
        and isinstance(thing.state, dict)
    )


def _reshape(module: Object, modules: Mapping[int, Object]) -> None:
    """What TorchScript keeps in one dictionary, `nn.Module` keeps in several."""
    parts: dict[str, dict[str, Any]] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    plain = {}
    for name, value in module.state.items():
        if isinstance(value, TensorSpec):
            parts["_parameters"][name] = value
        elif id(value) in modules:
            parts["_modules"][name] = value
        else:
            plain[name] = _untagged(value)
    module.kind = _MANGLED.sub("", module.kind)
    module.state = plain | parts


def _untagged(value: Any) -> Any:
    return value.args[0] if isinstance(value, Object) and value.kind == _TAGGED else value
