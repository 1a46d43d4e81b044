"""From a live model to a report, and what the report promises to its readers."""

import json
from importlib import resources

import jsonschema
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

import seqprobe
from seqprobe.diagnosis.comparison import comparison_of
from seqprobe.errors import FileError, ModelError, UsageError
from seqprobe.reference import zoo
from seqprobe.reference.language_models import build
from seqprobe.report import Report, json_schema, load_reports
from seqprobe.runner.registry import chosen

QUICK = {"data": "synthetic:iid", "length": 64, "limit": 8, "distance": 20}
SCHEMA = json.loads((resources.files("seqprobe") / "report.schema.json").read_text())


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build("lstm", vocab_size=8, width=8, layers=1).train()


@pytest.fixture(scope="module")
def before(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def report(model, before) -> Report:
    return seqprobe.analyze(model, **QUICK)


def test_the_shipped_schema_is_the_one_of_the_code():
    assert json_schema() == SCHEMA


def test_a_report_validates_against_the_schema(report):
    jsonschema.validate(report.to_dict(), SCHEMA)
    broken = report.to_dict() | {"schema": "seqprobe.report/2"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)


def test_json_goes_both_ways_and_holds_no_nan(report, tmp_path):
    path = report.save(tmp_path / "r.json")
    again = load_reports(path)
    assert again.to_dict() == report.to_dict()
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


def test_processes_can_tell_each_other_a_report(report):
    told = TypeAdapter(Report)
    assert told.validate_json(told.dump_json(report)) == report


def test_every_installed_probe_has_a_check_with_its_table_first_by_distance(report):
    assert {check.id for check in report.checks} == {probe.id for probe in chosen(None)}
    for check in report.checks:
        assert check.status not in ("error", "not run"), check.error
        if check.status == "not applicable":
            assert "no attention was found" in check.headline  # of an LSTM
            continue
        table = report.table(check.tables[0])
        assert table.columns[0].name in ("distance", "length", "position")
        assert len(table.rows) == table.total_rows
        assert check.question.endswith("?")
        assert check.method
        assert check.limits
        assert check.references


def test_the_probed_forward_is_compared_with_the_plain_one(report):
    steps = {step.step: step for step in report.model.verification}
    same = steps["probed forward equals the plain forward"]
    assert same.status == "passed"
    assert float(str(same.value).split()[-1]) < 1e-5


def test_pandas_has_a_row_per_metric(report):
    frame = report.to_pandas()
    assert len(frame) == sum(len(check.metrics) for check in report.checks)
    assert {"check", "metric", "value", "low", "high", "unit"} <= set(frame.columns)


def test_two_runs_agree_and_another_seed_does_not(model, report):
    clockless = [
        probe.id for probe in chosen(None) if probe.id != "throughput"
    ]  # a clock never agrees
    again = seqprobe.analyze(model, seed=0, probes=tuple(clockless), **QUICK)
    assert [check.metrics for check in again.checks] == [report[id].metrics for id in clockless]
    other = seqprobe.analyze(model, seed=1, probes=("gradient-decay",), **QUICK)
    assert other["gradient-decay"].metrics != report["gradient-decay"].metrics


def test_without_data_the_model_writes_its_own_text():
    asked = {"length": 32, "limit": 8, "distance": 5, "probes": ("position",)}
    report = seqprobe.analyze(zoo.memoryless(), **asked)
    assert report.data.source == "text sampled from the model itself"


def test_real_valued_inputs_get_the_probes_that_apply():
    asked = {"length": 64, "limit": 8, "distance": 4, "probes": ("gradient-decay", "capacity")}
    report = seqprobe.analyze(zoo.leaky(0.5), **asked)
    assert report["gradient-decay"].metrics["at_distance"].value == pytest.approx(0.5**4, rel=1e-5)
    assert report["capacity"].status == "not applicable"
    assert "needs symbols" in report["capacity"].headline
    with pytest.raises(UsageError, match="reads real-valued features"):
        seqprobe.analyze(zoo.leaky(0.5), data="stdlib")


def test_an_unknown_kind_of_model_gets_all_that_needs_only_inputs_and_outputs():
    probes = ("position", "gradient-decay", "bottleneck")
    report = seqprobe.analyze(zoo.lag_oracle(7), probes=probes, **QUICK)
    assert report["position"].metrics["horizon"].value == 7
    assert report["gradient-decay"].status == "not applicable"
    assert report["bottleneck"].status == "not applicable"


def test_a_failing_probe_leaves_the_others_alone(monkeypatch):
    from seqprobe.probes.position import Position

    def fail(self, observation):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Position, "observe", fail)
    report = seqprobe.analyze(zoo.memoryless(), probes=("position", "gradient-decay"), **QUICK)
    assert report["position"].status == "error"
    assert report["position"].error == "RuntimeError: broken on purpose"
    assert report["gradient-decay"].metrics["horizon"].value == 0


