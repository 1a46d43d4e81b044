"""How templates are filled: strictly, and with numbers written as everywhere else."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seqprobe_reports import numbers
from seqprobe_reports.sections import by_severity


def environment(**settings: Any) -> Environment:
    """Of all templates; how they escape is theirs to say."""
    made = Environment(
        loader=PackageLoader("seqprobe_reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )
    written = ("amount", "cell", "difference", "duration", "estimate", "null", "number", "sample")
    made.filters |= {name: getattr(numbers, name) for name in (*written, "support")}
    made.filters["by_severity"] = by_severity
    return made
