"""A device for tests that needs no hardware; what it is stands in `second_device.cpp`."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import torch
from filelock import FileLock
from torch.utils import cpp_extension

SOURCE = Path(__file__).with_suffix(".cpp")


def load() -> str:
    """Make `torch.device("second")` known; returns why it cannot be, or nothing.

    It is compiled once for each version of torch, to where torch keeps extensions. Load it before
    the first backward of a process, which starts a thread for each device that is there by then.
    """
    folder = Path(cpp_extension.get_default_build_root()) / "second_device"
    folder.mkdir(parents=True, exist_ok=True)
    compiler = shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        return "no compiler for the second device"
    known = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = folder / f"{known}-{sys.implementation.cache_tag}.so"
    with FileLock(folder / "lock"):
        if not library.exists() and (errors := _compiled(compiler, library)):
            return f"the second device cannot be compiled: {errors}"
    torch.ops.load_library(library)
    torch.utils.rename_privateuse1_backend("second")
    torch._register_device_module("second", _module())
    return ""


def _compiled(compiler: str, library: Path) -> str:
    """What the compiler said if it failed."""
    built = library.with_suffix(".part")
    flags = ["-shared", "-fPIC", "-O0", "-std=c++20"]
    include = [f"-I{path}" for path in cpp_extension.include_paths()]
    linked = [f"-L{path}" for path in cpp_extension.library_paths()] + ["-lc10", "-ltorch_cpu"]
    done = subprocess.run(
        [compiler, *flags, *include, str(SOURCE), "-o", str(built), *linked],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return done.stderr[:1000]
    built.rename(library)
    return ""


def _module() -> ModuleType:
    """`torch.second`: never available by itself, so that no library chooses it."""
    module, own = ModuleType("torch.second"), torch.ops.second
    module.is_available = lambda: False
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.synchronize = lambda device=None: None
    module.manual_seed_all = own.manual_seed
    module.get_rng_state = lambda device=None: own.rng_state()
    module.set_rng_state = lambda state, device=None: own.set_rng_state(state)
    module._is_in_bad_fork = lambda: False
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    return module
