"""`seqprobe probe`: which measurements there are, and what each one means."""

import click


@click.group("probe")
def command() -> None:
    """List the probes, or explain one."""


@command.command("list")
def list_probes() -> None:
    """One line per probe: its name and the question it answers."""
    from seqprobe.runner.registry import available

    for id, probe in available().items():
        click.echo(f"{id:<16} {probe.question}")


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """What a probe measures and how, what it needs, its limits and its sources."""
    from seqprobe.runner.registry import chosen

    (probe,) = chosen([name])
    needs = probe().needs
    wanted = [n for n in ("states", "gradients", "rerun", "mixing", "tokens") if getattr(needs, n)]
    click.echo(f"{probe.id} (version {probe.version}): {probe.title}\n")
    parts = {
        "Question": probe.question,
        "Method": probe.method,
        "Reading": probe.reading,
        "Limits": probe.limits,
        "Needs": f"{', '.join(wanted)}; "
        f"{needs.sequences} sequences ({needs.stream}) of {needs.length}",
        "Sources": "; ".join(probe.references),
    }
    for head, text in parts.items():
        click.echo(f"{head}: {text}\n")
