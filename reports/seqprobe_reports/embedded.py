"""The reports as JSON inside the page, so that the page is enough to read them again."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from markupsafe import Markup

from seqprobe.report import Comparison


def embedded(comparison: Comparison) -> Markup:
    """JSON that no HTML parser can leave early; of a training without the tables in between."""
    whole = comparison
    if comparison.steps is not None:
        first, *inner, last = comparison.reports
        short = (replace(report, tables=()) for report in inner)
        whole = replace(comparison, reports=(first, *short, last))
    contents = whole.reports[0] if len(whole.reports) == 1 else whole
    text = json.dumps(asdict(contents), allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
