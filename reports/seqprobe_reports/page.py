"""One page for one model or several: what was found, and all that is needed to believe it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from seqprobe.diagnosis.comparison import side_by_side
from seqprobe.errors import UsageError
from seqprobe.records import Steps
from seqprobe.report import Comparison, Report
from seqprobe_reports import facts
from seqprobe_reports.assets import script, style
from seqprobe_reports.chapters import Chapter, chapters
from seqprobe_reports.compared import compared
from seqprobe_reports.course import Course
from seqprobe_reports.embedded import embedded
from seqprobe_reports.environment import environment
from seqprobe_reports.figures import draw, reach_profile
from seqprobe_reports.glossary import GLOSSARY
from seqprobe_reports.paradigm import FAMILIES, ROWS, unexpected
from seqprobe_reports.quantities import QUANTITIES
from seqprobe_reports.sections import sections
from seqprobe_reports.subjects import Subject, on_view

_UNSEEN = {code: "\N{REPLACEMENT CHARACTER}" for code in range(32) if chr(code) not in "\t\n\r"}
"""Names may hold what no page may, and (surrogates) what UTF-8 cannot."""
BUDGET = 1_000_000
"""Above this many bytes the data tables are cut shorter."""


def render(what: Comparison | Sequence[Report]) -> str:
    """The page as one HTML text that needs nothing else, not even a network.

    Of checkpoints of one training all are shown over the steps, and the first and the last one side
    by side.
    """
    comparison = what if isinstance(what, Comparison) else side_by_side(what)
    reports, steps = comparison.reports, comparison.steps
    if not reports:
        raise UsageError("a page needs at least one report", got="none", do="Give a report.")
    shown = on_view(comparison)
    content = _content(shown) | compared(comparison)
    if steps is not None:
        content |= over_steps(reports, steps)
    return fitted("page.html", content | {"json": embedded(comparison)})


def fitted(template: str, content: dict[str, object]) -> str:
    """A page with as many rows in its data tables as the budget allows."""
    for rows in (200, 50):
        page = _fill(template, content, rows)
        if len(page.encode()) <= BUDGET:
            return page
    return _fill(template, content, rows=10)


def _content(shown: tuple[Subject, ...]) -> dict[str, object]:
    """Everything on the page apart from how long its tables are."""
    parts = sections(shown)
    return {
        "subjects": shown,
        "cautions": cautions(shown),
        "steps": None,
        "profile": Markup(reach_profile.draw(shown).svg()),
        "quantities": QUANTITIES,
        "paradigm": ROWS,
        "families": FAMILIES,
        "unexpected": unexpected,
        "sections": [part for part in parts if part.has_result],
        "without_result": [part for part in parts if not part.has_result],
        "titles": {part.id: part.text.title for part in parts},
        "figures": {part.id: Markup(draw(part.id, shown)) for part in parts},
        "facts": {
            "model": facts.model(shown),
            "plan": facts.plan(shown),
            "data": facts.data(shown),
            "provenance": facts.provenance(shown),
        },
    }


def _fill(template: str, content: dict[str, object], rows: int) -> str:
    page = _template_environment().get_template(template).render(content, rows=rows)
    return page.translate(_UNSEEN).encode("utf-8", "replace").decode()


def over_steps(reports: Sequence[Report], steps: Steps) -> dict[str, object]:
    """How the numbers of each check went; what a model costs does not change with its training."""
    moments = list(zip(steps.values, reports, strict=True))
    texts = {check.id: check for report in reports for check in report.checks}
    figures = {
        texts[chapter.check].title: _course(chapter, moments).figure(
            texts[chapter.check].headline, along=steps.unit, distance=reports[-1].distance
        )
        for chapter in chapters(list(texts))
    }
    return {
        "steps": steps,
        "courses": {title: figure for title, figure in figures.items() if figure},
    }


def _course(chapter: Chapter, moments: Sequence[tuple[int, Report]]) -> Course:
    found = [
        (step, check.metrics)
        for step, report in moments
        for check in report.checks
        if check.id == chapter.check
    ]
    return Course(chapter, tuple(found))


def cautions(shown: Sequence[Subject]) -> list[str]:
    """Why numbers of different models may not be comparable."""
    reports = [subject.report for subject in shown]
    differing: dict[str, Collection[object]] = {
        "on different data": {report.data.sha256 for report in reports},
        "for different distances": {report.distance for report in reports},
        "with different versions of SeqProbe": {r.environment.seqprobe for r in reports},
        "on different machines": {
            (r.environment.platform, r.environment.device, r.environment.dtype) for r in reports
        },
    }
    return [
        f"These models were measured {how}: compare their numbers with care."
        for how, values in differing.items()
        if len(values) > 1
    ]


@cache
def _template_environment() -> Environment:
    made = environment(autoescape=True)
    made.globals |= {"css": style(), "script": script(), "glossary": GLOSSARY}
    return made
