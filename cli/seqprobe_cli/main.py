"""`seqprobe`: the group of all commands, and how errors are shown."""

import logging
import os
import sys
import traceback
from typing import Any

import click

from seqprobe.errors import SeqProbeError
from seqprobe_cli import analyze, compare, data, doctor, inspect, probe, report, train, watch
from seqprobe_cli.summary import INTERRUPTED

INTERNAL_ERROR, UNREAD = 70, 141


class _Group(click.Group):
    """Shows one line for every error; a traceback only with --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _hush()
            ctx.exit(UNREAD)
        except SeqProbeError as error:
            self._show(ctx, str(error), error.exit_code)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            self._show(ctx, f"{what}. This is a bug; run again with --debug.", INTERNAL_ERROR)

    def _show(self, ctx: click.Context, message: str, exit_code: int) -> None:
        if ctx.params.get("debug"):
            click.echo(traceback.format_exc(), err=True)
        click.echo(f"Error: {message}", err=True)
        ctx.exit(exit_code)


def _hush() -> None:
    """Lead to nowhere what Python still writes when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seqprobe")
@click.option("--debug", is_flag=True, help="Show tracebacks and what goes on inside.")
def main(debug: bool) -> None:
    """Measure a trained sequence model.

    How far back does it see, what stops it, and what to change.

    \b
    Exit codes: 0 done, 1 findings at or above --fail-on, 2 usage,
    3 model not rebuilt or not verified, 4 file unreadable or unsafe,
    5 a process of several was lost, 70 a bug in SeqProbe, 130 interrupted,
    141 nobody reads the output any more.
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        logging.getLogger("matplotlib").setLevel(logging.WARNING)


for _command in (analyze, compare, inspect, report, watch, train, probe, data, doctor):
    main.add_command(_command.command)
