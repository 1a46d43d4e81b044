"""What is going on, on standard error: what it will take, and a bar with the time that remains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from seqprobe.runner.forecast import Forecast

LONG = 60.0


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function to call with a label, and how many of how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("starting", total=None)

        def show(label: str, done: int, total: int) -> None:
            bar.update(task, description=label, completed=done, total=total)

        yield show


def announce(forecast: "Forecast") -> None:
    """Say what a run will take, if that is more than a minute."""
    if forecast.seconds > LONG:
        click.echo(f"{forecast} What is measured until Ctrl-C is kept.", err=True)
