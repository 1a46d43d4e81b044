"""`seqprobe report` writes every form, to a file or to be read on, and fails where it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from seqprobe.records import Steps
from seqprobe.report import Comparison, Report
from seqprobe_cli.main import main

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds a report, and no page is drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqprobe_reports.page.render", lambda *_given: "<!doctype html>")
    report.save("a.json")
    return tmp_path


@pytest.fixture
def run() -> Run:
    def invoke(*words: str) -> Result:
        result = CliRunner().invoke(main, ["report", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return invoke


@pytest.fixture
def refuse(run: Run, folder: Path) -> Callable[..., str]:
    """What is said instead of writing anything."""

    def invoke(*words: str) -> str:
        before = sorted(folder.iterdir())
        result = run(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert sorted(folder.iterdir()) == before
        return result.stderr

    return invoke


@pytest.mark.parametrize(("form", "ending"), [("md", ".md"), ("junit", ".xml"), ("json", ".json")])
def test_texts_go_on_or_into_a_file(
    form: str, ending: str, run: Run, folder: Path, report: Report
) -> None:
    shown = run("a.json", "--format", form)
    assert (shown.exit_code, shown.stdout) == (0, report.render(ending))
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    for words in (("--format", form), ()):
        written = run("a.json", *words, "-o", f"b{ending}")
        assert (written.exit_code, written.stdout) == (0, f"b{ending}\n")
        assert (folder / f"b{ending}").read_text() == shown.stdout


def test_a_page_is_written_beside_the_report(run: Run, folder: Path) -> None:
    for words in ((), ("--format", "html")):
        assert run("a.json", *words).stdout == "a.html\n"
        assert (folder / "a.html").read_text() == "<!doctype html>"


def test_json_is_the_report(run: Run, report: Report) -> None:
    assert json.loads(run("a.json", "--format", "json").stdout) == report.to_dict()


@pytest.mark.parametrize(
    ("graver", "fail_on", "exit_code"),
    [
        ("problem", None, 0),
        ("problem", "problem", 1),
        ("problem", "attention", 1),
        ("attention", "problem", 0),
        ("attention", "attention", 1),
        ("info", "attention", 0),
    ],
)
@pytest.mark.parametrize("form", ["html", "md", "junit"])
def test_fails_on_findings_without_measuring_again(
    graver: str, fail_on: str | None, exit_code: int, form: str, run: Run, report: Report
) -> None:
    found = replace(report.findings[0], status=graver)
    replace(report, findings=(found,)).save("b.json")
    words = ("--fail-on", fail_on) if fail_on else ()
    result = run("b.json", "--format", form, *words)
    assert result.exit_code == exit_code
    assert result.stdout
    if form == "junit":
        failures = ElementTree.fromstring(result.stdout).attrib["failures"]
        assert failures == str(exit_code if fail_on else int(graver == "problem"))


def test_a_model_of_several_is_enough_to_fail(run: Run, three: Sequence[Report]) -> None:
    clean = [replace(report, findings=()) for report in three]
    Comparison(tuple(clean)).save("clean.json")
    Comparison((*clean[:2], three[2])).save("one.json")
    asked = ("--format", "md", "--fail-on", "problem")
    assert [run(name, *asked).exit_code for name in ("clean.json", "one.json")] == [0, 1]


def test_a_run_that_was_cut_short_does_not_pass(run: Run, report: Report) -> None:
    from seqprobe.assembly import CUT_SHORT

    cut = replace(report, findings=(), warnings=(f"Interrupted {CUT_SHORT}",))
    cut.save("b.json")
    assert run("b.json", "--format", "md").exit_code == 0
    assert run("b.json", "--format", "md", "--fail-on", "problem").exit_code == 130


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--format", "md", "-o", "b.html"),
            "-o has another ending than --format md; got 'b.html'",
        ),
        (("--format", "junit", "-o", "b.md"), "expected a name such as report.xml. Leave one of"),
        (("-o", "b.pdf"), "no renderer for .pdf; expected .json, .html, .md, .xml."),
        (("-o", "b"), "no renderer for a file without an ending"),
        (("--format", "pdf"), "'pdf' is not one of 'html', 'md', 'junit', 'json'"),
        (("--fail-on", "info"), "'info' is not one of 'attention', 'problem'"),
    ],
)
def test_refusals(words: Sequence[str], message: str, refuse: Callable[..., str]) -> None:
    assert message in refuse("a.json", *words)


@pytest.mark.parametrize("form", ["md", "junit"])
@pytest.mark.parametrize("steps", [None, Steps((), "names")])
def test_a_comparison_of_nothing_does_not_pass(
    form: str, steps: Steps | None, refuse: Callable[..., str]
) -> None:
    Comparison((), steps=steps).save("none.json")
    assert "there is no report to show; got none. Give" in refuse("none.json", "--format", form)


@pytest.mark.parametrize("words", [("--format", "md"), ("--fail-on", "problem")])
def test_the_story_of_a_training_has_its_page_alone(
    words: Sequence[str], refuse: Callable[..., str], folder: Path
) -> None:
    (folder / "run.jsonl").write_text("")
    assert "run.jsonl: the story of a training has no findings to fail" in refuse(
        "run.jsonl", *words
    )


def test_a_page_is_not_written_over_itself(refuse: Callable[..., str], folder: Path) -> None:
    (folder / "a.html").write_text("<!doctype html>")
    said = refuse("a.html")
    assert "a.html: the page that is read would be written over" in said
    assert "Name another one with -o." in said
    assert (folder / "a.html").read_text() == "<!doctype html>"
