"""The reports as JSON inside the page, so that the page is enough to read them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from seqprobe.report import Report

COMPARISON = "seqprobe.comparison/1"


def embedded(reports: Sequence[Report]) -> Markup:
    """JSON that no HTML parser can leave early."""
    text = json.dumps(_contents(reports), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _contents(reports: Sequence[Report]) -> dict[str, Any]:
    contents = [report.to_dict() for report in reports]
    return contents[0] if len(contents) == 1 else {"schema": COMPARISON, "reports": contents}
