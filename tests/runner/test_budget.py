"""One word says how much is measured; what is asked for by itself goes before it."""

import pytest
import torch

import seqprobe
from seqprobe.analysis import Request
from seqprobe.errors import UsageError
from seqprobe.probes.bottleneck import Bottleneck
from seqprobe.probes.jacobian_spectrum import JacobianSpectrum
from seqprobe.probes.position import Position
from seqprobe.probes.throughput import Throughput
from seqprobe.reference import zoo
from seqprobe.runner.budget import BUDGETS, budget_named
from seqprobe.runner.plan import plan


def test_a_share_of_the_sequences_but_never_too_few_for_intervals():
    probes = [Bottleneck(5), Position(5), JacobianSpectrum(5), Throughput(5)]
    for share, counts in ((0.25, [48, 8, 8, 1]), (1.0, [192, 32, 8, 1])):
        passes = plan(probes, 32, None, (), share=share)
        seen = {p.id: each.needs.sequences for each in passes for p in each.probes}
        assert [seen[probe.id] for probe in probes] == counts
    assert plan(probes[:1], 32, 9, (), share=0.25)[0].needs.sequences == 9


def test_nobody_who_says_nothing_gets_anything_else():
    assert Request().settled() == Request(budget="standard").settled()
    assert Request().settled().effort == "ensemble"


@pytest.mark.parametrize("name", BUDGETS)
def test_what_is_asked_for_goes_before_the_budget(name):
    asked = Request(budget=name, precision=0.5, exact=False, effort="linear").settled()
    assert (asked.precision, asked.exact, asked.effort) == (0.5, False, "linear")
    whole = Request(budget=name).settled()
    told = budget_named(name)
    assert (whole.precision, whole.exact, whole.effort) == (told.precision, told.exact, told.effort)


def test_what_a_budget_gives_is_measured():
    """The register holds exactly five symbols: more sequences do not find more."""
    kept = {}
    for name in ("quick", "full"):
        torch.manual_seed(0)
        model = zoo.shift_register(5)
        report = seqprobe.analyze(
            model, probes=("bottleneck",), data="synthetic:iid", length=32, budget=name
        )
        kept[name] = report.metric("bottleneck.total_bits")
        tables = report["bottleneck"].tables
        assert ("bottleneck-effort" in tables) == (name == "full")
    assert [kept[name].n for name in kept] == [48, 192]
    assert all(found.value == pytest.approx(15, abs=0.1) for found in kept.values())


def test_another_word_is_refused():
    with pytest.raises(UsageError, match=r"no budget 'fast'; expected one of quick, standard, fu"):
        seqprobe.analyze(zoo.memoryless(), data="synthetic:iid", budget="fast")
    with pytest.raises(UsageError, match="Did you mean 'quick'"):
        budget_named("quik")
