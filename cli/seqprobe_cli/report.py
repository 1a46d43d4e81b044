"""`seqprobe report`: draw a report again from its JSON; nothing is computed."""

from pathlib import Path

import click

from seqprobe_cli.outputs import check_writable


@click.command("report")
@click.argument("report", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
def command(report: Path, output: Path | None) -> None:
    """Render the JSON of a report or a comparison as HTML.

    The last line on standard output is the path of the HTML report.
    """
    from seqprobe.report import load_reports

    output = output or report.with_suffix(".html")
    check_writable(output)
    click.echo(load_reports(report).save(output))
