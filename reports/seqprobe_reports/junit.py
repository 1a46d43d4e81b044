"""A summary for CI servers: checks as test cases, as JUnit writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from seqprobe.names import printable
from seqprobe.records import Check
from seqprobe.report import Comparison, Report
from seqprobe.results import AT_LEAST, Finding, Gravity
from seqprobe_reports import facts, numbers
from seqprobe_reports.sections import WITHOUT_RESULT, by_severity
from seqprobe_reports.subjects import Subject, subjects


def render(what: Comparison | Sequence[Report], fail_on: Gravity = "problem") -> str:
    """One test suite per model, one test case per check.

    Findings at least as grave as `fail_on` are failures; less grave ones are said in the output of
    their test case. What did not run or does not apply is skipped.
    """
    suites = Element("testsuites", name="seqprobe")
    for subject in subjects(what.reports if isinstance(what, Comparison) else what):
        suites.append(_suite(subject, fail_on))
    for count in ("tests", "failures", "errors"):
        suites.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode")


def _suite(subject: Subject, fail_on: Gravity) -> Element:
    report = subject.report
    suite = Element("testsuite", {"name": subject.name} | _timestamp(report.created))
    properties = SubElement(suite, "properties")
    for name, value in _provenance(subject, fail_on).items():
        SubElement(properties, "property", name=printable(name), value=printable(value))
    cases = [_case(subject, check, fail_on) for check in _checks(report)]
    suite.extend(cases)
    if report.warnings:
        SubElement(suite, "system-err").text = _lines(report.warnings)
    suite.set("tests", str(len(cases)))
    for count, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{sum(check.seconds for check in report.checks):.3f}")
    return suite


def _timestamp(created: str) -> dict[str, str]:
    """In UTC and without saying so, as servers read it."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return {}
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return {"timestamp": utc.strftime("%Y-%m-%dT%H:%M:%S")}


def _provenance(subject: Subject, fail_on: Gravity) -> dict[str, str]:
    alone = [subject]
    known = facts.model(alone) | facts.data(alone) | facts.provenance(alone)
    return {name: value for name, (value,) in known.items()} | {"Fails on": fail_on}


def _checks(report: Report) -> list[Check]:
    """All of them, and one for each finding whose check is not in the report."""
    known = [check.id for check in report.checks]
    others = dict.fromkeys(found.check for found in report.findings if found.check not in known)
    return [*report.checks, *(Check(id, 0, id, "", "info", "") for id in others)]


def _case(subject: Subject, check: Check, fail_on: Gravity) -> Element:
    case = Element(
        "testcase",
        classname=f"seqprobe.{subject.name}",
        name=printable(check.id),
        time=f"{check.seconds:.3f}",
    )
    found = by_severity([each for each in subject.report.findings if each.check == check.id])
    failed = check.status == "error"
    failing = [each for each in found if each.status in AT_LEAST[fail_on] and not failed]
    if failed:
        _add(case, "error", check.error or check.headline, [check.error], check.status)
    elif failing:
        message = " ".join(each.statement for each in failing)
        _add(case, "failure", message, map(_said, failing), failing[0].rule)
    elif check.status in WITHOUT_RESULT:
        _add(case, "skipped", check.headline, [], check.status)
    SubElement(case, "system-out").text = _lines(
        [check.headline, *(_said(each) for each in found if each not in failing)]
    )
    return case


def _add(case: Element, tag: str, message: str, lines: Iterable[str], type: str) -> None:
    SubElement(case, tag, message=printable(message), type=printable(type)).text = _lines(lines)


def _said(found: Finding) -> str:
    """A finding on several lines: what, with its number and threshold, so what, and what to do."""
    number = f"{numbers.estimate(found.evidence)} ({numbers.support(found.evidence)})"
    return "\n".join(
        [
            f"{found.status}: {found.statement} {found.consequence}",
            f"Evidence: {found.check}.{found.metric} = {number}",
            f"Threshold: {found.threshold} ({found.source}: {found.reference})",
            f"Do this: {found.remedy}",
            f"Wrong if: {found.falsified_by}",
        ]
    )


def _lines(texts: Iterable[str]) -> str:
    """Without the characters that XML forbids."""
    return "\n".join(printable(line) for text in texts for line in text.split("\n"))
