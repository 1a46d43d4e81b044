"""Options that `analyze` and `compare` share, and how their values are read."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import click

from seqprobe.errors import UsageError

_FILE = click.Path(path_type=Path, dir_okay=False)
fail_on = click.option(
    "--fail-on",
    type=click.Choice(["attention", "problem"]),
    help="Exit with 1 if a finding is at least this grave.",
)
_OPTIONS = (
    click.option(
        "--data",
        help="Text file, folder, `stdlib`, or synthetic:iid, synthetic:copy; series of numbers, or "
        "synthetic:lag-48, for models that read these.  "
        "[default: the task that a file of `seqprobe train` names, or text that the model itself "
        "writes]",
    ),
    click.option(
        "--tokenizer",
        metavar="NAME",
        help="bytes, char, word, ints, hf, or a vocabulary file.  "
        "[default: what fits the model's vocabulary]",
    ),
    click.option(
        "--probe", "probes", multiple=True, metavar="NAME", help="Only this one (repeat)."
    ),
    click.option("--distance", type=click.IntRange(1), help="The distance that matters to you."),
    click.option("--length", type=click.IntRange(1), help="Length of the sequences."),
    click.option("--limit", type=click.IntRange(1), help="Sequences per probe, for all probes."),
    click.option(
        "--precision",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.05,
        show_default=True,
        help="Half-life and horizon of gradients: feed more until known so well.",
    ),
    click.option(
        "--exact", is_flag=True, help="Gradients in full, paths and contexts of every length."
    ),
    click.option(
        "--effort",
        type=click.Choice(["linear", "ensemble", "full"]),
        default="ensemble",
        show_default=True,
        help="Decoders of bits kept: full adds a small network, and how hard they are to read.",
    ),
    click.option(
        "--attribution",
        type=click.Choice(["integrated-gradients", "input-x-gradient", "feature-ablation"]),
        help="Attributions by captum beside the gradient.",
    ),
    click.option(
        "--need",
        multiple=True,
        metavar="NEED",
        help="length=8192, streaming or memory=2GiB (repeat): fits, or does not, and why.",
    ),
    click.option(
        "--task",
        type=click.Choice(["lm", "tag", "classify", "regress"]),
        help="What the model is for.  [default: what file and data say]",
    ),
    click.option(
        "--model",
        "factory",
        metavar="PKG.MODULE:FACTORY",
        help="Builds the module, if its file is not enough; the present folder is importable.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="An argument of the factory, or what the file does not say, such as n_head=4.",
    ),
    click.option("--weights", metavar="NAME", help="Which of several state dicts, such as ema."),
    click.option(
        "--assume-defaults",
        is_flag=True,
        help="Take what is usual where neither file nor data say how the model is built.",
    ),
    click.option("--device", default="auto", show_default=True),
    click.option("--dtype", default="float32", show_default=True, help="Precision of measuring."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True),
    click.option("-o", "--output", type=_FILE, help="HTML report."),
    click.option(
        "--json", "json_output", type=_FILE, help="JSON report.  [default: beside the HTML]"
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on where this command was cut short.",
    ),
    fail_on,
)


def measuring(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to a command, in the order in which they stand above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def request(
    *, data: str | None, probes: tuple[str, ...], settings: tuple[str, ...], **rest: Any
) -> dict[str, Any]:
    """What the library is asked for."""
    return {
        "data": data,
        "probes": probes or None,
        "settings": read_settings(settings),
        "command": recorded_command(),
        **rest,
    }


def read_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`name=value`, where the value is a Python literal or else a word."""
    read = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UsageError(
                "not a setting",
                got=repr(setting),
                expected="name=value",
                do="Repeat --set for each one, as in --set hidden=256.",
            )
        try:
            read[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            read[name] = value
    return read


def recorded_command() -> tuple[str, ...]:
    """The command as it is kept in reports: no folders of the user's machine."""
    return ("seqprobe", *(_basename(word) for word in sys.argv[1:]))


def _basename(word: str) -> str:
    option, equals, value = word.partition("=")
    if not equals or "/" in option or "\\" in option:
        option, equals, value = "", "", word
    is_path = "/" in value or "\\" in value
    return option + equals + (PureWindowsPath(value).name if is_path else value)
