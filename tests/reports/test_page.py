"""The page shows what the report says, to everybody, and nothing that a report says can act."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from seqprobe.contracts import Estimate
from seqprobe.errors import UsageError
from seqprobe.report import Report
from seqprobe_reports.figures import FIGURES
from seqprobe_reports.glossary import GLOSSARY
from seqprobe_reports.page import BUDGET, cautions, render
from seqprobe_reports.paradigm import ROWS
from seqprobe_reports.subjects import subjects

ALLOWED_SCRIPTS = [[], [("type", "application/json"), ("id", "seqprobe-report")]]
VOID = ("meta", "wbr", "br", "col")


class Page(HTMLParser):
    """Tags, attributes and visible text of a page, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text: list[str] = []
        self.script = ""
        self.title_depth: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        if tag not in VOID:
            self.title_depth.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        while self.title_depth and self.title_depth.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self.title_depth[-1] if self.title_depth else ""
        if inside == "script":
            self.script = data
        elif inside != "style":
            self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs if name == attribute]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds; here the words beside the figures matter."""
    monkeypatch.setattr("seqprobe_reports.page.draw", lambda check, shown: "")


@pytest.fixture(params=["single", "several", "attacked"])
def any_page(request: pytest.FixtureRequest) -> str:
    page: str = request.getfixturevalue(request.param)
    return page


def test_needs_a_report() -> None:
    with pytest.raises(UsageError, match="at least one report"):
        render([])


@pytest.mark.parametrize("check", ["gradient-decay", "position"])
def test_several_models_are_the_same_after_the_way_through_json(
    check: str, three: list[Report]
) -> None:
    alone = [replace(report, checks=(report[check],)) for report in three]
    assert render([Report.from_dict(report.to_dict()) for report in alone]) == render(alone)


@pytest.mark.parametrize("check", ["gradient-decay", "bottleneck", "attention", "position"])
def test_one_model_is_the_same_after_the_way_through_json(check: str, report: Report) -> None:
    """Figures that show more of a single model than of several."""
    alone = replace(report, checks=(report[check],))
    assert render([Report.from_dict(alone.to_dict())]) == render([alone])


def test_ids_are_unique(any_page: str) -> None:
    repeated = {id: n for id, n in Counter(Page(any_page).values("id")).items() if n > 1}
    assert not repeated


def test_links_lead_somewhere(any_page: str) -> None:
    page = Page(any_page)
    targets = {f"#{id}" for id in page.values("id")}
    assert set(page.values("href")) <= targets
    described = {f"#{id}" for ids in page.values("aria-labelledby") for id in ids.split()}
    assert described
    assert described <= targets
    used = {f"#{id}" for id in re.findall(r"url\(#([^)]+)\)", any_page)}
    assert used <= targets


def test_loads_nothing(any_page: str) -> None:
    page = Page(any_page)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {
        t for t, _ in page.tags
    }
    assert page.values("src") == []
    assert all(link.startswith("#") for link in page.values("href"))
    css = any_page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in css
    assert "@import" not in css
    policy = next(v for t, attrs in page.tags for n, v in attrs if t == "meta" and n == "content")
    assert policy is not None
    assert "default-src 'none'" in policy
    code = any_page.partition("<script>")[2].partition("</script>")[0]
    digest = b64encode(sha256(code.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert len(code) < 10_000


def test_figures_survive_servers_that_forbid_inline_styles(any_page: str) -> None:
    assert Page(any_page).values("style") == []
    assert Page(any_page).count("style") == 1


def test_hostile_text_stays_text(attacked: str) -> None:
    page = Page(attacked)
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts == ALLOWED_SCRIPTS
    assert not [name for _, attrs in page.tags for name, _ in attrs if name.startswith("on")]
    assert page.words.count("<script>alert(1)</script>") > 20
    svg = "".join(re.findall(r"<svg.*?</svg>", attacked, re.DOTALL))
    assert "&lt;script&gt;alert(1)" in svg
    assert "\x00" not in attacked


def test_hostile_sites_stay_text_in_figures(hostile: Report) -> None:
    with_sites = replace(hostile, checks=hostile.checks[:1])
    svg = "".join(re.findall(r"<svg.*?</svg>", render([with_sites]), re.DOTALL))
    assert re.search(r"<text[^>]*>&lt;/script&gt;", svg)
    assert "<script" not in svg


def test_embedded_json_is_the_report(report: Report, single: str) -> None:
    assert json.loads(Page(single).script) == report.to_dict()


def test_embedded_json_of_several_reports(hostile: Report, report: Report, attacked: str) -> None:
    contents = json.loads(Page(attacked).script)
    assert contents["schema"] == "seqprobe.comparison/1"
    assert contents["reports"] == [hostile.to_dict(), report.to_dict()]


def test_stays_small(single: str, several: str) -> None:
    """One model within the budget; each further one brings its figures and its JSON."""
    assert len(single.encode()) <= BUDGET <= 1_000_000
    assert len(several.encode()) <= 1.5 * BUDGET


@pytest.mark.usefixtures("without_figures")
def test_cuts_tables_before_it_grows_over_its_budget(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = render([report])
    assert "The first 200 of 772 rows" in whole
    monkeypatch.setattr("seqprobe_reports.page.BUDGET", len(whole.encode()) - 1)
    short = render([report])
    assert "The first 50 of 772 rows" in short
    monkeypatch.setattr("seqprobe_reports.page.BUDGET", 1000)
    shortest = render([report])
    assert "The first 10 of 772 rows" in shortest
    assert len(shortest) < len(short) < len(whole)


def test_is_complete_without_scripts(report: Report, single: str) -> None:
    page = Page(single)
    for finding in report.findings:
        for part in (finding.statement, finding.threshold, finding.remedy, finding.falsified_by):
            assert part in page.words
    for check in report.checks:
        assert check.headline in page.words
        assert check.id in page.values("id")
        for part in (check.question, check.reading, check.method, check.limits, *check.warnings):
            if check.metrics:
                assert part in page.words
    assert page.count("svg") == 1 + len(FIGURES)
    assert page.count("details") == len(report.tables)
    assert page.count("tr") > 200 + 3 * 200


def test_the_glossary_fits_models_that_read_real_values_and_is_on_the_page(single: str) -> None:
    words = Page(single).words
    assert all(meaning in words for meaning in GLOSSARY.values())
    assert not [word for word, meaning in GLOSSARY.items() if "token" in meaning.lower()]


def test_says_how_it_knows_the_model(single: str) -> None:
    words = Page(single).words
    assert "✓ outputs equal the plain forward: passed" in words
    assert "✕ loss below the token frequencies: failed, 4.2 (compared with 4.1 nats)" in words
    assert (
        "gate order = i, f, g, o, it fits the data best; ruled out: i, g, f, o "
        "(worse by at least 0.4 bits, z = 9.1)"
    ) in words
    assert "heads = 4, our default; still possible: 2, 8" in words


def test_numbers_have_units_and_intervals(single: str) -> None:
    words = Page(single).words
    assert "54 steps [48.6, 59.4]" in words
    assert "at least 256 steps" in words
    assert "103 hops" in words
    assert "not estimable distance 100 was not measured" in words


@pytest.mark.usefixtures("without_figures")
def test_first_screen_shows_three_findings_and_the_worst_first(report: Report) -> None:
    first, second = report.findings
    many = replace(report, findings=(second, second, second, replace(first, statement="Worst.")))
    listed = render([many]).partition('<ol class="first-findings">')[2].partition("</ol>")[0]
    assert listed.count("<li>") == 3
    assert listed.index("Worst.") < listed.index(second.statement)


@pytest.mark.usefixtures("without_figures")
def test_each_model_has_its_column(report: Report, named: Callable[..., Report]) -> None:
    page = render([report, named("gru.pt", 9.0)])
    rows = {"paradigm": 2 + 2, "reach-profile": 1 + 2, "gradient-decay": 1 + 2}
    for id, columns in rows.items():
        table = page.partition(f'<section id="{id}">')[2].partition("</table>")[0]
        head = table.partition("</thead>")[0]
        assert head.count("<th ") == columns, id
        assert head.index("lstm.pt") < head.index("gru.pt")
        row = next(row for row in table.split("<tr>") if "54 steps [48.6, 59.4]" in row)
        assert row.index("54 steps") < row.index("90 steps [81, 99]"), id


def rows_of(page: str, section: str) -> list[str]:
    """The rows of a section's first table, as words."""
    table = page.partition(f'<section id="{section}">')[2].partition("</table>")[0]
    return [Page(row).words for row in table.split("<tr>")[1:]]