def test_an_interruption_keeps_what_was_seen():
    def stop(label, done, total):
        if done >= 8:
            raise KeyboardInterrupt

    model = build("gru", vocab_size=8, width=8, layers=1)
    report = seqprobe.analyze(model, progress=stop, **QUICK)
    statuses = {check.id: check.status for check in report.checks}
    assert "not run" in statuses.values()
    assert "info" in statuses.values() or "fine" in statuses.values()
    assert "Interrupted" in report.warnings[0]


def test_a_model_that_mixes_rows_is_warned_about():
    class Mistaken(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, 8)
            self.rnn = nn.GRU(8, 8, bidirectional=True)
            self.head = nn.Linear(8, 8)

        def forward(self, tokens):
            x = self.embedding(tokens)
            return self.head(x + x.mean((0, 1)))

    report = seqprobe.analyze(Mistaken(), probes=("position",), **QUICK)
    assert any("Rows of a batch influence each other" in w for w in report.warnings)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"probes": ("gradient-decoy",)}, "Did you mean 'gradient-decay'?"),
        ({"length": 64, "distance": 64}, "Raise --length or lower --distance"),
        ({"length": 4}, "expected a length of at least 16"),
        ({"data": "synthetic:uid"}, "expected one of synthetic:iid, synthetic:copy"),
        ({"data": "no/such/file"}, "no such data"),
        ({"data": "stdlib"}, "the data is in another vocabulary than the model's"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(asked, message):
    with pytest.raises((UsageError, FileError)) as error:
        seqprobe.analyze(zoo.memoryless(), **asked)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_length_beyond_the_context_is_refused_when_asked_for_and_lowered_when_not():
    model = build("attention", vocab_size=8, width=8, layers=1, context=64)
    with pytest.raises(ModelError, match="100 tokens exceeds the 64 learned positions"):
        seqprobe.analyze(model, data="synthetic:iid", length=100, limit=8)
    report = seqprobe.analyze(model, data="synthetic:iid", limit=8, probes=("position",))
    assert len(report.table("position").rows) == 32


def test_reports_on_different_data_are_not_compared(report, tmp_path):
    asked = QUICK | {"data": "synthetic:copy", "probes": ("position",)}
    other = seqprobe.analyze(zoo.memoryless(), **asked)
    paths = [report.save(tmp_path / "a.json"), other.save(tmp_path / "b.json")]
    with pytest.raises(UsageError, match="measured on different data"):
        comparison_of(paths)
    comparison = comparison_of([paths[0], paths[0]])
    again = load_reports(comparison.save(tmp_path / "c.json"))
    assert [r.model.name for r in again.reports] == ["RecurrentLM", "RecurrentLM"]


def test_notebooks_show_the_verdict(report):
    assert report.verdict.headline in report._repr_html_()


def test_parameters_and_mode_are_left_as_they_were(model, before, report):
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert "forward" not in model.rnn.__dict__


def test_a_distance_beyond_the_context_is_refused_although_no_length_was_asked_for():
    model = build("attention", vocab_size=8, width=8, layers=1, context=64)
    with pytest.raises(ModelError, match="exceeds the 64 learned positions"):
        seqprobe.analyze(model, data="synthetic:iid", distance=100, limit=8)


@pytest.mark.parametrize("asked", [{"length": 322}, {"distance": 160}])
def test_curves_go_as_far_as_is_asked(asked):
    model = build("gru", vocab_size=8, width=8, layers=1)
    probes = "gradient-decay", "position", "context"
    report = seqprobe.analyze(model, data="synthetic:iid", probes=probes, limit=8, **asked)
    furthest = [report.table(probe).rows[-1][0] for probe in probes]
    assert furthest == [3 * 322 // 4, 322 // 2 - 1, 322 // 2]


def test_files_that_are_no_reports_are_refused(tmp_path):
    path = tmp_path / "r.json"
    for text in ("[1, 2]", "{}", "not json", '{"schema": "seqprobe.report/9"}'):
        path.write_text(text)
        with pytest.raises(FileError, match=r"^r.json: not a .*report"):
            load_reports(path)
    with pytest.raises(FileError, match="no such report"):
        load_reports(tmp_path / "none.json")


def test_a_report_that_cannot_be_written_says_so(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="the report cannot be written"):
        report.save(tmp_path / "file" / "r.json")


def test_invented_symbols_are_no_yardstick():
    """No model knows which of its tokens are drawn, so that losing to their frequencies is none."""
    model = zoo.memoryless()
    words = {"data": "synthetic:iid", "length": 32, "limit": 2, "probes": ("path-length",)}
    report = seqprobe.analyze(model, **words)
    assert report.data.unigram_nll is None
    assert not any("token frequencies" in step.step for step in report.model.verification)
