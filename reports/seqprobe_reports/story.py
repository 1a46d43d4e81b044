"""The page of a training: what changed while the model learned, and which warnings rang."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from markupsafe import Markup

from seqprobe.results import Estimate
from seqprobe.training.lines import Line
from seqprobe.training.story import Rung, Story
from seqprobe_reports import numbers
from seqprobe_reports.chapters import Chapter, chapters
from seqprobe_reports.course import Course
from seqprobe_reports.facts import words
from seqprobe_reports.figures import through_training
from seqprobe_reports.figures.over_steps import spread
from seqprobe_reports.page import fitted


@dataclass(frozen=True)
class HowFar:
    """A quantity of the reach profile at the first and at the last measurement."""

    name: str
    meaning: str
    check: str
    metric: str


FAR = (
    HowFar("sensitivity", "has a gradient over", "gradient-decay", "horizon"),
    HowFar("sensitivity, drawn", "has a gradient over", "gradient-draw", "horizon"),
    HowFar("use", "uses single inputs over", "position", "horizon"),
    HowFar("use", "needs a context of", "context", "effective_length"),
    HowFar("storage", "keeps something in its state over", "bottleneck", "horizon"),
)


@dataclass(frozen=True)
class Told:
    """One section of the page."""

    story: Story
    chapter: Chapter

    @cached_property
    def lines(self) -> list[Line]:
        """What was measured of it, by step."""
        return self.story.of(self.chapter.check)

    @property
    def measured(self) -> list[Line]:
        """Those with numbers."""
        return [line for line in self.lines if line.metrics]

    @property
    def last(self) -> Line:
        """The latest measurement."""
        return self.measured[-1]

    @cached_property
    def course(self) -> Course:
        """Its numbers over the steps."""
        return Course(self.chapter, tuple((line.step, line.metrics) for line in self.measured))

    def rows(self, most: int) -> list[Line]:
        """Measurements for the table, evenly chosen where there are too many."""
        kept = {*spread((line.step for line in self.measured), most)}
        return [line for line in self.measured if line.step in kept]

    @cached_property
    def figure(self) -> Markup:
        """Its leading numbers over the steps, with marks where a warning rang."""
        marks = {line.step: "▲" for line in self.lines if line.findings}
        return self.course.figure(
            self.last.headline, distance=self.story.training.distance, marks=marks
        )

    @cached_property
    def through(self) -> Markup:
        """Its curve over distance at some of the steps."""
        return Markup(through_training.draw(self.story, self.chapter.check))


def render(story: Story) -> str:
    """The page as one HTML text that needs nothing else, not even a network."""
    told = [Told(story, chapter) for chapter in chapters(story.checks)]
    measured = [each for each in told if each.measured]
    last = max((line.step for line in story.lines), default=story.training.start)
    return fitted(
        "story.html",
        {
            "story": story,
            "last_step": last,
            "verdict": verdict(measured, last),
            "cautions": cautions(story),
            "far": far(measured),
            "told": measured,
            "missing": missing(story.lines),
            "rung": together(story.rung),
            "facts": {name: words(value) for name, value in asdict(story.training).items()},
        },
    )


def far(told: Sequence[Told]) -> list[tuple[HowFar, Line, Line]]:
    """How far the model saw when it was measured first and last, by quantity."""
    by_check = {each.chapter.check: each.measured for each in told}
    return [
        (each, lines[0], lines[-1])
        for each in FAR
        if (lines := [line for line in by_check.get(each.check, ()) if each.metric in line.metrics])
    ]


def verdict(told: Sequence[Told], step: int) -> str:
    """One sentence about the last measurements."""
    after, said = f"After {numbers.amount(step, 'updates')}", []
    for each, _, last in far(told):
        found = last.metrics[each.metric]
        if _known(found) and each.name != "sensitivity, drawn":
            said.append(f"{each.meaning} {numbers.estimate(found)}")
    if not said:
        return f"{after}: {told[0].last.headline if told else 'nothing was measured.'}"
    parts = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
    return f"{after} the model {parts}."


def _known(found: Estimate) -> bool:
    return any(end is not None for end in (found.value, found.low, found.high))


def cautions(story: Story) -> list[str]:
    """Why numbers of different steps may not be comparable."""
    later = story.trainings[1:]
    if not later:
        return []
    at = ", ".join(numbers.number(training.start) for training in later)
    said = [
        f"The training was resumed at step {at}. What extra passes read may be other sequences "
        "from there on, unless the same ones were held out."
    ]
    if len({training.distance for training in story.trainings}) > 1:
        said.append("Sessions asked about different distances: compare their numbers with care.")
    return said


def missing(lines: Sequence[Line]) -> dict[tuple[str, str], list[int]]:
    """What could not be measured, and why: the steps at which that was so."""
    found: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        if line.why_not:
            found.setdefault((line.check, line.why_not), []).append(line.step)
    return found


def together(rung: Sequence[Rung]) -> list[tuple[Rung, list[int]]]:
    """Each warning as it rang last, with all steps at which it did."""
    by_rule: dict[tuple[str, str], list[Rung]] = {}
    for each in rung:
        by_rule.setdefault((each.finding.check, each.finding.rule), []).append(each)
    return [(each[-1], [one.step for one in each]) for each in by_rule.values()]