@pytest.mark.usefixtures("without_figures")
def test_baselines_stand_below_their_metric(report: Report, named: Callable[..., Report]) -> None:
    rows = rows_of(render([report, named("gru.pt", 9.0)]), "gradient-decay")
    at = next(number for number, row in enumerate(rows) if row.startswith("half_life trained"))
    assert rows[at + 1] == "untrained 2.5 steps [2.4, 2.6] 2.5 steps [2.4, 2.6]"
    assert rows[at + 2] == "independent inputs 2.7 steps [2.16, 3.24] 4.5 steps [3.6, 5.4]"
    assert rows[at + 3] == "less lstm.pt +3.6 steps [2.55, 4.65]"
    assert rows[at + 4].startswith("horizon trained 54 steps")
    assert not any("_untrained" in row or "_iid" in row for row in rows)


def test_null_and_baselines_of_one_model_stand_beside_its_value(single: str) -> None:
    head, half_life, horizon, *_ = rows_of(single, "gradient-decay")
    assert head == "Metric Value Null untrained independent inputs"
    for row, parts in (
        (
            half_life,
            ("half_life 5.4 steps [", "n = 32 1.5", "no decay", "2.5 steps [", "2.7 steps"),
        ),
        (horizon, ("horizon 54 steps [48.6, 59.4]", "at least 192 steps it never ends")),
    ):
        places = [row.find(part) for part in parts]
        assert -1 not in places
        assert places == sorted(places)


