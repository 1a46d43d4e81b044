"""What a notebook shows of a report: the verdict, what matters most, and how far back it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

from markupsafe import Markup

from seqprobe.records import Steps
from seqprobe.report import Report
from seqprobe_reports.figures import reach_profile
from seqprobe_reports.page import fitted
from seqprobe_reports.quantities import QUANTITIES
from seqprobe_reports.sections import SEVERITY
from seqprobe_reports.subjects import Subject, subjects


def summary(reports: Sequence[Report], steps: Steps | None = None) -> str:
    """A piece of HTML without scripts or links, in the colours of the notebook around it.

    With `steps` the reports are those of one training: the first and the last one are shown.
    """
    shown = subjects(reports if steps is None else [reports[0], reports[-1]])
    css = (files("seqprobe_reports") / "static" / "summary.css").read_text("utf-8")
    content = {
        "css": Markup(css),
        "subjects": shown,
        "checkpoints": len(reports) if steps else 0,
        "strips": [strip(subject.report) for subject in shown],
        "profile": Markup(_profile(shown)),
    }
    return fitted("summary.html", content)


def strip(report: Report) -> dict[str, list[str]]:
    """The titles of all checks by their status, what matters most first."""
    found = {status: [c.title for c in report.checks if c.status == status] for status in SEVERITY}
    return {status: titles for status, titles in found.items() if titles}


def _profile(shown: Sequence[Subject]) -> str:
    """With ids of its own: a notebook holds many figures, and a page has one name for each id."""
    drawn = [(s.name, s.report.distance, [q.of(s) for q in QUANTITIES]) for s in shown]
    drawing = reach_profile.draw(shown)
    digest = sha256(repr(drawn).encode("utf-8", "replace")).hexdigest()[:8]
    return replace(drawing, id=f"{drawing.id}-{digest}").svg()
