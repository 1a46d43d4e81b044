"""A pickled model: its weights by dotted names, and its modules with their plain attributes."""

from collections.abc import Iterator
from typing import Any

from seqprobe.checkpoints.contents import Module
from seqprobe.checkpoints.pickles.opaque import Object, joined
from seqprobe.checkpoints.tensors import TensorSpec
from seqprobe.checkpoints.trees.plain import DEPTH, Plain, attributes
from seqprobe.errors import FileError

MODULES = 100_000
_AROUND = ("module", "_orig_mod")


def is_module(value: Any) -> bool:
    """An `nn.Module` of any class."""
    return isinstance(value, Object) and all(
        isinstance(attributes(value).get(name), dict) for name in ("_parameters", "_modules")
    )


def without_wrappers(module: Object) -> Object:
    """The model inside of DataParallel and torch.compile."""
    for _ in range(DEPTH):
        children = attributes(module)["_modules"]
        inner = [children[name] for name in _AROUND if list(children) == [name]]
        if not (inner and is_module(inner[0]) and module.kind.startswith("torch.")):
            break
        module = inner[0]
    return module


def walked(model: Object, where: str) -> Iterator[tuple[str, Object]]:
    """Every module by its dotted path, the model itself first, in the order of its state dict.

    Raises:
        FileError: there is no end of modules inside of modules.
    """
    left, count = [("", model, 0)], 0
    while left:
        path, module, depth = left.pop()
        count += 1
        if count > MODULES or depth > DEPTH:
            raise FileError(
                "its modules contain each other without end",
                where=where,
                expected=f"at most {MODULES:,} modules, {DEPTH} deep",
                do="Save the state dict alone.",
            )
        yield path, module
        children = attributes(module)["_modules"].items()
        left += [
            (joined(path, name), child, depth + 1)
            for name, child in reversed(children)
            if is_module(child)
        ]


def weights_of(path: str, module: Object) -> dict[str, Any]:
    """Its own parameters and buffers as they would stand in the state dict."""
    state = attributes(module)
    buffers, hidden = state.get("_buffers"), state.get("_non_persistent_buffers_set") or ()
    own = state["_parameters"] | {
        name: value
        for name, value in (buffers if isinstance(buffers, dict) else {}).items()
        if not (isinstance(hidden, set) and name in hidden)
    }
    return {joined(path, name): value for name, value in own.items() if value is not None}


def extent(module: Object) -> int:
    """Of how many things it consists, without what is in its children."""
    state = attributes(module)
    return len(state) + sum(len(part) for part in state.values() if isinstance(part, dict))


def described(module: Object, plain: Plain) -> Module:
    """Its class and what it was told: attributes that are no part of the machinery."""
    own = {
        name: plain(value)
        for name, value in attributes(module).items()
        if isinstance(name, str) and not name.startswith("_") and not isinstance(value, TensorSpec)
    }
    return Module(module.kind, own)
