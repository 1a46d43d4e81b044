"""`seqprobe doctor`: what this installation has to measure with, and what will be slow."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from seqprobe.models.machine import Machine

PACKAGES = ("seqprobe", "torch", "numpy", "scipy", "seaborn")
OPTIONAL = {
    "transformers": "checkpoints of Hugging Face: pip install 'seqprobe[hf]'",
    "accelerate": "models larger than one device: pip install 'seqprobe[hf]'",
    "triton": "torch.compile on a GPU",
    "mamba_ssm": "Mamba of transformers scans step by step without it",
    "fla": "linear recurrences of transformers run step by step without it",
}


@click.command("doctor")
@click.option("--device", default="auto", show_default=True)
def command(device: str) -> None:
    """Show versions, the device and its kernels, how fast they are, and what will be slow."""
    import platform
    from importlib import metadata

    import psutil
    import torch

    from seqprobe.models.device import device_named
    from seqprobe.models.machine import Machine
    from seqprobe.runner.registry import available

    where = device_named(device)
    for package in PACKAGES:
        click.echo(f"{package} {metadata.version(package)}")
    click.echo(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    memory = psutil.virtual_memory()
    click.echo(
        f"{torch.get_num_threads()} threads, {memory.available / 2**30:.1f} of "
        f"{memory.total / 2**30:.1f} GiB memory free"
    )
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    click.echo(f"GPU: {', '.join(gpus) or 'none; everything runs on the CPU'}")
    _show(Machine.measured(where))
    for package, why in OPTIONAL.items():
        if not _installed(package):
            click.echo(f"not installed: {package} ({why})")
    click.echo(f"probes: {', '.join(available())}")


def _show(machine: "Machine") -> None:
    """What was found by trying and timing."""
    products = (f"{rate / 1e9:,.0f} in {name}" for name, rate in machine.products.items())
    click.echo(f"measured on {machine.device}: matrix products, GFLOP/s: {', '.join(products)}")
    click.echo(
        f"measured on {machine.device}: copies {machine.copies / 1e9:,.1f} GB/s, "
        f"{1e6 * machine.launch:.1f} microseconds for the smallest operator"
    )
    kernels = (f"{name} ({', '.join(p)})" for name, p in machine.attention.items())
    click.echo(f"fused attention: {', '.join(kernels) or 'none'}")
    click.echo(f"fused recurrences: {machine.recurrences or 'none'}")
    for each in list(machine.slow) or ["nothing stands out"]:
        click.echo(f"slow here: {each}")


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
