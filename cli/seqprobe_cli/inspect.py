"""`seqprobe inspect`: what is in a checkpoint, without running any of it."""

from pathlib import Path

import click


@click.command("inspect")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(checkpoint: Path, as_json: bool) -> None:
    """Show what a checkpoint holds, and the `analyze` line to copy."""
    import json
    import shlex

    from seqprobe.checkpoints.layouts import reference
    from seqprobe.checkpoints.weights import read

    contents = read(checkpoint)
    known = reference.matches(contents.extra)
    facts = {
        "name": contents.name,
        "container": contents.container,
        "sha256": contents.sha256,
        "bytes": contents.bytes,
        "layout": "seqprobe train" if known else "state dict without architecture",
        "tensors": {name: list(tensor.shape) for name, tensor in contents.weights.items()},
        "parameters": sum(tensor.numel() for tensor in contents.weights.values()),
        "nonfinite": list(contents.nonfinite),
        "analyze": f"seqprobe analyze {shlex.quote(str(checkpoint))}"
        + ("" if known else " --model pkg.module:factory"),
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for tensor, shape in value.items():
                click.echo(f"  {tensor}  {shape}")
        else:
            click.echo(f"{name}: {value if value != [] else 'none'}")
