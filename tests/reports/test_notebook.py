"""The summary in a notebook: short, in its colours, harmless, and alone with its styles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from seqprobe.records import Steps
from seqprobe.report import Comparison, Report
from seqprobe_reports.figures.drawing import Drawing


class Piece(HTMLParser):
    """The elements of a piece of HTML, with the texts outside of its style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def shown(report: Report) -> str:
    return report._repr_html_()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drawing, "svg", lambda self: f'<svg id="{self.id}"></svg>')


def test_says_what_matters_and_what_to_do(shown: str) -> None:
    text = Piece(shown).text
    assert "lstm.pt : ✕ problem It sees 54 steps back; you asked about 100." in text
    first, second = text.index("gradient-decay finds nothing"), text.index("position finds nothing")
    assert first < second < text.index("info : Gradient decay,") < text.index("sensitivity")
    assert text.count("horizon: 54 steps [48, 61]") == 2
    assert text.count("Do this: Raise the forget-gate bias") == 2
    assert "not run : Not run" in text
    assert "error : Failed" in text


def test_runs_loads_and_leads_nowhere(shown: str) -> None:
    piece = Piece(shown)
    assert not piece.open
    assert not {"script", "img", "link", "iframe", "a", "form"} & {tag for tag, _ in piece.tags}
    for _, attributes in piece.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_styles_stay_within(shown: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", shown, re.DOTALL)
    selectors = [
        one.strip() for group in re.findall(r"([^{}]+)\{", style) for one in group.split(",")
    ]
    assert len(selectors) > 10
    assert all(one.split()[0] == ".seqprobe" for one in selectors)
    assert "url(" not in style
    assert {"--jp-content-font-color1", "--vscode-editor-foreground"} <= set(
        re.findall(r"--[a-z0-9-]+", style)
    )


def test_colors_follow_the_text_around(shown: str) -> None:
    """Nothing is black or white on its own, and nothing asks the system about its theme."""
    (style,) = re.findall(r"<style>(.*?)</style>", shown, re.DOTALL)
    assert "prefers-color-scheme" not in style
    assert "background" not in style
    assert all("currentColor" in color for color in re.findall(r"[ {;]color: ([^;]+);", style))


def test_hostile_text_stays_text(hostile: Report) -> None:
    shown = hostile._repr_html_()
    piece = Piece(shown)
    assert not {"script", "img"} & {tag for tag, _ in piece.tags}
    assert piece.text.count("alert(1)") >= 5
    assert "\ud800" not in shown
    assert "\x00" not in shown


def test_two_reports_in_one_notebook_share_no_id(
    shown: str, report: Report, three: Sequence[Report]
) -> None:
    other = three[1]._repr_html_()
    ids, others = (
        {at["id"] for _, at in Piece(html).tags if "id" in at} for html in (shown, other)
    )
    assert ids
    assert not ids & others
    assert report._repr_html_() == shown


@pytest.mark.usefixtures("undrawn")
def test_several_models_show_their_gravest_finding(three: Sequence[Report]) -> None:
    text = Piece(Comparison(tuple(three))._repr_html_()).text
    assert [text.count(name) for name in ("lstm.pt", "gru.pt", "attention.pt")] == [1, 1, 1]
    assert text.count("Do this:") == text.count("And 1 more finding.") == 3


@pytest.mark.usefixtures("undrawn")
def test_a_training_shows_its_first_and_last_checkpoint(three: Sequence[Report]) -> None:
    comparison = Comparison(tuple(three), steps=Steps((1, 2, 3), "names"))
    text = Piece(comparison._repr_html_()).text
    assert "3 checkpoints of one training" in text
    assert "gru.pt" not in text


@pytest.mark.usefixtures("undrawn")
def test_more_than_three_findings_are_counted(report: Report) -> None:
    many = replace(report, findings=report.findings * 3)
    text = Piece(many._repr_html_()).text
    assert text.count("Do this:") == 3
    assert "And 3 more findings." in text
    assert "No finding" in Piece(replace(report, findings=())._repr_html_()).text
