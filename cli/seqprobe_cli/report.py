"""`seqprobe report`: draw a report again, or a training's story; nothing is computed."""

from pathlib import Path

import click

from seqprobe_cli.outputs import check_writable


@click.command("report")
@click.argument("report", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
def command(report: Path, output: Path | None) -> None:
    """Render the JSON of a report or a comparison as HTML, or the story of a training, RUN.jsonl.

    The last line on standard output is the path of the HTML report.
    """
    output = output or report.with_suffix(".html")
    check_writable(output)
    if report.suffix == ".jsonl":
        from seqprobe.training import Story

        click.echo(Story.read(report).save(output))
    else:
        from seqprobe.report import load_reports

        click.echo(load_reports(report).save(output))
