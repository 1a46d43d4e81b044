"""Forms of execution from depths that are made by hand."""

from fractions import Fraction
from math import ceil, log2

import pytest

from seqprobe.estimators.form import form_of

LENGTHS = [32, 64, 128, 256, 512]
LAWS = {
    "all at once": (lambda n: 40, 0, 0, 32),
    "step by step": (lambda n: 40 + 7 * n, 7, 0, 32),
    "as a scan": (lambda n: 40 + 3 * log2(n), 0, 3, 32),
    "by steps and a scan": (lambda n: 40 + 7 * n + 3 * log2(n), 7, 3, 32),
    "in chunks": (lambda n: 40 + 4 * ceil(n / 16), Fraction(1, 4), 0, 32),
}
LATER = {
    "chunks longer than the shortest": (lambda n: 40 + 4 * ceil(n / 64), Fraction(1, 16), 0, 64),
    "a recurrence beside something deeper": (lambda n: max(190, 3 * n), 3, 0, 64),
    "a choice by length": (lambda n: n if n < 64 else 50, 0, 0, 64),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_form_is_told_with_its_numbers(name):
    law, per_token, per_doubling, start = LAWS[name]
    found = form_of(LENGTHS, [int(law(n)) for n in LENGTHS])
    assert found is not None
    assert found.name == name
    assert (found.per_token, found.per_doubling, found.start) == (per_token, per_doubling, start)


@pytest.mark.parametrize("name", LATER)
def test_what_holds_only_from_some_length_on_says_so(name):
    law, per_token, per_doubling, start = LATER[name]
    found = form_of(LENGTHS, [int(law(n)) for n in LENGTHS])
    assert found is not None
    assert (found.per_token, found.per_doubling, found.start) == (per_token, per_doubling, start)


def test_steps_that_are_missing_are_said_to_be():
    """A gate that is shut exactly takes one step of two operators out of 512, or of 50."""
    found = form_of(LENGTHS, [40 + 2 * n - 2 * (n > 256) for n in LENGTHS])
    assert found is not None
    assert (found.name, found.per_token, found.exact) == ("step by step", 2, False)
    assert form_of(LENGTHS, [40 + 2 * n - 6 * (n > 256) for n in LENGTHS]) is None
    assert form_of(LENGTHS, [40 + 2 * n + 2 * (n > 256) for n in LENGTHS]) is None


@pytest.mark.parametrize(
    "depths",
    [
        [n * n for n in LENGTHS],
        [40, 40, 40, 40, 44],
        [40, 40, 44, 48, 48],
        [40, 40, 40, 44, 48],
        [40, 40, 40, 44, 52],
        [40, 51, 70, 105],
        [100, 60, 40, 30, 25],
        [40, 47],
    ],
)
def test_what_follows_no_law_is_not_told(depths):
    assert form_of(LENGTHS[: len(depths)], depths) is None
