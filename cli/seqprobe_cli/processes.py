"""Under torchrun the first process speaks; the others work in silence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout

from seqprobe.errors import SeqProbeError
from seqprobe.runner.ranks import ALONE, Ranks


@contextmanager
def processes() -> Iterator[Ranks]:
    """The processes that share the work; this one alone without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    from seqprobe.runner.torchrun import joined

    ranks = ALONE
    try:
        with joined() as ranks, nullcontext() if ranks.first else _silence():
            yield ranks
    except (Exception, KeyboardInterrupt) as error:
        if ranks.speaks:
            raise
        raise SystemExit(error.exit_code if isinstance(error, SeqProbeError) else 1) from error


@contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield
