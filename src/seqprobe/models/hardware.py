"""What a number was measured on, in a few words."""

import platform
import subprocess

import torch

DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def hardware(device: torch.device) -> str:
    """The processor and its threads; of a GPU its name, driver, CUDA and cuDNN."""
    if device.type != "cuda":
        return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    return (
        f"{torch.cuda.get_device_name(device)}, driver {_driver()}, CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )


def _driver() -> str:
    """All GPUs of a machine have the same one."""
    try:
        said = subprocess.run(DRIVER, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.split()[0]
