"""Where the parameters of a rebuilt model go, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from seqprobe.errors import ModelError
from seqprobe.models.device import free_bytes

KEPT_WHOLE = "_no_split_modules"
"""Where models of transformers name the classes of modules that have to stay on one device."""


@contextmanager
def built_in(dtype: torch.dtype) -> Iterator[None]:
    """Within this context parameters are made in this precision: no larger ones come before."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def placed_alike(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Parameters and tables in one precision, on one device."""
    return module.to(device, dtype).eval()


def placed_by_parameters(
    module: nn.Module, device: torch.device, dtype: torch.dtype, *, anywhere: bool
) -> nn.Module:
    """Parameters in a precision, tables in their own: rounded angles would be other positions.

    `anywhere`: over all GPUs, if the model is too large for the one named.

    Raises:
        ModelError: it is, and accelerate is not there.
    """
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    needed = sum(parameter.nbytes for parameter in module.parameters())
    several = device.type == "cuda" and torch.cuda.device_count() > 1
    if anywhere and several and needed > free_bytes(device):
        return spread(module.eval())
    return module.to(device).eval()


def spread(module: nn.Module, most: dict[int | str, int | str] | None = None) -> nn.Module:
    """Layer by layer over all GPUs, and over the CPU where they are full, by accelerate.

    `most`: how much of each device may be used, such as `{0: "20GiB", "cpu": "60GiB"}`.

    Raises:
        ModelError: accelerate is not there.
    """
    try:
        from accelerate import dispatch_model, infer_auto_device_map
    except ImportError as error:
        raise ModelError(
            "the model is too large for one GPU, and spreading it needs accelerate",
            got=str(error),
            do="Install it: pip install 'seqprobe[hf]'.",
        ) from error
    whole = [name for part in module.modules() for name in getattr(part, KEPT_WHOLE, None) or ()]
    where = infer_auto_device_map(module, most, no_split_module_classes=sorted({*whole}))
    spread_out: nn.Module = dispatch_model(module, where)
    return spread_out
