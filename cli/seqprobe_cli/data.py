"""`seqprobe data`: what can be fed to a model, and which checkpoints come with the package."""

from typing import Any

import click


@click.group("data")
def command() -> None:
    """Streams of sequences, and bundled checkpoints."""


@command.command("list")
def list_data() -> None:
    """Show every stream, and every bundled checkpoint with its card."""
    from seqprobe_data import checkpoints

    click.echo("Streams for --data:")
    click.echo("  FILE or FOLDER   text; a tenth, or test.txt, is held out, and measured on")
    click.echo("  .csv .tsv .jsonl with `text` and `label`: labelled examples")
    click.echo("  .npy .npz .csv   series of numbers, for models that read real values")
    click.echo("  .bin .npy        numbers of tokens")
    click.echo("  stdlib           source text of this Python's standard library, likewise")
    click.echo("  synthetic:iid    independent, equally likely tokens")
    click.echo("  synthetic:copy   the same, the second half repeating the first")
    click.echo("  synthetic:recall-16-1024, synthetic:copy-16-1024, or one distance: recall-100")
    click.echo(
        "                   tasks of reference models; their files tell which, without --data"
    )
    click.echo("  synthetic:lag-48 for models that read real values: x_t = 0.9 x_{t-48} + noise;")
    click.echo("                   any other lag likewise")
    click.echo("  (none)           text that the model itself writes; noise for real values")
    click.echo("Bundled checkpoints:")
    for path, card in checkpoints():
        click.echo(
            f"  {path}\n    {card['parameters']:,} parameters, {card['tokens']:,} tokens, "
            f"{_learned(card)}\n    {card['command']}\n    {card['hardware']}"
        )


def _learned(card: dict[str, Any]) -> str:
    """By the loss on a text; on copy and recall by right answers as well."""
    bits = f"held out {card['held_out_bits']} bits"
    if "trigram_bits" in card:
        return f"{bits} per byte (byte trigram {card['trigram_bits']})"
    far = card["held_out_by_distance"].items()
    right = ", ".join(f"{found['accuracy']:.0%} at {distance}" for distance, found in far)
    return f"{bits} per answer; right: {right}"
