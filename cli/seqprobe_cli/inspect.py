"""`seqprobe inspect`: what is in a checkpoint, without running any of it, and without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from seqprobe.checkpoints.contents import Contents
    from seqprobe.checkpoints.layouts.layout import Layout, Named


@click.command("inspect")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(checkpoint: Path, as_json: bool) -> None:
    """Show what a checkpoint holds, and the `analyze` line to copy."""
    import json

    from seqprobe.checkpoints.read import read
    from seqprobe.checkpoints.recognise import recognise

    contents = read(checkpoint)
    facts = _facts(contents, recognise(contents))
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        _show(name, value)


def _facts(contents: "Contents", found: "Layout | Named") -> dict[str, Any]:
    weights = contents.weights
    return {
        "name": contents.name,
        "container": contents.container,
        "bytes": contents.bytes,
        **_class(contents),
        **_recognised(found),
        "parameters": sum(tensor.numel for tensor in set(weights.values())),
        "dtypes": sorted({tensor.dtype for tensor in weights.values()}),
        "tensors": {name: list(tensor.shape) for name, tensor in weights.items()},
        "other weights": list(contents.others),
        "warnings": list(contents.warnings),
        "analyze": _line(contents, found),
    }


def _class(contents: "Contents") -> dict[str, Any]:
    pickled = contents.modules.get("")
    return {"class": f"{pickled.kind}, read without running it"} if pickled else {}


def _recognised(found: "Layout | Named") -> dict[str, Any]:
    from seqprobe.checkpoints.layouts.layout import Named

    if isinstance(found, Named):
        return {"layout": found.name, "missing": found.missing, "do": found.do}
    return {
        "layout": found.name,
        "known": {k: _short(v) for k, v in {**found.settings, **found.stated}.items()},
        "not in the file": {u.name: " or ".join(map(str, u.candidates)) for u in found.unknowns},
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _line(contents: "Contents", found: "Layout | Named") -> str:
    import shlex

    from seqprobe.checkpoints.layouts.layout import Named

    words = f"seqprobe analyze {shlex.quote(str(contents.path))}"
    if isinstance(found, Named):
        kind = contents.modules[""].kind if "" in contents.modules else ""
        module, _, name = kind.rpartition(".")
        return f"{words} --model {f'{module}:{name}' if module else 'pkg.module:factory'}"
    if found.data:
        return f"{words} --data {found.data}"
    return f"{words} --data TEXT" if found.vocab_size else words


def _show(name: str, value: Any) -> None:
    if isinstance(value, dict):
        click.echo(f"{name}:" if value else f"{name}: nothing")
        for key, inner in value.items():
            click.echo(f"  {key}  {inner}")
    else:
        click.echo(f"{name}: {', '.join(value) or 'none' if isinstance(value, list) else value}")
