"""`seqprobe doctor`: what this installation has to measure with."""

import click


@click.command("doctor")
def command() -> None:
    """Show versions, devices, memory and installed probes."""
    import platform
    from importlib import metadata

    import psutil
    import torch

    from seqprobe.runner.registry import available

    for package in ("seqprobe", "torch", "numpy", "scipy", "seaborn"):
        click.echo(f"{package} {metadata.version(package)}")
    click.echo(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    memory = psutil.virtual_memory()
    click.echo(
        f"{torch.get_num_threads()} threads, {memory.available / 2**30:.1f} of "
        f"{memory.total / 2**30:.1f} GiB memory free"
    )
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    click.echo(f"GPU: {', '.join(gpus) or 'none; everything runs on the CPU'}")
    click.echo(f"probes: {', '.join(available())}")
