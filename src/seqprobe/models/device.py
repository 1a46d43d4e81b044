"""Where to measure, and in which precision, by name."""

import os

import psutil
import torch

from seqprobe.errors import UsageError

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def device_named(name: str) -> torch.device:
    """`auto` is the GPU if there is one; of several, each process that torchrun started has one."""
    if name == "auto" and torch.cuda.is_available():
        local = os.environ.get("LOCAL_RANK")
        return torch.device(f"cuda:{int(local) % torch.cuda.device_count()}" if local else "cuda")
    if name == "auto":
        return torch.device("cpu")
    try:
        if torch.empty(1, device=name).isfinite().device.type != "meta":
            return torch.device(name)
    except Exception as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        if "device type at start" in reason:  # a list of all that torch was ever ported to
            reason = "a kind of device that torch does not know"
    else:
        reason = "a device that holds no numbers"
    raise UsageError(
        f"no device {name!r} here",
        got=reason,
        expected="auto, cpu, or cuda where there is a GPU",
        do="Use --device auto, or see `seqprobe doctor`.",
    )


def dtype_named(name: str) -> torch.dtype:
    """In which precision to measure."""
    if name not in DTYPES:
        raise UsageError(
            f"unknown dtype {name!r}",
            expected=f"one of {', '.join(DTYPES)}",
            do="Choose one of them; the file itself may hold any.",
        )
    return DTYPES[name]


def free_bytes(device: torch.device) -> int:
    """Of memory that can be had there now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
