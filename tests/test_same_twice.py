"""Two runs with the same clock give the same bytes: report, page, and whatever is drawn."""

import datetime
import time
from collections.abc import Callable
from itertools import count

import pytest
import torch

import seqprobe
from seqprobe import assembly
from seqprobe.models import clock as clocks
from seqprobe.reference.language_models import build

TICK = 0.001


class Fixed(datetime.datetime):
    """The same moment, whenever one asks."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Fixed":
        return cls(2025, 6, 1, 12, tzinfo=tz)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Starts a clock that goes on by a tick each time somebody looks."""

    def start() -> None:
        ticks = count()
        for where, name in ((time, "monotonic"), (clocks, "perf_counter")):
            monkeypatch.setattr(where, name, lambda: TICK * next(ticks))
        monkeypatch.setattr(assembly, "datetime", Fixed)

    return start


def test_two_runs_are_the_same_to_the_byte(clock, tmp_path):
    written = []
    for run in ("first", "second"):
        clock()
        torch.manual_seed(0)
        report = seqprobe.analyze(
            build("gru", vocab_size=8, width=8, layers=1),
            data="synthetic:copy", length=16, limit=8, distance=4,
        )  # fmt: skip
        files = [report.save(tmp_path / f"{run}.{ending}") for ending in ("json", "html")]
        written.append([file.read_bytes() for file in files])
    assert written[0][0] == written[1][0]
    assert written[0][1] == written[1][1]
    assert b'"created":"2025-06-01T12:00:00+00:00"' in written[0][1]
