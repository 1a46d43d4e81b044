"""The summary for CI servers holds what Jenkins and GitLab read, and fails on what it has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from seqprobe.report import Comparison, Report

ATTRIBUTES = {
    "testsuites": ({"name", "tests", "failures", "errors"}, {"time"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"timestamp"}),
    "properties": (set(), set()),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, set()),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message"}, {"type"}),
    "system-out": (set(), set()),
    "system-err": (set(), set()),
}
"""What each element must have and may have, of what the schema of Jenkins' xUnit plugin allows."""
INSIDE = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-err"],
    "properties": ["property"],
    "testcase": ["failure", "error", "skipped", "system-out"],
}


def read(report: Report | Comparison, **asked: str) -> Element:
    return ElementTree.fromstring(report.render(".xml", **asked))


def outcome(case: Element) -> str:
    found = [tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None]
    assert len(found) <= 1
    return found[0] if found else "passed"


def outcomes(root: Element) -> dict[str, str]:
    return {case.attrib["name"]: outcome(case) for case in root.iter("testcase")}


@pytest.fixture(scope="module")
def many(report: Report) -> Element:
    """Three models, two of the same name, one with warnings."""
    return read(Comparison((report, replace(report, warnings=("cut short",)), replace(report))))


def test_elements_and_attributes_are_those_of_the_schema(many: Element) -> None:
    for element in many.iter():
        needed, allowed = ATTRIBUTES[element.tag]
        assert needed <= set(element.attrib) <= needed | allowed
        assert {child.tag for child in element} <= set(INSIDE.get(element.tag, ()))


def test_counts_and_seconds_add_up(many: Element) -> None:
    suites = many.findall("testsuite")
    for suite in suites:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases) == 18
        for count, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert int(suite.attrib[count]) == sum(outcome(case) == tag for case in cases) == 1
        seconds = sum(float(case.attrib["time"]) for case in cases)
        assert float(suite.attrib["time"]) == pytest.approx(seconds, abs=1e-3)
        assert suite.attrib["timestamp"] == "2025-06-01T12:00:00"
    for count in ("tests", "failures", "errors"):
        assert int(many.attrib[count]) == sum(int(suite.attrib[count]) for suite in suites)


def test_a_suite_is_a_model_and_a_case_is_a_check(many: Element, report: Report) -> None:
    names = ["lstm.pt (1)", "lstm.pt (2)", "lstm.pt (3)"]
    assert [suite.attrib["name"] for suite in many] == names
    for suite, name in zip(many, names, strict=True):
        cases = suite.findall("testcase")
        assert {case.attrib["classname"] for case in cases} == {f"seqprobe.{name}"}
        assert [case.attrib["name"] for case in cases] == [check.id for check in report.checks]
    assert [suite.findtext("system-err") for suite in many] == [None, "cut short", None]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"gradient-decay": "failure", "position": "passed"}),
        ({"fail_on": "problem"}, {"gradient-decay": "failure", "position": "passed"}),
        ({"fail_on": "attention"}, {"gradient-decay": "failure", "position": "failure"}),
    ],
)
def test_findings_fail_from_what_was_asked_on(
    asked: dict[str, str], expected: dict[str, str], report: Report
) -> None:
    found = outcomes(read(report, **asked))
    assert {id: how for id, how in found.items() if how != "passed"} == {
        **{id: how for id, how in expected.items() if how == "failure"},
        "not-run": "skipped",
        "failed": "error",
    }


def test_a_failure_says_all_that_is_needed(report: Report) -> None:
    found = replace(report.findings[0], consequence="It forgets.")
    (failure,) = read(replace(report, findings=(found,))).findall(".//failure")
    assert failure.attrib == {"message": found.statement, "type": found.rule}
    assert (failure.text or "").splitlines() == [
        f"problem: {found.statement} It forgets.",
        "Evidence: gradient-decay.horizon = 54 steps [48, 61] "
        "(95 % interval · null (no decay) 1.5 steps · n = 32)",
        f"Threshold: {found.threshold} (our convention: {found.reference})",
        f"Do this: {found.remedy}",
        f"Wrong if: {found.falsified_by}",
    ]


def test_what_does_not_fail_is_said_all_the_same(report: Report) -> None:
    case = read(report).find(".//testcase[@name='position']")
    assert case is not None
    said = case.findtext("system-out") or ""
    assert said.startswith("The answer of position in one sentence.\nattention: Beyond 54 steps")


def test_several_findings_of_a_check_are_one_failure(report: Report) -> None:
    other = replace(report.findings[0], rule="other", statement="And worse.")
    both = replace(report, findings=(*report.findings, other))
    (failure,) = read(both).findall(".//failure")
    assert failure.attrib["message"] == f"{report.findings[0].statement} And worse."
    assert (failure.text or "").count("Do this:") == 2


def test_a_finding_about_no_check_of_the_report_is_not_lost(report: Report) -> None:
    stray = replace(report, findings=(replace(report.findings[0], check="elsewhere"),))
    assert outcomes(read(stray))["elsewhere"] == "failure"


def test_what_was_found_of_a_failed_check_is_said(report: Report) -> None:
    broken = replace(report.checks[0], status="error", error="ValueError: no")
    case = read(replace(report, checks=(broken,), findings=report.findings[:1])).find(".//testcase")
    assert case is not None
    assert outcome(case) == "error"
    assert "Beyond 54 steps gradient-decay finds nothing." in (case.findtext("system-out") or "")


def test_where_it_comes_from(report: Report) -> None:
    root = read(report, fail_on="attention")
    properties = {p.attrib["name"]: p.attrib["value"] for p in root.iter("property")}
    assert properties["SHA-256 of the file"] == report.model.sha256
    assert properties["Command"] == "seqprobe analyze lstm.pt"
    assert properties["Fails on"] == "attention"


def test_no_text_breaks_the_file(hostile: Report) -> None:
    found = replace(hostile.findings[0], statement="\x00\x1b\ud800\uffff]]><failure/>&amp;")
    text = replace(hostile, findings=(found,), created="\x00").render(".xml")
    root = ElementTree.fromstring(text.encode())
    (failure,) = root.findall(".//failure")
    assert failure.attrib["message"] == "\ufffd" * 4 + "]]><failure/>&amp;"
    assert root[0].attrib["name"].startswith("</script>")
    assert "timestamp" not in root[0].attrib


def test_a_time_elsewhere_is_told_in_utc(report: Report) -> None:
    root = read(replace(report, created="2025-06-01T12:00:00+05:30"))
    assert root[0].attrib["timestamp"] == "2025-06-01T06:30:00"


def test_a_training_has_a_suite_for_each_checkpoint(three: Sequence[Report]) -> None:
    from seqprobe.records import Steps

    steps = Comparison(tuple(three), steps=Steps((1, 2, 3), "names"))
    assert [suite.attrib["name"] for suite in read(steps)] == ["lstm.pt", "gru.pt", "attention.pt"]
