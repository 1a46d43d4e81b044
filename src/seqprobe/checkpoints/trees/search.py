"""Looks for weights in the tree of a checkpoint, and sorts what stands around them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from seqprobe.checkpoints.contents import Module
from seqprobe.checkpoints.pickles.opaque import Object, joined, label, shown
from seqprobe.checkpoints.tensors import TensorSpec
from seqprobe.checkpoints.trees.modules import (
    described,
    extent,
    is_module,
    walked,
    weights_of,
    without_wrappers,
)
from seqprobe.checkpoints.trees.plain import Plain, attributes, is_optimizer
from seqprobe.errors import FileError

HOLDERS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights",
    "params", "parameters", "module", "generator", "checkpoint",
)  # fmt: skip
AVERAGES = ("ema", "swa", "avg", "average", "shadow", "teacher")
STEPS = 3_000_000
_DEPTH, _LISTED, _LEFT_OUT = 50, 100, 5

Weights = dict[str, TensorSpec]


@dataclass
class Found:
    """Weights, and what stands around them; see `Contents`."""

    weights: Weights
    beside: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Weights] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)


class Search:
    """For weights in one file; it counts its steps, for a small file may repeat itself.

    Whoever searches keeps the tree, so that what was seen is known by its id.
    """

    def __init__(self, where: str) -> None:
        self.where, self.plain = where, Plain(where)
        self.left_out: list[str] = []
        self.seen: set[int] = set()
        self.empty: set[int] = set()
        self.steps = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """About tensors of other kinds than plain ones."""
        few = ", ".join(self.left_out[:_LEFT_OUT])
        more = f" and {len(self.left_out) - _LEFT_OUT} more" if self.left_out[_LEFT_OUT:] else ""
        return (f"left out, for they are no plain tensors: {few}{more}",) if few else ()

    def inside(self, tree: Any, depth: int = 0) -> Found | None:
        """A model or a state dict, or what holds one; None if there are no weights."""
        if not isinstance(tree, Object | dict | list | tuple) or depth > _DEPTH:
            return None
        if id(tree) in self.empty:
            return None
        if id(tree) in self.seen:
            self._count(1 if isinstance(tree, Object) else len(tree))
        self.seen.add(id(tree))
        found = self._looked_into(tree, depth)
        if found is None:
            self.empty.add(id(tree))
        return found

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > STEPS:
            raise FileError(
                "the file repeats itself too often",
                where=self.where,
                do="Save the state dict alone.",
            )

    def _looked_into(self, tree: Object | dict | list | tuple, depth: int) -> Found | None:
        if isinstance(tree, list | tuple):
            return self._listed(tree[:_LISTED], depth)
        if isinstance(tree, Object):
            if is_module(tree):
                return self._model(tree)
            tree = tree.entries or attributes(tree)
        return None if is_optimizer(tree) else self._dictionary(tree, depth)

    def _model(self, tree: Object) -> Found | None:
        weights: Weights = {}
        modules: dict[str, Module] = {}
        for path, module in walked(without_wrappers(tree), self.where):
            self._count(extent(module))
            modules[path] = described(module, self.plain)
            weights |= self._tensors(weights_of(path, module))
        return Found(weights, modules=modules) if weights else None

    def _listed(self, items: Iterable[Any], depth: int) -> Found | None:
        """The first model of a list as [model, criterion, optimizer]."""
        parts = [(f"{at}", self.inside(item, depth + 1)) for at, item in enumerate(items)]
        held = [(name, found) for name, found in parts if found]
        if not held:
            return None
        first = held[0][1]
        first.others |= {name: found.weights for name, found in held[1:]}
        return first

    def _dictionary(self, tree: dict[Any, Any], depth: int) -> Found | None:
        for holder in HOLDERS:
            if found := self.inside(tree.get(holder), depth + 1):
                return self._with_neighbours(found, tree, {holder}, depth)
        if _is_state_dict(tree):
            return self._state_dict(tree, depth)
        found = self._one_of(tree, depth)
        if found is None and depth == 0 and any(map(_is_weight, tree.values())):
            return self._state_dict(tree, depth)
        return found

    def _state_dict(self, tree: dict[Any, Any], depth: int) -> Found:
        """Its tensors in their order, those of dictionaries in it with a dot."""
        weights: Weights = {}
        used: set[Any] = set()
        for name, value in tree.items():
            if isinstance(value, dict) and (found := self.inside(value, depth + 1)):
                inner = _below(name, found)
            else:
                inner = self._tensors({label(name): value})
            weights |= inner
            used |= {name} if inner else set()
        return Found(weights, self._plainly(tree, used))

    def _one_of(self, tree: dict[Any, Any], depth: int) -> Found | None:
        """The only part with weights, or all parts; averages and twins are set aside."""
        parts = {
            name: found for name, value in tree.items() if (found := self.inside(value, depth + 1))
        }
        if not parts:
            return None
        used = [name for name in parts if not _is_average(name)] or list(parts)[:1]
        first = parts[used[0]]
        if len(used) == 1 or first.modules or _has_twins([parts[name] for name in used]):
            return self._with_neighbours(first, tree, {used[0]}, depth)
        whole: Weights = {}
        for name in used:
            whole |= _below(name, parts[name])
        return self._with_neighbours(Found(whole), tree, set(used), depth)

    def _with_neighbours(
        self, found: Found, tree: dict[Any, Any], used: set[Any], depth: int
    ) -> Found:
        for name, value in tree.items():
            if name not in used and (other := self.inside(value, depth + 1)):
                found.others[label(name)] = other.weights
                if is_module(value) or _is_state_dict(value):
                    used.add(name)
        found.beside |= self._plainly(tree, used)
        return found

    def _plainly(self, tree: dict[Any, Any], without: set[Any]) -> dict[str, Any]:
        return {
            label(name): self.plain(value)
            for name, value in tree.items()
            if name not in without and value is not None
        }

    def _tensors(self, named: dict[str, Any]) -> Weights:
        """Only what is a plain tensor; the user should know of any other kind of tensor."""
        for name, value in named.items():
            if isinstance(value, Object) and value.kind.startswith("torch."):
                self.left_out.append(f"{shown(name)} ({shown(value.kind)})")
        return {name: value for name, value in named.items() if isinstance(value, TensorSpec)}


def _below(name: Any, found: Found) -> Weights:
    return {joined(label(name), inner): spec for inner, spec in found.weights.items()}


def _is_weight(value: Any) -> bool:
    """A number alone may be a loss."""
    return isinstance(value, TensorSpec) and value.shape != ()


def _is_state_dict(tree: Any) -> bool:
    """A dictionary with tensors of its own, and not as an exception among options."""
    if not isinstance(tree, dict) or not any(map(_is_weight, tree.values())):
        return False
    leaves = [value for value in tree.values() if value is not None and not isinstance(value, dict)]
    return 2 * sum(isinstance(value, TensorSpec) for value in leaves) >= len(leaves)


def _is_average(name: Any) -> bool:
    return isinstance(name, str) and any(
        part in AVERAGES for part in name.lower().replace("_", " ").replace("-", " ").split()
    )


def _has_twins(parts: list[Found]) -> bool:
    """The best and the last state of one model, for instance."""
    return any(part.weights.keys() == parts[0].weights.keys() for part in parts[1:])
