"""`seqprobe watch`: a training's story in the terminal, while it is written; without torch."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 0.5


@click.command("watch")
@click.argument("run", metavar="RUN.jsonl", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Show what a training has measured so far, and follow it; Ctrl-C ends.

    RUN.jsonl is what seqprobe.training.JSONL writes, and may not be there yet. Where the output is
    no terminal, it is shown once.
    """
    from rich.console import Console

    from seqprobe.training import Story
    from seqprobe_cli.live import view

    if sys.stdout.isatty():
        with suppress(KeyboardInterrupt):
            _follow(run, Console())
    else:
        Console().print(view(Story.read(run)))


def _follow(run: Path, console: "Console") -> None:
    from rich.live import Live

    from seqprobe.training.reading import Reading
    from seqprobe.training.story import Story
    from seqprobe_cli.live import view

    reading = Reading(run)
    with Live(f"waiting for {run}", console=console, auto_refresh=False) as live:
        while True:
            if run.exists() and reading.go_on() and reading.begun:
                live.update(view(Story.so_far(reading)), refresh=True)
            time.sleep(EVERY)