def test_metrics_without_baselines_name_none(single: str) -> None:
    assert any(
        row.startswith("gate_time_constant 3.5") for row in rows_of(single, "gradient-decay")
    )
    assert not any("trained" in row for row in rows_of(single, "position"))


@pytest.mark.usefixtures("without_figures")
def test_a_baseline_that_only_one_model_has(report: Report) -> None:
    own = {k: v for k, v in report["gradient-decay"].metrics.items() if not k.endswith("_iid")}
    checks = (replace(report.checks[0], metrics=own), *report.checks[1:])
    rows = rows_of(render([report, replace(report, checks=checks)]), "gradient-decay")
    assert "independent inputs 2.7 steps [2.16, 3.24] not measured" in rows


def test_short_tables_are_open_where_no_figure_shows_them(single: str) -> None:
    opened = re.findall(r"<details open>\s*<summary>([^<]*)", single)
    assert opened == ["Data: weights (2 rows)"]


def test_locality_is_compared_with_the_untrained_model(single: str) -> None:
    rows = rows_of(single, "paradigm")
    at = next(i for i, row in enumerate(rows) if row.startswith("gradient-decay. half_life 5.4"))
    assert rows[at + 1] == "gradient-decay. half_life_untrained 2.5 steps [2.4, 2.6]"


@pytest.mark.usefixtures("without_figures")
def test_models_of_the_same_name_are_told_apart(report: Report) -> None:
    words = Page(render([report, report])).words
    assert "lstm.pt (1)" in words
    assert "lstm.pt (2)" in words


@pytest.mark.usefixtures("without_figures")
def test_warns_of_models_that_are_hard_to_compare(report: Report) -> None:
    other = replace(report, data=replace(report.data, sha256="ef" * 32))
    assert "measured on different data" in render([report, other])
    assert cautions(subjects([report, report])) == []


def test_checks_that_did_not_run_say_why(single: str) -> None:
    part = single.partition('<section id="without-result">')[2].partition("</section>")[0]
    words = Page(part).words
    assert "○ not run needs a GPU" in words
    assert "✱ error failed: ValueError: no" in words
    assert '<section id="not-run">' not in single


@pytest.mark.usefixtures("without_figures")
def test_several_models_show_which_is_cheaper_from_where_on(
    several: str, single: str, report: Report
) -> None:
    part = several.partition('<section id="crossovers">')[2].partition("</section>")[0]
    words = Page(part).words
    assert "seconds, forward lstm.pt and gru.pt" in words
    assert "no crossover between 16 and 256 tokens: lstm.pt is cheaper" in words
    assert 'id="crossovers"' not in single
    assert "lstm.pt (1) and lstm.pt (2)" in Page(render([report, report])).words


def test_missing_checks_and_values_render(report: Report) -> None:
    empty = replace(report, findings=(), checks=(), tables=(), figures=())
    page = Page(render([empty]))
    assert "No finding" in page.words
    names = [metric.partition(".") for row in ROWS for metric in row.metrics]
    checks = {(row.claim, metric.split(".")[0]) for row in ROWS for metric in row.metrics}
    assert page.words.count("): not measured") == len(checks)
    assert all(check in page.words and name in page.words for check, _, name in names)
    assert page.count("svg") == 1
    both = render([empty, report])
    assert "this report does not have this check" in both
    assert Page(both).count("svg") == 1 + len(FIGURES)


@pytest.mark.parametrize("check", FIGURES)
def test_empty_cells_and_values_render(report: Report, check: str) -> None:
    alone = replace(report, checks=(report[check],))
    tables = tuple(
        replace(t, rows=tuple((row[0], *[None] * (len(row) - 1)) for row in t.rows))
        if t.id in report[check].tables
        else t
        for t in report.tables
    )
    missing = {name: Estimate.missing("steps", "too few") for name in report[check].metrics}
    blank = replace(alone, tables=tables, checks=(replace(report[check], metrics=missing),))
    page = Page(render([blank]))
    assert page.count("svg") == 1
    assert "not estimable too few" in page.words
    assert Page(render([alone, blank])).count("svg") == 2
