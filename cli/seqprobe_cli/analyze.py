"""`seqprobe analyze`: from a checkpoint to a report."""

from pathlib import Path
from typing import Any

import click

from seqprobe_cli import options
from seqprobe_cli.outputs import Outputs
from seqprobe_cli.processes import processes


@click.command("analyze")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@options.measuring
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoint: Path,
    output: Path | None,
    json_output: Path | None,
    resume: bool,
    fail_on: str | None,
    **asked: Any,
) -> None:
    """Measure one checkpoint and write the report as HTML and JSON.

    The last line on standard output is the path of the HTML report.
    """
    import seqprobe
    from seqprobe_cli import summary
    from seqprobe_cli.progress import announce, progress_bar

    with processes() as ranks:
        outputs = Outputs.chosen(output or Path(f"{checkpoint.stem}-report.html"), json_output)
        with progress_bar() as progress:
            report = seqprobe.analyze(
                checkpoint,
                progress=progress,
                announce=announce,
                ranks=ranks,
                **outputs.kept(resume=resume),
                **options.request(**asked),
            )
        if ranks.first:
            outputs.save(report)
            summary.show(report)
            outputs.settle(summary.why_cut_short([report]))
            click.echo(outputs.page)
    ctx.exit(summary.exit_code([report], fail_on))
