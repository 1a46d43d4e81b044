"""How a training's story looks in a terminal: numbers, how they changed, what rang."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seqprobe.names import printable
from seqprobe.results import Estimate
from seqprobe.training.story import Story
from seqprobe_reports import numbers
from seqprobe_reports.chapters import Chapter, chapters

BARS, WIDTH, WIDE = "▁▂▃▄▅▆▇█", 24, 100
_COLORS = {"problem": "red", "attention": "yellow"}


def view(story: Story) -> RenderableType:
    """One screen: warnings first, then a line for each number."""
    return Group(_title(story), *_warnings(story), _table(story))


def spark(estimates: Sequence[Estimate]) -> str:
    """Bars between the least and the largest value; an arrow where only a bound is known.

    Far apart, positive values are shown by their logarithms.

    >>> beyond = Estimate.missing("steps", "no end in sight", low=4.0)
    >>> spark([Estimate(1.0, "steps"), Estimate(2.0, "steps"), beyond, Estimate(4.0, "steps")])
    '▁▃↑█'
    """
    few = estimates[:: max(1, -(-len(estimates) // WIDTH))]
    known = [found.value for found in few if found.value is not None]
    wide = bool(known) and min(known) > 0 and max(known) > WIDE * min(known)
    scaled = math.log if wide else float
    low, high = (scaled(end(known, default=1.0)) for end in (min, max))
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(
        _gap(found) if found.value is None else BARS[round((scaled(found.value) - low) / step)]
        for found in few
    )


def _gap(found: Estimate) -> str:
    """Where the truth lies, if only one bound is known."""
    bounds = (found.low is None, found.high is None)
    return {(False, True): "↑", (True, False): "↓"}.get(bounds, " ")


def change(first: Estimate, last: Estimate) -> str:
    """From the first to the last value: a factor where it is large, else a difference.

    >>> change(Estimate(2.0, "steps"), Estimate(3.5, "steps"))
    '+1.5'
    >>> change(Estimate(0.001, ""), Estimate(0.1, ""))
    '× 100'
    """
    if first.value is None or last.value is None:
        return ""
    if first.value > 0 and last.value > 0 and not 0.1 < last.value / first.value < 10:
        return f"× {numbers.number(last.value / first.value)}"
    difference = last.value - first.value
    return f"{'+' if difference > 0 else ''}{numbers.number(difference)}"


def _title(story: Story) -> Text:
    training = story.training
    last = max((line.step for line in story.lines), default=training.start)
    return Text(
        f"{printable(training.name)}, {numbers.number(training.parameters)} parameters: "
        f"step {numbers.number(last)}; asked about {numbers.amount(training.distance, 'steps')}",
        style="bold",
    )


def _warnings(story: Story) -> list[Text]:
    """The last time that each rule rang."""
    latest = {(rung.finding.check, rung.finding.rule): rung for rung in story.rung}
    return [
        Text(
            f"▲ step {numbers.number(step)}, {found.status}: {printable(found.statement)} "
            f"{printable(found.remedy)}",
            style=_COLORS.get(found.status, ""),
        )
        for step, found in latest.values()
    ]


def _table(story: Story) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("", "last", "since the first", "over the steps"):
        table.add_column(head, style="dim" if head.startswith("since") else "")
    for chapter in chapters(story.checks):
        for row in _rows(story, chapter):
            table.add_row(*row)
    return table


def _rows(story: Story, chapter: Chapter) -> list[tuple[Text, ...]]:
    lines = [line for line in story.of(chapter.check) if line.metrics]
    if not lines:
        why = story.of(chapter.check)[-1].why_not
        return [(Text(printable(chapter.check)), Text(printable(why), style="dim"))]
    rows = [_row(story, chapter, name) for name in chapter.drawn(story.metrics(chapter.check))]
    title = Text(printable(chapter.title), style="bold")
    step = Text(f"step {numbers.number(lines[-1].step)}", style="dim")
    return [(title, step), *rows]


def _row(story: Story, chapter: Chapter, metric: str) -> tuple[Text, ...]:
    estimates = [found for _, found in story.curve(chapter.check, metric)]
    valued = [found for found in estimates if found.value is not None]
    words = (
        f"  {printable(metric.replace('_', ' '))}",
        printable(numbers.estimate(estimates[-1])),
        change(valued[0], estimates[-1]) if valued else "",
        spark(estimates),
    )
    return tuple(map(Text, words))
