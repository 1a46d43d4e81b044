"""The reports as JSON inside the page, so that the page is enough to read them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from markupsafe import Markup

from seqprobe.records import Steps
from seqprobe.report import Report

COMPARISON = "seqprobe.comparison/1"


def embedded(reports: Sequence[Report], steps: Steps | None = None) -> Markup:
    """JSON that no HTML parser can leave early."""
    text = json.dumps(_contents(reports, steps), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _contents(reports: Sequence[Report], steps: Steps | None) -> dict[str, Any]:
    if steps is not None:
        inner = [replace(report, tables=()) for report in reports[1:-1]]
        contents = [report.to_dict() for report in (reports[0], *inner, reports[-1])]
        return {"schema": COMPARISON, "reports": contents, "steps": asdict(steps)}
    contents = [report.to_dict() for report in reports]
    return contents[0] if len(contents) == 1 else {"schema": COMPARISON, "reports": contents}
