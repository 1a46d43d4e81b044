"""Where states are taken from: recurrent layers, cells, blocks of a stack, and what users name."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqprobe.errors import UsageError
from seqprobe.models.outputs import first_tensor
from seqprobe.models.recurrence import LayerRun, replayed

Keep = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Watched:
    """What the calls of one forward gave: states and recurrent layers by site, one per call, and
    the outputs of recurrences that were cut out of the graph, by path.
    """

    states: dict[str, list[Tensor]] = field(default_factory=dict)
    layers: dict[str, list[LayerRun]] = field(default_factory=dict)
    cuts: dict[str, list[Tensor]] = field(default_factory=dict)

    def keep(self, site: str, tensor: Tensor) -> None:
        """Add the states of one call."""
        self.states.setdefault(site, []).append(tensor)


@contextmanager
def watched(
    module: nn.Module, hooked: Sequence[str], time_first: bool, *, cut: bool
) -> Iterator[Watched]:
    """Within this context every call of the module adds its states, (batch, time, width).

    Recurrent layers run unrolled; a module that is called once per step gives one step at a time.
    """
    seen = Watched()
    with ExitStack() as stack:
        for path, part in module.named_modules():
            if isinstance(part, nn.RNNBase):
                cuts = seen.cuts.setdefault(path, []).append if cut else None
                stack.enter_context(replayed(part, _layer_keeper(seen, path), cuts))
            elif isinstance(part, nn.RNNCellBase):
                handle = part.register_forward_hook(_cell_hook(seen.keep, _named(path, "state")))
                stack.callback(handle.remove)
        for site in hooked:
            hook = _output_hook(seen.keep, site, time_first)
            stack.callback(module.get_submodule(site).register_forward_hook(hook).remove)
        yield seen


def blocks(module: nn.Module, paths: Sequence[str]) -> list[str]:
    """The layers that hold these modules, without the recurrences, whose states are known."""
    return [
        _block(module, path)
        for path in paths
        if path and not isinstance(module.get_submodule(path), nn.RNNBase)
    ]


def existing(module: nn.Module, sites: Sequence[str]) -> tuple[str, ...]:
    """Refuse names that are no module."""
    known = dict(module.named_modules())
    for site in sites:
        if site not in known:
            raise UsageError(
                f"no module {site!r} to observe",
                where=type(module).__name__,
                expected=f"one of {', '.join(name for name in known if name)}",
                do="Give a dotted name as in named_modules().",
            )
    return tuple(sites)


def _block(module: nn.Module, path: str) -> str:
    """The layer of a stack that holds `path`: its nearest ancestor listed in a container."""
    parts = path.split(".")
    for depth in range(len(parts), 0, -1):
        parent = module.get_submodule(".".join(parts[: depth - 1]))
        if isinstance(parent, nn.ModuleList | nn.Sequential):
            return ".".join(parts[:depth])
    return path


def _named(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _layer_keeper(seen: Watched, path: str) -> Callable[[LayerRun], None]:
    def keep(run: LayerRun) -> None:
        site = _named(path, run.name)
        seen.layers.setdefault(site, []).append(run)
        seen.keep(site, run.state)

    return keep


def _output_hook(keep: Keep, site: str, time_first: bool) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and tensor.ndim == 3:
            keep(site, tensor.transpose(0, 1) if time_first else tensor)
        elif tensor is not None and tensor.ndim == 2:
            keep(site, tensor.unsqueeze(1))

    return hook


def _cell_hook(keep: Keep, site: str) -> Callable[..., None]:
    """A cell called once per step gives all that it carries: hidden and cell state, one step."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        keep(site, torch.cat(parts, dim=-1).unsqueeze(1))

    return hook
