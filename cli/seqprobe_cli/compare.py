"""`seqprobe compare`: several models side by side in one report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqprobe.errors import UsageError
from seqprobe.runner.ranks import Ranks
from seqprobe_cli import options
from seqprobe_cli.outputs import Outputs
from seqprobe_cli.processes import processes

if TYPE_CHECKING:
    from seqprobe.report import Comparison

WRITTEN = (".json", ".html")


@click.command("compare")
@click.argument("models", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--baseline", metavar="FILE", help="Differences are from this model.  [default: the first]"
)
@options.measuring
@click.pass_context
def command(
    ctx: click.Context,
    /,
    models: tuple[Path, ...],
    baseline: str | None,
    output: Path | None,
    json_output: Path | None,
    resume: bool,
    fail_on: str | None,
    **asked: Any,
) -> None:
    """Measure several checkpoints, or put reports side by side, JSON or HTML.

    A folder with the checkpoints of one training is measured over its steps.

    The last line on standard output is the path of the HTML report.
    """
    from seqprobe_cli import comparing, summary

    with processes() as ranks:
        outputs = Outputs.chosen(output or Path("comparison.html"), json_output)
        comparison = _comparison(models, baseline, ranks, outputs, resume, asked)
        if ranks.first:
            outputs.save(comparison)
            for report in comparison.reports:
                summary.show(report)
                click.echo()
            comparing.show(comparison)
            if not _measured_before(models):
                outputs.settle(summary.why_cut_short(comparison.reports))
            click.echo(outputs.page)
    ctx.exit(summary.exit_code(comparison.reports, fail_on))


def _comparison(
    models: tuple[Path, ...],
    baseline: str | None,
    ranks: Ranks,
    outputs: Outputs,
    resume: bool,
    asked: dict[str, Any],
) -> "Comparison":
    import seqprobe
    from seqprobe.diagnosis.comparison import comparison_of
    from seqprobe_cli.progress import progress_bar

    if _measured_before(models):
        return comparison_of(models, baseline)
    if any(model.suffix in WRITTEN for model in models):
        raise UsageError(
            "checkpoints and reports cannot be mixed",
            expected="only checkpoints, or only reports",
            do="Run `seqprobe analyze` on the checkpoints first.",
        )
    with progress_bar() as progress:
        return seqprobe.compare(
            *models,
            progress=progress,
            ranks=ranks,
            baseline=baseline,
            **outputs.kept(resume=resume),
            **options.request(**asked),
        )


def _measured_before(models: tuple[Path, ...]) -> bool:
    return all(model.suffix in WRITTEN for model in models)
