"""What is what in the tree of a checkpoint: the weights, and what stands beside them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqprobe.checkpoints.contents import Contents, Module
from seqprobe.checkpoints.modules import described, is_module, walked, weights_of, without_wrappers
from seqprobe.checkpoints.opaque import Object, shown
from seqprobe.checkpoints.plain import Plain, attributes, is_optimizer
from seqprobe.checkpoints.tensors import TensorSpec
from seqprobe.errors import FileError

HOLDERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights",
    "params", "parameters", "module", "generator", "checkpoint",
)  # fmt: skip
AVERAGES = ("ema", "swa", "avg", "average", "shadow", "teacher")

Weights = dict[str, TensorSpec]

_DEPTH, _VISITS, _LISTED = 50, 100_000, 100


@dataclass
class _Found:
    weights: Weights
    beside: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Weights] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)


def contents_of(tree: Any, path: Path, container: str, bytes: int) -> Contents:
    """The parts of a checkpoint.

    Args:
        tree: as a format reads it.
        path: the file or folder that the user named.
        container: in a few words.
        bytes: on disk.

    Raises:
        FileError: there are no weights in it; says what is there instead.
    """
    search = _Search(path.name)
    found = search.inside(tree)
    if found is None:
        raise _nothing(tree, path)
    if all("lora_" in name for name in found.weights):
        raise FileError(
            "a LoRA adapter, without the model that it changes",
            where=path.name,
            got=f"{len(found.weights)} tensors, the first {shown(next(iter(found.weights)))}",
            do="Merge it into its base model first (peft: model.merge_and_unload()).",
        )
    return Contents(
        path=path,
        container=container,
        bytes=bytes,
        weights=found.weights,
        beside=found.beside,
        modules=found.modules,
        others=found.others,
        warnings=tuple(search.warnings),
    )


class _Search:
    """For weights in one file; it counts its steps, for a small file may repeat itself."""

    def __init__(self, where: str) -> None:
        self.where, self.plain = where, Plain(where)
        self.warnings: list[str] = []
        self.visits = 0

    def inside(self, tree: Any, depth: int = 0, *, named: bool = True) -> _Found | None:
        """A model or a state dict, or where one is held; None if there are no weights.

        `named` says that weights are to be expected: else one tensor among options is none.
        """
        if depth > _DEPTH or not isinstance(tree, Object | dict | list | tuple):
            return None
        self.visits += 1
        if self.visits > _VISITS:
            raise FileError(
                "the file repeats itself too often",
                where=self.where,
                do="Save the state dict alone.",
            )
        if isinstance(tree, Object) and is_module(tree):
            return self._model(tree)
        if isinstance(tree, list | tuple):
            return self._listed(tree[:_LISTED], depth)
        if isinstance(tree, Object):
            tree = tree.entries or attributes(tree)
        return None if is_optimizer(tree) else self._dictionary(tree, depth, named)

    def _model(self, tree: Object) -> _Found | None:
        weights: Weights = {}
        modules: dict[str, Module] = {}
        for path, module in walked(without_wrappers(tree), self.where):
            modules[path] = described(module, self.plain)
            weights |= self._tensors(weights_of(path, module))
        return _Found(weights, modules=modules) if weights else None

    def _listed(self, items: Iterable[Any], depth: int) -> _Found | None:
        """The first model of a list as [model, criterion, optimizer]."""
        parts = [(f"{at}", self.inside(item, depth + 1)) for at, item in enumerate(items)]
        held = [(name, found) for name, found in parts if found]
        if not held:
            return None
        first = held[0][1]
        first.others |= {name: found.weights for name, found in held[1:]}
        return first

    def _dictionary(self, tree: dict[Any, Any], depth: int, named: bool) -> _Found | None:
        for holder in HOLDERS:
            if found := self.inside(tree.get(holder), depth + 1):
                return self._with_neighbours(found, tree, {holder}, depth)
        if self._is_state_dict(tree, named):
            return self._state_dict(tree, depth)
        return self._one_of(tree, depth)

    def _is_state_dict(self, tree: dict[Any, Any], named: bool) -> bool:
        """Has tensors of its own, and not as an exception."""
        leaves = [v for v in tree.values() if v is not None and not isinstance(v, dict)]
        own = [value for value in leaves if isinstance(value, TensorSpec)]
        return any(value.shape for value in own) and (named or 2 * len(own) >= len(leaves))

    def _state_dict(self, tree: dict[Any, Any], depth: int) -> _Found:
        """Its tensors in their order, those of dictionaries in it with a dot."""
        weights: Weights = {}
        for name, value in tree.items():
            if isinstance(value, dict) and (found := self.inside(value, depth + 1)):
                weights |= {f"{name}.{inner}": spec for inner, spec in found.weights.items()}
            else:
                weights |= self._tensors({str(name): value})
        return _Found(weights, self._plainly(tree, {str(name) for name in tree} & weights.keys()))

    def _one_of(self, tree: dict[Any, Any], depth: int) -> _Found | None:
        """The only part with weights, or all parts; averages and twins are set aside."""
        parts = {
            name: found
            for name, value in tree.items()
            if (found := self.inside(value, depth + 1, named=False))
        }
        if not parts:
            return None
        used = [name for name in parts if not _is_average(name)] or list(parts)[:1]
        first = parts[used[0]]
        if len(used) == 1 or first.modules or _has_twins([parts[name] for name in used]):
            return self._with_neighbours(first, tree, {used[0]}, depth)
        whole = _Found(
            {f"{name}.{inner}": s for name in used for inner, s in parts[name].weights.items()}
        )
        return self._with_neighbours(whole, tree, set(used), depth)

    def _with_neighbours(
        self, found: _Found, tree: dict[Any, Any], used: set[Any], depth: int
    ) -> _Found:
        for name, value in tree.items():
            if name not in used and (other := self.inside(value, depth + 1, named=False)):
                found.others[str(name)] = other.weights
        found.beside |= self._plainly(tree, used | found.others.keys())
        return found

    def _plainly(self, tree: dict[Any, Any], without: set[Any]) -> dict[str, Any]:
        return {
            str(self.plain(name)): self.plain(value)
            for name, value in tree.items()
            if name not in without and value is not None
        }

    def _tensors(self, named: dict[str, Any]) -> Weights:
        """Only what is a plain tensor; the user should know of any other kind of tensor."""
        for name, value in named.items():
            if isinstance(value, Object) and value.kind.startswith(("torch.", "torch_")):
                self.warnings.append(f"{shown(name)} left out: {shown(value.kind)}")
        return {name: value for name, value in named.items() if isinstance(value, TensorSpec)}


def _is_average(name: Any) -> bool:
    return isinstance(name, str) and any(
        part in AVERAGES for part in name.lower().replace("_", " ").replace("-", " ").split()
    )


def _has_twins(parts: list[_Found]) -> bool:
    """The best and the last state of one model, for instance."""
    return any(part.weights.keys() == parts[0].weights.keys() for part in parts[1:])


def _nothing(tree: Any, path: Path) -> FileError:
    return FileError(
        "the state of an optimizer, without the model's weights"
        if _optimizer_only(tree)
        else "no state dict inside",
        where=path.name,
        got=_described(tree),
        expected=f"tensors by name, alone or under one of {', '.join(HOLDERS[:4])}",
        do="Give the file with model.state_dict().",
    )


def _optimizer_only(tree: Any) -> bool:
    values = list(tree.values()) if isinstance(tree, dict) else []
    return any(
        is_optimizer(attributes(value) if isinstance(value, Object) else value)
        for value in [tree, *values]
    )


def _described(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dictionary of {', '.join(map(shown, list(tree)[:6])) or 'nothing'}"
    if isinstance(tree, Object):
        return f"an object of {shown(tree.kind)}"
    if isinstance(tree, TensorSpec):
        return "one tensor without a name"
    return f"a {type(tree).__name__}"
