"""Figures for papers: vectors, letters, black on white, and nothing changed elsewhere."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from seqprobe.errors import UsageError
from seqprobe.records import Steps
from seqprobe.report import Comparison, Report
from seqprobe_reports.figures.svg import PALETTE


def written(figure: Figure, form: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=form)
    return file.getvalue()


def painted(pdf: bytes) -> str:
    """What the pages of a PDF are told to paint."""
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return "\n".join(zlib.decompress(stream).decode("latin-1") for stream in streams)


def letters(pdf: bytes) -> list[str]:
    """The text of a PDF whose fonts number their letters as Unicode does."""
    lines = []
    for text in re.findall(r"BT\n(.*?)\nET", painted(pdf), re.DOTALL):
        strings = re.findall(r"\(((?:\\.|[^\\()])*)\)", text, re.DOTALL)
        plain = re.sub(r"\\(.)", r"\1", "".join(strings), flags=re.DOTALL)
        lines.append(plain.encode("latin-1").decode("utf-16-be"))
    return lines


@pytest.mark.parametrize("check", ["gradient-decay", "attention"])
def test_a_pdf_holds_vectors_and_letters(check: str, report: Report) -> None:
    pdf = written(report.figure(check), "pdf")
    words = {"gradient-decay": "gradient, relative to distance 0", "attention": "previous token"}
    assert words[check] in letters(pdf)
    assert b"/Subtype /Image" not in pdf
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_all_models_share_the_axes(three: Sequence[Report]) -> None:
    figure = Comparison(tuple(three)).figure("reach-profile")
    pdf = written(figure, "pdf")
    assert {"lstm.pt", "gru.pt", "attention.pt", "storage"} <= set(letters(pdf))
    assert len(figure.axes) == 1


def test_of_a_training_the_first_and_the_last_are_drawn(three: Sequence[Report]) -> None:
    figure = Comparison(tuple(three), steps=Steps((1, 2, 3), "names")).figure("reach-profile")
    (legend,) = [axes.get_legend() for axes in figure.axes]
    assert [text.get_text() for text in legend.get_texts()] == ["lstm.pt", "attention.pt"]


def test_it_looks_the_same_whatever_the_settings(report: Report) -> None:
    before = dict(mpl.rcParams)
    figure, other = (report.figure("reach-profile") for _ in range(2))
    plain = written(figure, "png")
    assert dict(mpl.rcParams) == before
    with pyplot.style.context("dark_background"):
        dark = dict(mpl.rcParams)
        assert written(report.figure("reach-profile"), "png") == plain
        assert written(other, "png") == plain
        assert dict(mpl.rcParams) == dark
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert not pyplot.get_fignums()


def test_text_is_black_and_models_have_the_colors_of_the_page(report: Report) -> None:
    figure = report.figure("reach-profile")
    (axes,) = figure.axes
    drawn = {mpl.colors.to_hex(line.get_color()).upper() for line in axes.lines}
    assert PALETTE[0] in drawn
    assert {mpl.colors.to_hex(text.get_color()) for text in axes.texts} == {"#000000"}


def test_a_notebook_shows_it_without_pyplot(report: Report) -> None:
    assert report.figure("reach-profile")._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["weights", "not-run", "nonsense", ""])
def test_what_has_no_figure_names_what_has(name: str, report: Report) -> None:
    few = replace(report, checks=tuple(c for c in report.checks if c.id in ("memory", "weights")))
    with pytest.raises(UsageError, match=rf"no figure '{name}' of lstm\.pt; .* reach-profile, mem"):
        few.figure(name)
