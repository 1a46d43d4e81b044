"""Spans cover every position once, and their means are means."""

import numpy as np
import pytest

from seqprobe.estimators.spans import log_spaced, span_columns, span_means


@pytest.mark.parametrize("per_octave", [1, 2, 4])
@pytest.mark.parametrize(("most", "through"), [(1, 1), (255, 256), (1023, 256), (127, 1), (40, 33)])
def test_every_position_lies_in_one_span(most, through, per_octave):
    spans = log_spaced(most, through=through, per_octave=per_octave)
    assert [position for start, stop in spans for position in range(start, stop)] == [*range(most)]
    assert most <= through or through in {stop for _, stop in spans}


def test_an_octave_has_so_many_spans():
    stops = [stop for _, stop in log_spaced(1024, per_octave=2)]
    assert {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024} <= set(stops)
    assert sum(256 < stop <= 512 for stop in stops) == 2


def test_means_and_intervals_are_those_of_the_rows():
    rows = np.random.default_rng(0).normal(size=(200, 12))
    spans = log_spaced(12)
    naive = [[np.mean(row[start:stop]) for start, stop in spans] for row in rows]
    assert span_means(rows, spans) == pytest.approx(np.array(naive))
    columns = span_columns(rows, spans)
    assert columns["first"][-1], columns["last"][-1] == (11, 12)
    error = np.std(naive, axis=0) / np.sqrt(200)
    assert columns["high"] - columns["low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
