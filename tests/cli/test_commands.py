"""Every command does what its help says."""

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import seqprobe
from seqprobe.reference.language_models import build
from seqprobe_cli.main import main

Run = Callable[..., Any]
SMALL = ("--length", "32", "--limit", "8")
QUICK = (*SMALL, "--probe", "gradient-decay")


def last_line(output: str) -> str:
    return output.splitlines()[-1]


def ids(report: Path) -> list[str]:
    return [check["id"] for check in json.loads(report.read_text())["checks"]]


def test_help_of_every_command(run: Run) -> None:
    commands = [
        "analyze",
        "compare",
        "inspect",
        "report",
        "watch",
        "train",
        "probe",
        "data",
        "doctor",
    ]
    assert sorted(main.commands) == sorted(commands)
    for words in ([], *([name] for name in commands), ["probe", "show"], ["data", "list"]):
        result = run(*words, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: ")


def test_exit_codes_are_in_the_help(run: Run) -> None:
    said = run("--help").stdout
    codes = "0 done", "1 findings", "2 usage", "3 model", "4 file", "70 a bug", "130 inter", "141"
    for code in codes:
        assert code in said


def test_version(run: Run) -> None:
    assert metadata.version("seqprobe") in run("--version").stdout


class TestAnalyze:
    def test_writes_page_and_json(self, run: Run, tiny: Path, text: Path, folder: Path) -> None:
        result = run("analyze", tiny, "--data", text, *SMALL)
        assert result.exit_code == 0, result.output
        assert last_line(result.stdout) == "gru-report.html"
        assert sorted(p.name for p in folder.iterdir()) == ["gru-report.html", "gru-report.json"]
        report = json.loads((folder / "gru-report.json").read_text())
        assert report["schema"] == "seqprobe.report/1"
        assert report["model"]["name"] == "gru.pt"
        assert [check["id"] for check in report["checks"]] == list(
            dict.fromkeys(check["id"] for check in report["checks"])
        )
        assert {check["status"] for check in report["checks"]} <= {
            "problem", "attention", "fine", "info", "not applicable",
        }  # fmt: skip
        assert report["data"]["source"] == "book.txt, held-out text as bytes"
        page = (folder / "gru-report.html").read_text()
        assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
        assert "gru.pt: recurrent, " in result.stdout
        for check in report["checks"]:
            assert re.search(rf"^  {check['id']} ", result.stdout, re.MULTILINE)

    def test_names_of_the_outputs(self, run: Run, tiny: Path, folder: Path) -> None:
        words = ("analyze", tiny, "--data", "synthetic:iid", *QUICK)
        result = run(*words, "-o", "out/page.html", "--json", "data/numbers.json")
        assert result.exit_code == 0, result.output
        assert last_line(result.stdout) == "out/page.html"
        assert (folder / "out" / "page.html").stat().st_size > 10_000
        assert ids(folder / "data" / "numbers.json") == ["gradient-decay"]

    @pytest.mark.usefixtures("plain_page")
    def test_text_that_the_model_writes(self, run: Run, tiny: Path, folder: Path) -> None:
        result = run("analyze", tiny, "--length", "32", "--limit", "3", "--probe", "path-length")
        assert result.exit_code == 0, result.output
        report = json.loads((folder / "gru-report.json").read_text())
        assert report["data"]["source"] == "text sampled from the model itself"

    @pytest.mark.usefixtures("plain_page")
    def test_the_length_is_what_the_model_takes(self, run: Run, short: Path, folder: Path) -> None:
        words = ("--data", "synthetic:copy", "--limit", "8", "--probe", "gradient-decay")
        result = run("analyze", short, *words)
        assert result.exit_code == 0, result.output
        report = json.loads((folder / "attention-report.json").read_text())
        assert report["data"]["tokens"] == 8 * 16

    @pytest.mark.usefixtures("plain_page")
    def test_own_factory(self, run: Run, folder: Path) -> None:
        module = build("lstm", vocab_size=7, width=8, layers=1)
        torch.save({"model": module.state_dict()}, folder / "own.pt")
        settings = ("--set", "kind=lstm", "--set", "width=8", "--set", "vocab_size=7")
        factory = "seqprobe.reference.language_models:build"
        words = ("--model", factory, *settings, "--set", "layers=1", "--data", "synthetic:iid")
        result = run("analyze", "own.pt", *words, *QUICK)
        assert result.exit_code == 0, result.output
        report = json.loads((folder / "own-report.json").read_text())
        assert report["model"]["source"] == "factory"

    @pytest.mark.usefixtures("plain_page")
    def test_equal_seeds_give_equal_reports(self, run: Run, tiny: Path, folder: Path) -> None:
        reports = []
        for number, seed in enumerate((0, 0, 1)):
            name = f"{number}.html"
            run("analyze", tiny, "--data", "synthetic:iid", *QUICK, "--seed", seed, "-o", name)
            reports.append(json.loads((folder / f"{number}.json").read_text())["tables"])
        assert reports[0] == reports[1] != reports[2]


@pytest.mark.usefixtures("plain_page")
class TestFailOn:
    """A freshly made recurrent model forgets: a finding is certain."""

    def statuses(self, report: Path) -> list[str]:
        return [finding["status"] for finding in json.loads(report.read_text())["findings"]]

    @pytest.mark.parametrize("fail_on", ["attention", "problem"])
    def test_exit_code(self, run: Run, tiny: Path, folder: Path, fail_on: str) -> None:
        words = ("--data", "synthetic:iid", "--length", "128", "--limit", "16")
        result = run("analyze", tiny, *words, "--probe", "gradient-decay", "--fail-on", fail_on)
        found = self.statuses(folder / "gru-report.json")
        counted = {"attention": {"attention", "problem"}, "problem": {"problem"}}[fail_on]
        assert set(found) & {"attention", "problem"}, "nothing to fail on: the test is void"
        assert result.exit_code == int(bool(set(found) & counted))
        assert last_line(result.stdout) == "gru-report.html"

    def test_without_it_findings_are_no_failure(self, run: Run, tiny: Path) -> None:
        words = ("--data", "synthetic:iid", "--length", "128", "--limit", "16")
        assert run("analyze", tiny, *words, "--probe", "gradient-decay").exit_code == 0

    def test_unknown_gravity(self, refuse: Run, tiny: Path) -> None:
        assert "'bad' is not one of" in refuse(2, "analyze", tiny, "--fail-on", "bad")


class TestCompare:
    @pytest.mark.usefixtures("plain_page")
    def test_checkpoints(self, run: Run, tiny: Path, folder: Path) -> None:
        (folder / "other.pt").write_bytes(tiny.read_bytes())
        result = run("compare", tiny, "other.pt", "--data", "synthetic:iid", *QUICK)
        assert result.exit_code == 0, result.output
        assert last_line(result.stdout) == "comparison.html"
        whole = json.loads((folder / "comparison.json").read_text())
        assert whole["schema"] == "seqprobe.comparison/1"
        assert [r["model"]["name"] for r in whole["reports"]] == ["gru.pt", "other.pt"]
        assert whole["reports"][0]["tables"] == whole["reports"][1]["tables"], "same sequences"

    @pytest.mark.usefixtures("plain_page")
    def test_checkpoints_of_one_training(self, run: Run, tiny: Path, folder: Path) -> None:
        (folder / "run").mkdir()
        for name in ("step=20.pt", "step=3.pt"):
            (folder / "run" / name).write_bytes(tiny.read_bytes())
        result = run("compare", "run", "--data", "synthetic:iid", *QUICK)
        assert result.exit_code == 0, result.output
        whole = json.loads((folder / "comparison.json").read_text())
        assert whole["steps"] == {"values": [3, 20], "told_by": "'step' in their names"}
        assert [r["model"]["name"] for r in whole["reports"]] == ["step=3.pt", "step=20.pt"]

    def test_checkpoints_of_unknown_steps(self, refuse: Run, tiny: Path, folder: Path) -> None:
        (folder / "run").mkdir()
        for name in ("best.pt", "last.pt"):
            (folder / "run" / name).write_bytes(tiny.read_bytes())
        assert "run: 2 checkpoints, and of best.pt the training step" in refuse(2, "compare", "run")

    def test_reports_without_computing(
        self, run: Run, reports: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _forbid_computing(monkeypatch)
        result = run("compare", reports / "a.json", reports / "b.json", "-o", "both.html")
        assert result.exit_code == 0, result.output
        assert last_line(result.stdout) == "both.html"
        one, both = (json.loads(p.read_text()) for p in (reports / "a.json", folder / "both.json"))
        assert both["reports"][0] == one
        again = run("report", "both.json", "-o", "again.html")
        assert again.exit_code == 0, again.output
        assert (folder / "again.html").read_bytes() == (folder / "both.html").read_bytes()

    @pytest.mark.usefixtures("plain_page")
    def test_pages_and_json_from_a_baseline(self, run: Run, reports: Path, folder: Path) -> None:
        words = ("compare", reports / "a.html", reports / "b.json", "--baseline", "gru.pt (2)")
        result = run(*words, "-o", "both.html")
        assert result.exit_code == 0, result.output
        both = json.loads((folder / "both.json").read_text())
        assert {tuple(d["models"]) for d in both["differences"]} == {("gru.pt (2)", "gru.pt (1)")}
        assert all(d["paired"] for d in both["differences"] if d["estimate"]["value"] == 0)
        assert not any(d["clear"] for d in both["differences"]), "it is the same model"

    def test_a_baseline_that_is_not_there(self, refuse: Run, tiny: Path, reports: Path) -> None:
        said = refuse(2, "compare", reports / "a.json", "--baseline", "x.pt")
        assert "no model of that name to be the baseline; got 'x.pt'; expected one of gru" in said
        said = refuse(2, "compare", tiny, "--baseline", "x.pt", "--data", "synthetic:iid")
        assert "no model of that name to be the baseline" in said

    def test_other_versions_of_a_check_are_refused(
        self, run: Run, refuse: Run, reports: Path, folder: Path
    ) -> None:
        other = json.loads((reports / "a.json").read_text())
        other["checks"][0]["version"] = 9
        (folder / "other.json").write_text(json.dumps(other))
        said = refuse(2, "compare", reports / "a.json", "other.json")
        assert "different versions of gradient-decay; got versions 2 and 9; expected the" in said
        assert "Measure the older ones again" in said

    def test_other_data_are_refused(self, refuse: Run, reports: Path) -> None:
        said = refuse(2, "compare", reports / "a.json", reports / "text.json")
        assert "the reports were measured on different data; got 8 independent, equally " in said
        assert "Measure all models again with the same --data" in said

    def test_reports_and_checkpoints_do_not_mix(self, refuse: Run, tiny: Path) -> None:
        said = refuse(2, "compare", tiny, "a.json")
        assert "checkpoints and reports cannot be mixed" in said

    def test_nothing_to_compare(self, refuse: Run) -> None:
        assert "Missing argument" in refuse(2, "compare")


def _forbid_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: Any, **_more: Any) -> None:
        raise AssertionError("something was computed again")

    monkeypatch.setattr(seqprobe.analysis, "run", refused)
    monkeypatch.setattr(seqprobe.SequenceModel, "__init__", refused)
    monkeypatch.setattr(torch.nn.Module, "__call__", refused)


class TestReport:
    def test_draws_again_without_computing(
        self, run: Run, reports: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = (reports / "a.html").read_bytes()
        (folder / "a.json").write_bytes((reports / "a.json").read_bytes())
        _forbid_computing(monkeypatch)
        result = run("report", "a.json")
        assert (result.exit_code, result.stdout) == (0, "a.html\n")
        assert (folder / "a.html").read_bytes() == page

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "x.json: not a report; got Expecting value"),
            (b"{", "x.json: not a report; got Expecting property name"),
            (b"\xff\xfe\xfd", "x.json: not a report"),
            (b'{"a": 1}', "x.json: not a seqprobe.report/1 report"),
            (b'{"schema": "seqprobe.report/1"}', "not a seqprobe.report/1 report; got Field requi"),
            (
                b'{"schema": "seqprobe.comparison/1", "reports": 5}',
                "x.json: not a seqprobe.comparison/1 report; got Input should be a valid tuple",
            ),
            (
                b'{"schema": "seqprobe.comparison/1", "reports": [], '
                b'"steps": {"values": [1], "told_by": ""}}',
                "got Value error, 1 steps of 0 reports at the top",
            ),
        ],
    )
    def test_what_is_no_report(
        self, refuse: Run, folder: Path, content: bytes, message: str
    ) -> None:
        (folder / "x.json").write_bytes(content)
        assert message in refuse(4, "report", "x.json")

    def test_missing(self, refuse: Run) -> None:
        assert "x.json: no such report. Check the path." in refuse(4, "report", "x.json")


