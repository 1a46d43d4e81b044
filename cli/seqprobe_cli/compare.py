"""`seqprobe compare`: several models side by side in one report."""

from pathlib import Path
from typing import Any

import click

from seqprobe.errors import UsageError
from seqprobe_cli import options
from seqprobe_cli.outputs import Outputs


@click.command("compare")
@click.argument("models", type=click.Path(path_type=Path), nargs=-1, required=True)
@options.measuring
@click.pass_context
def command(
    ctx: click.Context,
    /,
    models: tuple[Path, ...],
    output: Path | None,
    json_output: Path | None,
    fail_on: str | None,
    **asked: Any,
) -> None:
    """Measure several checkpoints, or put JSON reports side by side.

    A folder with the checkpoints of one training is measured over its steps.

    The last line on standard output is the path of the HTML report.
    """
    from seqprobe_cli import summary

    outputs = Outputs.chosen(output or Path("comparison.html"), json_output)
    comparison = _comparison(models, asked)
    outputs.save(comparison)
    for report in comparison.reports:
        summary.show(report)
        click.echo()
    summary.show_crossovers(comparison)
    click.echo(outputs.page)
    if any("Interrupted" in warning for r in comparison.reports for warning in r.warnings):
        ctx.exit(130)
    if any(summary.grave_enough(report, fail_on) for report in comparison.reports):
        ctx.exit(1)


def _comparison(models: tuple[Path, ...], asked: dict[str, Any]) -> Any:
    import seqprobe
    from seqprobe.diagnosis.comparison import comparison_of
    from seqprobe_cli.progress import progress_bar

    if all(model.suffix == ".json" for model in models):
        return comparison_of(models)
    if any(model.suffix == ".json" for model in models):
        raise UsageError(
            "checkpoints and reports cannot be mixed",
            expected="only checkpoints, or only JSON reports",
            do="Run `seqprobe analyze` on the checkpoints first.",
        )
    with progress_bar() as progress:
        return seqprobe.compare(*models, progress=progress, **options.request(**asked))
