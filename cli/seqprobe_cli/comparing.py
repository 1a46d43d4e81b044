"""What the terminal says about several models: what differs, and which one to use when."""

import click

from seqprobe.diagnosis.advice import headline, listed
from seqprobe.diagnosis.highlights import changed_status, clearest
from seqprobe.report import Comparison
from seqprobe_reports import numbers


def show(comparison: Comparison) -> None:
    """What the first screen of the page says."""
    if comparison.advice:
        click.echo(headline(comparison.advice))
    for check, statuses in changed_status(comparison):
        click.echo(f"  {check}: {', '.join(f'{n} {status}' for n, status in statuses.items())}")
    for each in (one for row in clearest(comparison.differences) for one in row if one.clear):
        baseline, other = each.models
        amount = numbers.difference(each.estimate)
        click.echo(f"  {each.check}.{each.metric}: {other} {amount}, against {baseline}")
    for line in comparison.advice:
        models = listed(line.models) if line.decided else "no difference measured"
        click.echo(f"  {line.purpose}: {models}")
    if comparison.caution:
        click.echo(f"  {comparison.caution}")
    _show_crossovers(comparison)
    click.echo()


def _show_crossovers(comparison: Comparison) -> None:
    """A line for each length at which another model becomes the cheaper one."""
    for each in comparison.crossovers:
        if each.length.value is not None:
            click.echo(
                f"{each.cost}: from {each.length.value:,.0f} tokens on {each.after} is cheaper "
                f"than {each.before}"
            )