class TestInspect:
    def test_in_words(self, run: Run, tiny: Path) -> None:
        said = run("inspect", tiny).stdout
        assert "layout: seqprobe train" in said
        assert "  embedding.weight  [256, 8]" in said
        assert "not in the file: nothing" in said
        assert f"analyze: seqprobe analyze {tiny} --data TEXT\n" in said

    def test_as_json(self, run: Run, folder: Path) -> None:
        state = torch.nn.Linear(3, 2).state_dict()
        torch.save(state, folder / "own net.pt")
        facts = json.loads(run("inspect", "own net.pt", "--json").stdout)
        assert facts["tensors"] == {"weight": [2, 3], "bias": [2]}
        assert facts["parameters"] == 8
        assert facts["dtypes"] == ["float32"]
        assert facts["missing"].startswith("its architecture (2 tensors, the first weight (2, 3)")
        assert facts["analyze"] == "seqprobe analyze 'own net.pt' --model pkg.module:factory"

    def test_nothing_is_run(self, run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _forbid_computing(monkeypatch)
        assert run("inspect", tiny).exit_code == 0


class TestTrain:
    def test_writes_checkpoint_and_card(self, run: Run, folder: Path) -> None:
        settings = ("steps=2", "parameters=4000", "distance=4", "batch=4", "learning_rate=1")
        words = [word for setting in settings for word in ("--set", setting)]
        result = run("train", "rnn", "--data", "recall", *words)
        assert result.exit_code == 0, result.output
        assert last_line(result.stdout) == "rnn.pt"
        assert sorted(p.name for p in folder.iterdir()) == ["rnn.json", "rnn.pt"]
        assert json.loads((folder / "rnn.json").read_text())["recipe"]["learning_rate"] == 1
        assert run("inspect", "rnn.pt").exit_code == 0

    def test_interrupted(
        self, run: Run, folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from seqprobe.reference import training

        whole = training.learning_rate

        def stop(recipe: training.Recipe, step: int) -> float:
            if step == 3:
                raise KeyboardInterrupt
            return whole(recipe, step)

        settings = ("steps=5", "parameters=4000", "context=16", "batch=4")
        words = ["train", "gru", "--data", str(text)]
        words += [word for setting in settings for word in ("--set", setting)]
        with monkeypatch.context() as patch:
            patch.setattr(training, "learning_rate", stop)
            result = run(*words)
        assert result.exit_code == 130
        assert "The same command goes on where this run stopped." in result.stderr
        assert [p.name for p in folder.iterdir()] == ["gru.pt.partial"]
        assert run(*words).exit_code == 0
        assert sorted(p.name for p in folder.iterdir()) == ["gru.json", "gru.pt"]


def test_probe_list_and_show(run: Run) -> None:
    names = [line.split()[0] for line in run("probe", "list").stdout.splitlines()]
    assert {"gradient-decay", "path-length", "position", "bottleneck"} <= set(names)
    for name in names:
        said = run("probe", "show", name).stdout
        assert said.startswith(f"{name} (version ")
        for head in ("Question:", "Method:", "Reading:", "Limits:", "Needs:", "Sources:"):
            assert head in said


def test_data_list(run: Run) -> None:
    said = run("data", "list").stdout
    assert "synthetic:iid" in said
    assert "lstm.pt" in said
    assert "held out" in said


def test_doctor(run: Run) -> None:
    said = run("doctor").stdout
    assert f"torch {metadata.version('torch')}" in said
    assert "GPU: " in said
    assert "measured on cpu: matrix products, GFLOP/s: " in said
    assert "fused attention: flash (float32" in said
    assert "slow here: " in said
    assert "gradient-decay" in said


def test_doctor_of_a_device_that_is_not_there(refuse: Run) -> None:
    assert "no device 'cuda:99' here" in refuse(2, "doctor", "--device", "cuda:99")
