"""Where numbers come from: hardware, driver, versions."""

import platform
from pathlib import Path

import torch

from seqprobe.models.hardware import hardware


def machine(device: torch.device) -> dict[str, str]:
    """What times depend on, in words."""
    about = {
        "hardware": hardware(device),
        "processor": _processor(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        matrices, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        about["tf32"] = f"in matrix products {matrices}, in cuDNN {cudnn}"
    return about


def _processor() -> str:
    """Its name, where the system tells."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()
