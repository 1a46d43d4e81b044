"""Where tokens become vectors: the one place at which a gradient over positions can be taken."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def find_embedding(
    module: nn.Module, tokens: Int[Tensor, "batch time"], run: Callable[[], Any]
) -> str | None:
    """The path of the `nn.Embedding` that `run()` calls with just these tokens."""
    found: list[str] = []

    def watch(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
            if (
                args
                and args[0].shape == tokens.shape
                and torch.equal(args[0].to(tokens.device), tokens)
            ):
                found.append(path)

        return hook

    with ExitStack() as stack:
        for path, part in module.named_modules():
            if isinstance(part, nn.Embedding):
                handle = part.register_forward_pre_hook(watch(path))
                stack.callback(handle.remove)
        run()
    return found[0] if found else None


def _begins(before: Tensor, read: Tensor) -> bool:
    """Whether what is read is only the first steps of what was read before."""
    steps = read.shape[1]
    return steps < before.shape[1] and torch.equal(before[:, :steps], read)


@contextmanager
def leaf_at(
    embedding: nn.Embedding,
    time_first: bool,
    keep: Callable[[Tensor], None],
    instead: Float[Tensor, "batch time embedding"] | None = None,
) -> Iterator[None]:
    """Within this context the embedding's output is a new leaf (batch, time, width), or `instead`.

    The model gets a copy of it, which it may change in place; of the first steps of what was read
    before, a copy of their part of the same leaf.
    """
    known: list[tuple[Tensor, Tensor]] = []

    def hook(
        _module: nn.Module, _args: tuple[Any, ...], output: Float[Tensor, "_ _ embedding"]
    ) -> Tensor:
        read = (output.transpose(0, 1) if time_first else output).detach()
        steps = read.shape[1]
        leaf = next((whole[:, :steps] for begun, whole in known if _begins(begun, read)), None)
        if leaf is None:
            leaf = read.clone().requires_grad_() if instead is None else instead
            known.append((read, leaf))
        keep(leaf)
        return (leaf.transpose(0, 1) if time_first else leaf).clone()

    handle = embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
