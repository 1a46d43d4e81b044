"""Markdown for pull requests says what it is given, and no text in it can do anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from seqprobe.contracts import Estimate
from seqprobe.names import printable
from seqprobe.records import Advice, Check, Crossover, Difference, Steps
from seqprobe.report import Comparison, Report
from seqprobe_reports.markdown import MOST, escaped

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {"h2", "p", "strong", "ol", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
MENTIONS = re.compile(r"@\w|#\w|GH-\d|https?://|www\.\w|:\w*[a-z]\w*:")
ATTACKS = ["@you", "#12", "o/r#3", "GH-9", "http://a.bc", "www.a.bc", "a@b.cd", "[a](javascript:b)",
           "![a](//b)", "<a href=x>", "</td>", "&lt;b>", "`a", "*a*", "__a__", "~~a~~", "a|b",
           "\\|", "$a$", ":tada:", "[a][b]", "<!--", "a\n\n# b", "a\n- b", "\u202e"]  # fmt: skip


def html(markdown: str) -> str:
    rendered: str = GITHUB.render(markdown)
    return rendered


def text(markdown: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html(markdown)))


def tags(markdown: str) -> set[str]:
    return set(re.findall(r"<([a-z0-9]+)", html(markdown)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ATTACKS) | st.text(max_size=3), max_size=4).map("".join))
def test_any_text_is_shown_as_it_is(hostile: str) -> None:
    cell = f"a {escaped(hostile)} b"
    page = f"1. **x**: {cell}\n\n| {cell} |\n|---|\n| {cell} |\n"
    shown = text(page)
    assert tags(page) == {"ol", "li", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert not MENTIONS.search(shown), shown
    lines = [" ".join(line.split()) for line in shown.replace("\u200b", "").split("\n")]
    plain = " ".join(f"a {printable(hostile)} b".split())
    assert [line for line in lines if line] == [f"x: {plain}", plain, plain]


def cells(markdown: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html(markdown), re.DOTALL)
    return [[unescape(c) for c in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


def with_value(report: Report) -> Report:
    """As probes write checks down: the headline metric repeated."""
    horizon = report["gradient-decay"].metrics["horizon"]
    bounds = {"value": horizon.value, "interval": (horizon.low, horizon.high), "unit": "steps"}
    return replace(report, checks=(replace(report.checks[0], **bounds), *report.checks[1:]))


def test_one_model(report: Report) -> None:
    grave, other = report.findings
    told = replace(report, findings=(replace(grave, consequence="It forgets."), other))
    markdown = with_value(told).render(".md")
    shown = text(markdown)
    assert "lstm.pt: problem. It sees 54 steps back; you asked about 100." in shown
    found = "problem: Beyond 54 steps gradient-decay finds nothing."
    assert f"{found} (horizon: 54 steps [48, 61]) It forgets. Do this: Raise the" in shown
    assert shown.count("Do this: Raise the forget-gate bias") == 2
    head, first, *rest = cells(markdown)
    assert head == ["check", "status", "value", "answer"]
    answer = "The answer of gradient-decay in one sentence."
    assert first == ["Gradient decay", "info", "horizon: 54 steps [48.6, 59.4]", answer]
    assert ["Not run", "not run", "", "needs a GPU"] in rest
    assert len(rest) == len(report.checks) - 1
    assert re.findall(r"^\d\.", markdown, re.MULTILINE) == ["1.", "2."]


def test_several_models_have_a_column_each(three: Sequence[Report]) -> None:
    comparison = Comparison(tuple(with_value(report) for report in three))
    markdown = comparison.render(".md")
    head, first, *_ = cells(markdown)
    assert head == ["check", "lstm.pt", "gru.pt", "attention.pt"]
    assert first[2] == "info, horizon: 90 steps [81, 99]"


def test_what_differs_is_said(report: Report, named: Callable[..., Report]) -> None:
    length, apart = Estimate(96.0, "tokens", exact=True), Estimate(12.0, "steps", 5.0, 19.0, n=9)
    changed = replace(named("gru.pt"), checks=(replace(report.checks[0], status="fine"),))
    differ = Difference("gradient-decay", "horizon", ("lstm.pt", "gru.pt"), apart, clear=True)
    comparison = Comparison(
        (report, changed),
        (Crossover("FLOPs", ("a", "b"), length, "a", "b"),),
        differences=(differ, replace(differ, metric="at_distance", clear=False)),
        advice=(Advice("a far past", "x.y", ("gru.pt",), {"lstm.pt": apart, "gru.pt": apart}),),
        caution="Not paired, because.",
    )
    shown = text(comparison.render(".md"))
    assert "Another status, Gradient decay: lstm.pt info, gru.pt fine" in shown
    assert "Gradient decay, horizon: gru.pt +12 steps [5, 19] against lstm.pt" in shown
    assert "at distance: gru.pt" not in shown
    assert "For a far past: gru.pt" in shown
    assert "FLOPs: from 96 tokens on b is cheaper than a." in shown
    assert "Not paired, because." in shown
    assert "Ahead by what was measured: gru.pt in a far past." in comparison._repr_html_()


def test_a_training_shows_its_first_and_last_checkpoint(three: Sequence[Report]) -> None:
    markdown = Comparison(tuple(three), steps=Steps((1, 2, 3), "names")).render(".md")
    assert "3 checkpoints of one training" in markdown
    assert "gru.pt" not in markdown


def test_hostile_reports_stay_text(hostile: Report) -> None:
    markdown = hostile.render(".md")
    assert tags(markdown) <= OURS
    assert len(cells(markdown)) == len(hostile.checks) + 1
    assert {len(row) for row in cells(markdown)} == {4}
    assert text(markdown).count("alert(1)") >= 5
    assert not MENTIONS.search(text(markdown))


@pytest.mark.parametrize("letter", ["x", "€"])
def test_never_longer_than_a_comment(letter: str, report: Report) -> None:
    check = replace(report.checks[0], headline=letter * 100_000, title=letter * 999)
    long = replace(report, checks=tuple(replace(check, id=f"c{i}") for i in range(300)))
    markdown = long.render(".md")
    assert MOST - 3000 < len(markdown.encode()) <= MOST
    assert markdown.endswith("\n*Cut here: the page holds the rest.*\n")
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(row.endswith(" |") for row in rows if row != "|---|---|---|---|")


def test_a_check_without_a_number_has_none(report: Report) -> None:
    bare = Check("x", 1, "X", "?", "error", "failed", error="no")
    assert cells(replace(report, checks=(bare,)).render(".md"))[1] == ["X", "error", "", "failed"]


def test_notebooks_that_are_not_trusted_have_the_same(report: Report) -> None:
    assert report._repr_markdown_() == report.render(".md")
