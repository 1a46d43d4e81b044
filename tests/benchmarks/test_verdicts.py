"""Rules say what was planted; the page says it too."""

import planted
import pytest

from claims import small_data, verdicts
from claims.curves import Costs, costs_of, utilisation
from claims.kept import Book
from claims.page import page
from claims.trained import Trained
from seqprobe.contracts import Estimate
from seqprobe_reports.expectation import over, under

HOLDS, NOT, OPEN = "holds", "does not hold", "cannot be told"


def only(parts) -> Costs:
    (found,) = costs_of(parts)
    return found


def said(seconds):
    return [claim.verdict for claim in verdicts.of_costs(only(planted.costs(seconds)))]


def test_a_textbook_is_believed():
    assert said(planted.textbook) == [HOLDS, NOT, *[HOLDS] * 7, NOT]


def test_parallel_hardware_turns_claims_around():
    """Whatever is done takes as long as for one token, but for recurrences."""

    def parallel(kind, way, n):
        return planted.textbook(kind, way, n) if kind in ("rnn", "lstm", "gru") else 1.0

    slow = "does not hold: rnn, lstm, gru; holds: mingru, attention"
    assert said(parallel) == [HOLDS, HOLDS, NOT, HOLDS, NOT, HOLDS, HOLDS, HOLDS, NOT, slow]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.1, 1.9, HOLDS), (1.9, 2.1, OPEN), (2.1, 3, NOT), (None, None, OPEN)],
)
def test_the_whole_interval_has_to_lie_on_one_side(low, high, verdict):
    found = Estimate(1.5 if low else None, "", low, high, reason="" if low else "none")
    assert verdicts.Tested("rnn", found, (under(2),)).verdict == verdict
    assert verdicts.Tested("rnn", found, (under(2), over(5))).verdict == (NOT if low else OPEN)


def test_utilisation_is_what_is_done_over_what_could_be():
    for share in utilisation(only(planted.costs(planted.textbook)), "lstm"):
        assert share.flops == pytest.approx(2 * 100 * share.length / (1e-3 * share.length) / 1e6)
        assert share.bytes is None


@pytest.mark.parametrize(
    ("lead", "verdict"), [({0.01: 0.5, 1.0: 0.1}, HOLDS), ({0.01: 0.1, 1.0: 0.5}, NOT)]
)
def test_little_data_favours_whose_lead_it_makes_greater(lead, verdict):
    parts = planted.small_data(lead, drop=("lstm", 1.0, 2))
    found = small_data.learned(parts)
    assert found.gain("lstm", 0.01).value == pytest.approx(lead[0.01])
    assert found.gain("lstm", 0.01).n == 2  # the third seed is not whole
    assert verdicts.of_small_data(found).verdict == verdict
    assert found.mean("attention", 1.0).value == pytest.approx(3.005)


def test_trained_models_are_held_against_the_table_of_reports():
    near, far = (Estimate(v, "", 0.9 * v, 1.1 * v) for v in (1e-6, 0.5))
    card = {kind: {"recipe": {"kind": kind}} for kind in ("lstm", "attention")}
    models = [
        Trained("a", card["lstm"], 256, 127, {"gradient-decay.at_distance": near}),
        Trained("b", card["attention"], 256, 127, {"gradient-decay.at_distance": far}),
    ]
    (claim,) = verdicts.of_trained(models)
    assert claim.verdict == HOLDS
    swapped = [m._replace(card=card[k]) for m, k in zip(models, ("attention", "lstm"), strict=True)]
    assert [claim.verdict for claim in verdicts.of_trained(swapped)] == [NOT]


def test_the_page_is_made_from_what_is_kept_alone():
    parts = planted.costs(planted.textbook) | planted.small_data({0.01: 0.5, 1.0: 0.1})
    text = page(Book([planted.RUN], parts), "x.svg")
    for line in (
        "**The numbers of a GPU are still to be taken: `python benchmarks/paradigm.py",
        "| rnn 0 [0, 0]; lstm 0 [0, 0]; gru 0 [0, 0]; attention 1 [1, 1] | **holds** |",
        "| lstm, attention | lstm from 2,000 [2,000, 2,000] on, 1.02 times at 2,048 |",
        "| rnn, lstm | cannot be told who is cheaper at 2,048 |",
        "rnn/training: left out from there on, because out of memory.",
        "| 1% | 100 | 2.51 bits [2.49, 2.53] |",
        "2000-01-01 to 2000-01-02: hardware a CPU. costs: planted; small data.",
    ):
        assert line in text
    on_gpu = Book([{**planted.RUN, "hardware": "H, CUDA 13"}], parts)
    assert "still to be taken" not in page(on_gpu, "x.svg")
