"""Build a module and fill it with the tensors of a file: every one of them exactly once."""

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqprobe.checkpoints.contents import unwrapped
from seqprobe.checkpoints.layouts.layout import Layout
from seqprobe.errors import ModelError, SeqProbeError
from seqprobe.models.calling import is_out_of_memory

MOST_TIES = 4
_DRAWING = {Tensor.normal_, Tensor.uniform_}


def rebuilt(
    layout: Layout, chosen: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str
) -> nn.Module:
    """The template of a layout, built with what is known and `chosen`, and filled.

    Raises:
        ModelError: the template does not take these tensors, which means that the file is not
            what it was taken for.
    """
    given = {
        place: tensors[name].t() if name in layout.transposed else tensors[name]
        for name, place in layout.names.items()
    }
    left = [name for name in tensors if name not in layout.names and name not in layout.ignored]
    module = _built(layout, chosen, sum(tensor.numel() for tensor in given.values()), where)
    fill(module, given, left=left, where=where, do="Give what builds the model with --model.")
    return module


def _built(layout: Layout, chosen: Mapping[str, Any], numbers: int, where: str) -> nn.Module:
    """Built without memory at first, for the sizes may be what a file claims."""
    template = _template(layout.template)
    arguments = {**layout.settings, **layout.stated, **chosen}
    try:
        with _Undrawn():
            with torch.device("meta"):
                wanted = sum(p.numel() for p in template(**arguments).parameters())
            if wanted > numbers * MOST_TIES:
                raise ValueError(f"{wanted:,} parameters for {numbers:,} numbers in the file")
            return template(**arguments)
    except SeqProbeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"no model of the layout {layout.name} can be built of this file",
            where=where,
            got=f"{type(error).__name__}: {error}",
            do="Check the settings, or give what builds the model with --model.",
        ) from error


class _Undrawn(TorchFunctionMode):
    """Leaves out the random numbers that modules start with: all of them come from the file."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__ or func in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _template(name: str) -> Callable[..., nn.Module]:
    path, _, attribute = name.partition(":")
    template: Callable[..., nn.Module] = getattr(importlib.import_module(path), attribute)
    return template


def fill(
    module: nn.Module,
    given: Mapping[str, Tensor],
    *,
    where: str,
    do: str,
    left: Collection[str] = (),
) -> None:
    """Load a state dict; `left` are tensors of the file that have no place in it.

    Raises:
        ModelError: a tensor is missing, left over, or of another shape or kind.
    """
    misfits = _misfits(module.state_dict(), given)
    misfits["not in the model"] += left
    found = [_named(what, names) for what, names in misfits.items() if names]
    if found:
        raise ModelError(
            "the weights do not fit the model",
            where=where,
            got="; ".join(found),
            expected="every tensor used exactly once",
            do=do,
        )
    module.load_state_dict(given, strict=False)


def placed(module: nn.Module, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A state dict by the names of a module, where the file has them behind those of wrappers."""
    wanted = module.state_dict().keys()
    shorter = {new: tensors[old] for new, old in unwrapped(tensors).items()}
    within = {name.removeprefix(_common(tensors)): tensor for name, tensor in tensors.items()}
    return max((tensors, shorter, within), key=lambda given: len(wanted & given.keys()))


def _common(names: Iterable[str]) -> str:
    """The attributes under which all of them stand, whatever their names."""
    holders = [name.split(".")[:-1] for name in names]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*holders, strict=False))
    return "".join(f"{parts[0]}." for parts in shared)


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """By kind of misfit; a tied tensor may be missing, for safetensors keeps one of each."""
    common = [name for name in wanted if name in given]
    filled = {wanted[name].data_ptr() for name in common}
    return {
        "missing": [n for n in wanted if n not in given and wanted[n].data_ptr() not in filled],
        "not in the model": [name for name in given if name not in wanted],
        "other shape": [
            f"{name} {tuple(given[name].shape)} for {tuple(wanted[name].shape)}"
            for name in common
            if given[name].shape != wanted[name].shape
        ],
        "other kind of number": [
            f"{name} {given[name].dtype} for {wanted[name].dtype}"
            for name in common
            if given[name].is_floating_point() != wanted[name].is_floating_point()
        ],
        "other numbers under two names of one tensor": _torn(wanted, given, common),
    }


def _torn(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], common: list[str]
) -> list[str]:
    """Names that the model ties together, and that differ in the file."""
    first: dict[int, str] = {}
    torn = []
    for name in common:
        twin = first.setdefault(wanted[name].data_ptr(), name)
        same = wanted[name].shape == wanted[twin].shape and wanted[name].numel()
        if twin != name and same and not _same(given[name], given[twin]):
            torn.append(f"{twin} and {name}")
    return torn


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() or torch.equal(one.nan_to_num(), other.nan_to_num())


def _named(what: str, names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{rest}"
