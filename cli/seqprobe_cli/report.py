"""`seqprobe report`: draw a report again, or a training's story; nothing is computed."""

from pathlib import Path

import click

from seqprobe.errors import UsageError
from seqprobe_cli import options
from seqprobe_cli.outputs import check_writable

ENDINGS = {"html": ".html", "md": ".md", "junit": ".xml", "json": ".json"}


@click.command("report")
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(list(ENDINGS)),
    help="A page, Markdown for pull requests, a summary for CI servers, or the JSON.  "
    "[default: what -o ends in, or html]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False))
@options.fail_on
@click.pass_context
def command(
    ctx: click.Context, report: Path, form: str | None, output: Path | None, fail_on: str | None
) -> None:
    """Render a report or a comparison again, or the story of a training, RUN.jsonl.

    A page is written beside the report; all else goes to standard output unless there is a -o.
    What was written is the last line on standard output.
    """
    ending = ENDINGS[form] if form else output.suffix if output else ".html"
    if output is not None and output.suffix != ending:
        raise UsageError(
            f"-o has another ending than --format {form}",
            got=repr(output.name),
            expected=f"a name such as report{ending}",
            do="Leave one of the two out.",
        )
    if output is None and ending == ".html":
        output = _beside(report)
    if output is not None:
        check_writable(output)
    if report.suffix == ".jsonl":
        _story(report, output, fail_on)
    else:
        ctx.exit(_reports(report, ending, output, fail_on))


def _beside(report: Path) -> Path:
    page = report.with_suffix(".html")
    if page == report:
        raise UsageError(
            "the page that is read would be written over",
            where=report.name,
            do="Name another one with -o.",
        )
    return page


def _story(run: Path, output: Path | None, fail_on: str | None) -> None:
    from seqprobe.training import Story

    if output is None or fail_on:
        raise UsageError(
            "the story of a training has no findings to fail on, and one form, its page",
            where=run.name,
            do="Leave --format and --fail-on out.",
        )
    click.echo(Story.read(run).save(output))


def _reports(path: Path, ending: str, output: Path | None, fail_on: str | None) -> int:
    from seqprobe.report import Comparison, load_reports
    from seqprobe.saving import write
    from seqprobe_cli.summary import exit_code

    found = load_reports(path)
    reports = found.reports if isinstance(found, Comparison) else (found,)
    text = found.render(ending, **_told(ending, fail_on))
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(write(output, text))
    return exit_code(reports, fail_on) if fail_on else 0


def _told(ending: str, fail_on: str | None) -> dict[str, str]:
    """What a summary for CI servers has to know."""
    return {"fail_on": fail_on} if fail_on and ending == ".xml" else {}
