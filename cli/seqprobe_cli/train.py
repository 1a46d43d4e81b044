"""`seqprobe train`: reference models, trained by one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from seqprobe_cli import options
from seqprobe_cli.outputs import check_writable


@click.command("train")
@click.argument("name", metavar="{lstm|gru|rnn|mingru|minlstm|attention}")
@click.option("--data", help="stdlib, a text file or folder, copy, or recall.  [default: stdlib]")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="A field of the recipe: parameters, layers, heads, context, batch, steps, "
              "learning_rate, warmup, clip, seed, share, distance, shortest.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--device", default="auto", show_default=True)
def command(
    name: str, data: str | None, settings: tuple[str, ...], output: Path | None, device: str
) -> None:
    """Train a small reference model; an interrupted run goes on where it stopped.

    The last line on standard output is the path of the checkpoint.
    """
    from seqprobe.models.device import device_named
    from seqprobe.reference.recipe import recipe_from
    from seqprobe.reference.training import train
    from seqprobe_cli.progress import progress_bar

    output = output or Path(f"{name}.pt")
    given = options.read_settings(settings) | ({"data": data} if data else {})
    recipe = recipe_from(name, given)
    check_writable(output)
    with progress_bar() as progress, _said_how_to_go_on():
        card = train(
            recipe,
            output,
            device_named(device),
            lambda step, bits: progress(f"{bits:.3f} bits per token", step, recipe.steps),
        )
    floor = f", byte trigram {card['trigram_bits']}" if "trigram_bits" in card else ""
    click.echo(f"{card['parameters']:,} parameters, held out {card['held_out_bits']} bits{floor}")
    click.echo(output)


@contextmanager
def _said_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("The same command goes on where this run stopped.", err=True)
        raise
