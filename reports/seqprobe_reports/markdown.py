"""A summary for pull requests, as GitHub reads Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment

from seqprobe.diagnosis.comparison import side_by_side
from seqprobe.names import printable
from seqprobe.records import Check
from seqprobe.report import Comparison, Report
from seqprobe_reports import numbers
from seqprobe_reports.compared import compared
from seqprobe_reports.environment import environment
from seqprobe_reports.sections import sections
from seqprobe_reports.subjects import on_view

MOST = 60_000
"""Bytes; GitHub takes 65,536 characters in a comment."""
LONGEST = 400
"""Characters of one name or sentence."""
_CUT = "\n*Cut here: the page holds the rest.*\n"
_APART = "&#8203;"
"""A space without width: what stands before it becomes no mention, no link and no emoji."""
_LINKING = re.compile(r"@|#(?=\w)|GH-(?=\d)|www\.|:(?=//|\d*[a-z_][\w+-]*:|[+-]1:)")
_MARKUP = re.compile(r"[\\`*<|~$]|#(?!\w)|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")


def render(what: Comparison | Sequence[Report]) -> str:
    """Verdict, findings and a table of all checks, shorter than GitHub's limit.

    Of several models also what differs; of checkpoints of one training the first and the last one
    are shown.
    """
    comparison = what if isinstance(what, Comparison) else side_by_side(what)
    shown = on_view(comparison)
    parts = sections(shown)
    content = compared(comparison) | {
        "subjects": shown,
        "steps": comparison.steps,
        "sections": parts,
        "titles": {part.id: part.text.title for part in parts},
    }
    return fitted(_environment().get_template("summary.md").render(content))


def fitted(text: str) -> str:
    """Cut at the end of a line, where there are too many."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= MOST:
        return whole.decode()
    kept = whole[: MOST - len(_CUT)].decode("utf-8", "ignore")
    return kept[: kept.rfind("\n") + 1] + _CUT


def escaped(value: object) -> str:
    r"""Text that GitHub shows as it is, on one line: no markup, HTML, mention or link.

    >>> escaped("a|b\n<b> @you #1 x_y _z_")
    'a\\|b \\<b> @&#8203;you #&#8203;1 x_y \\_z\\_'
    """
    text = str(value)
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    text = _MARKUP.sub(r"\\\g<0>", printable(text).replace("&", "&amp;"))
    return _LINKING.sub(rf"\g<0>{_APART}", text)


def headline_number(check: Check | None) -> str:
    """The number that a check comes down to, by name and with its interval."""
    if check is None:
        return ""
    for name, found in check.metrics.items():
        interval = (found.low, found.high) if (found.low, found.high) != (None, None) else None
        if (found.value, found.unit, interval) == (check.value, check.unit, check.interval):
            return f"{name.replace('_', ' ')}: {numbers.estimate(found)}"
    return ""


@cache
def _environment() -> Environment:
    made = environment(finalize=escaped, keep_trailing_newline=True)
    made.filters["headline_number"] = headline_number
    return made
