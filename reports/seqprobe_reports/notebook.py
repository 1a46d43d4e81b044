"""What a notebook shows of a report: the verdict, what matters most, and how far back it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from markupsafe import Markup

from seqprobe.diagnosis.advice import headline
from seqprobe.report import Comparison, Report
from seqprobe_reports.assets import static
from seqprobe_reports.figures import reach_profile
from seqprobe_reports.page import fitted
from seqprobe_reports.quantities import QUANTITIES
from seqprobe_reports.sections import SEVERITY
from seqprobe_reports.subjects import Subject, on_view


def summary(what: Comparison | Sequence[Report]) -> str:
    """A piece of HTML without scripts or links, in the colours of the notebook around it.

    Of checkpoints of one training the first and the last one are shown.
    """
    shown = on_view(what)
    content: dict[str, object] = {
        "css": static("summary.css"),
        "subjects": shown,
        "steps": what.steps if isinstance(what, Comparison) else None,
        "advice": headline(what.advice) if isinstance(what, Comparison) and what.advice else "",
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
