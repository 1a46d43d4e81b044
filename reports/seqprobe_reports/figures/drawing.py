"""A figure before it is drawn: inline in a page, or for a paper."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from seqprobe_reports.figures.svg import INK, WIDTH, inline, look

Paper = TypeVar("Paper", bound=Figure)


class Printed(Figure):
    """A figure for a paper."""

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Write it as any matplotlib figure, with TrueType fonts: many journals refuse Type 3."""
        with mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(fname, **kwargs)

    def _repr_png_(self) -> bytes:
        """For notebooks in which nobody has asked for pyplot."""
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=150)
        return drawn.getvalue()


@dataclass(frozen=True)
class Drawing:
    """Pairs of axes to paint, one below the other, each of some height in inches."""

    id: str
    title: str
    description: str
    panels: Sequence[tuple[float, Callable[[Axes], None]]]

    def svg(self) -> str:
        """Inline SVG, the same bytes every time."""
        with mpl.rc_context(look(INK, "none")), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts have it
            drawn = io.StringIO()
            self._on(Figure).savefig(drawn, format="svg", metadata={"Date": None})
        return inline(drawn.getvalue(), self.id, self.title, self.description)

    def printed(self) -> Printed:
        """Black and colours on white."""
        with mpl.rc_context(look("black", "white")):
            return self._on(Printed)

    def _on(self, paper: type[Paper]) -> Paper:
        heights = [height for height, _ in self.panels]
        size = (WIDTH, sum(heights))
        figure = paper(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06))
        rows = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        for (_, paint), axes in zip(self.panels, rows, strict=True):
            paint(axes)
        return figure
