"""Figures can be told apart in the light and in the dark, and do not hide what is zero."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest

from seqprobe.contracts import Estimate, Series
from seqprobe.report import Report
from seqprobe_reports.figures import FIGURES, draw, reach_profile
from seqprobe_reports.figures.svg import DASHES, INK, MARKERS, PALETTE
from seqprobe_reports.subjects import subjects

Drawn = Callable[[str, int], str]
PAPERS = ("#ffffff", "#121416")


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(scope="module")
def drawn(report: Report, three: list[Report]) -> Drawn:
    """The figure of a check for one model or for three; drawing takes long."""
    shown = {1: subjects([report]), 3: subjects(three)}
    return cache(lambda check, models: draw(check, shown[models]))


def with_table(report: Report, check: str, columns: Mapping[str, Sequence[object]]) -> Report:
    table = Series.of(check, columns)
    others = tuple(other for other in report.tables if other.id != check)
    return replace(report, tables=(table, *others))


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_contrast_knows_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("color", PALETTE)
def test_colors_stand_out(color: str, paper: str) -> None:
    assert contrast(color, paper) >= 3


def test_colors_are_not_alone() -> None:
    assert len({*PALETTE}) == len({*DASHES}) == len({*MARKERS}) == 5


@pytest.mark.parametrize("check", FIGURES)
def test_follows_the_page_into_the_dark(check: str, drawn: Drawn) -> None:
    svg = drawn(check, 3)
    fixed = {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", svg)}
    assert fixed <= {color.lower() for color in PALETTE}
    assert "currentColor" in svg
    assert INK not in svg


@pytest.mark.parametrize("check", sorted(FIGURES.keys() - {"attention", "bottleneck"}))
def test_words_fit_models_that_read_real_values(check: str, drawn: Drawn) -> None:
    """Kinds of heads and what is kept of a text are named after tokens."""
    words = texts(drawn(check, 1))
    assert words
    assert not [word for word in words if "token" in word]


@pytest.mark.parametrize("check", FIGURES)
def test_letters_are_those_of_the_page(check: str, drawn: Drawn) -> None:
    svg = drawn(check, 1)
    assert len(texts(svg)) > 5
    assert svg.count("font-family") == 1


@pytest.mark.parametrize("check", FIGURES)
def test_says_what_it_shows(check: str, three: list[Report], drawn: Drawn) -> None:
    svg = drawn(check, 3)
    assert 'role="img"' in svg
    assert f'<title id="figure-{check}-title">{three[0][check].title}</title>' in svg
    assert f"gru.pt: {three[1][check].headline}" in svg.partition("<desc")[2]


@pytest.mark.parametrize("check", FIGURES)
def test_models_share_one_figure(check: str, drawn: Drawn) -> None:
    svg = drawn(check, 3)
    assert {"lstm.pt", "gru.pt", "attention.pt"} <= set(texts(svg))
    assert all(color.lower() in svg for color in PALETTE[:3])


@pytest.mark.parametrize("check", ["gradient-decay", "bottleneck"])
def test_one_model_shows_its_sites(check: str, drawn: Drawn) -> None:
    assert {"rnn.state_l0", "rnn.state_l1"} <= set(texts(drawn(check, 1)))


def without_tables(report: Report, *ids: str) -> Report:
    """As an earlier version wrote it."""
    checks = tuple(
        replace(check, tables=tuple(id for id in check.tables if id not in ids))
        for check in report.checks
    )
    tables = tuple(table for table in report.tables if table.id not in ids)
    return replace(report, checks=checks, tables=tables)


MAP, MEMORY = "share of the surprisal of the data's tokens that is kept (%)", "only from a memory"
ON_DATA = ("bottleneck-data", "bottleneck-tokens-data")


def test_what_is_readable_of_the_data_stands_against_what_a_memory_adds(drawn: Drawn) -> None:
    alone, three = texts(drawn("bottleneck", 1)), texts(drawn("bottleneck", 3))
    words = {MEMORY, "all that is readable", "readable of the data (bits)"}
    assert words | {"best estimate", "not told by nearer tokens"} <= set(alone)
    assert words <= set(three)
    assert not {"best estimate", "not told by nearer tokens"} & set(three)
    assert alone.count(MEMORY) == three.count(MEMORY) == 1


def test_a_map_shows_the_share_of_each_kind_of_token(drawn: Drawn) -> None:
    found = texts(drawn("bottleneck", 1))
    assert {MAP, "common (half of the", "text: 9 tokens)", "letters", "all other tokens"} <= {
        *found
    }
    assert {"surprisal kept", "0%", "50%", "100%", "16", "33", "64", "128"} <= set(found)
    assert found[found.index("98") :][:3] == ["98", "95", "91"]  # of the first row


def test_each_model_has_a_map_in_its_color(drawn: Drawn) -> None:
    svg = drawn("bottleneck", 3)
    assert texts(svg).count(MAP) == texts(svg).count("surprisal kept") == 3
    assert all(texts(svg).count(name) == 3 for name in ("lstm.pt", "gru.pt", "attention.pt"))
    for color in PALETTE[:3]:
        assert re.search(rf'fill="{color.lower()}" fill-opacity="0.75"', svg)


def test_more_than_three_models_have_no_more_maps(three: list[Report]) -> None:
    svg = draw("bottleneck", subjects([*three, three[0]]))
    assert texts(svg).count(MAP) == 3


def test_a_share_is_between_nothing_and_all_or_not_known(report: Report) -> None:
    columns: dict[str, list[object]] = {
        "distance": [0, 1, 2, 3],
        "tokens": ["<b>&"] * 4,
        "bits": [9.0, -9.0, None, 1.0],
        "surprisal": [3.0, 3.0, 3.0, 0.0],
    }
    id = "bottleneck-tokens-data"
    svg = draw("bottleneck", subjects([with_table(report, id, columns)]))
    assert "distance (steps); – not estimable" in texts(svg)
    assert texts(svg).count("–") == 2
    assert "&lt;b&gt;&amp;" in texts(svg)
    assert "<b>" not in svg
    assert not {"300", "-300", "-0"} & set(texts(svg))
    unknown = with_table(report, id, {**columns, "bits": [None] * 4})
    assert MAP not in texts(draw("bottleneck", subjects([unknown])))


def test_a_map_of_many_distances_stays_readable(report: Report) -> None:
    count = 3000
    columns: dict[str, Sequence[object]] = {
        "distance": list(range(count)),
        "tokens": ["x" * 300] * count,
        "bits": [1.0] * count,
        "surprisal": [4.0] * count,
    }
    svg = draw("bottleneck", subjects([with_table(report, "bottleneck-tokens-data", columns)]))
    assert texts(svg).count("25") == 18
    assert "2,999" in texts(svg)


@pytest.mark.parametrize("models", [1, 3])
def test_reports_of_earlier_versions_have_no_figure_of_the_data(
    models: int, three: list[Report]
) -> None:
    earlier = [without_tables(report, *ON_DATA) for report in three[:models]]
    found = texts(draw("bottleneck", subjects(earlier)))
    assert "readable from the state (bits)" in found
    assert not {MEMORY, MAP} & set(found)
    only = [without_tables(report, "bottleneck-tokens-data") for report in three[:models]]
    found = texts(draw("bottleneck", subjects(only)))
    assert MEMORY in found
    assert MAP not in found


def test_earlier_bounds_have_no_estimate_beside_them(report: Report) -> None:
    columns: dict[str, Sequence[object]] = {"distance": [0, 1], "lower_bound": [1.0, 0.5]}
    shown = draw("bottleneck", subjects([with_table(report, "bottleneck", columns)]))
    assert "best estimate" not in texts(shown)


def test_capacity_adds_up_below(report: Report, drawn: Drawn) -> None:
    words = {"recalled, given nearer ones (bits)", "recalled in all (bits)", "ceiling"}
    assert words <= set(texts(drawn("capacity", 1)))
    assert words <= set(texts(drawn("capacity", 3)))
    assert draw("capacity", subjects([without_tables(report, "capacity")])) == ""


def test_kept_context_meets_the_line_at_the_effective_length(report: Report, drawn: Drawn) -> None:
    words = {"lost, against all context (bits)", "kept context (steps)", "1%", "KL divergence"}
    for models in (1, 3):
        svg = drawn("context", models)
        assert words | {"gained by a copy (bits)", "asked: 100"} <= set(texts(svg))
        assert texts(svg).count("KL divergence") == 1
    metrics = {"effective_length": Estimate.missing("tokens", "never enough")}
    checks = tuple(replace(c, metrics=metrics) if c.id == "context" else c for c in report.checks)
    unmarked = draw("context", subjects([replace(report, checks=checks)]))
    assert drawn("context", 1).count("<use") == unmarked.count("<use") + 1


def test_without_a_loss_the_divergence_is_shown(report: Report) -> None:
    columns: dict[str, list[object]] = {
        "length": [1, 2, 4],
        "loss_bits": [None, None, None],
        "kl_bits": [1.0, 0.1, 0.01],
        "kl_low": [0.9, 0.09, 0.009],
        "kl_high": [1.1, 0.11, 0.011],
    }
    shown = draw("context", subjects([with_table(report, "context", columns)]))
    assert "lost, against all context (bits)" in texts(shown)
    assert "KL divergence" not in texts(shown)


def test_shuffling_is_shown_beside_dropping(report: Report, drawn: Drawn) -> None:
    words = {"lost by shuffling beyond (bits)", "dropped instead", "shuffled within"}
    assert all(words <= set(texts(drawn("order", models))) for models in (1, 3))
    alone = with_table(report, "order", {"distance": [1, 2], "shuffle_bits": [1.0, 0.5]})
    assert not words - {"lost by shuffling beyond (bits)"} & set(
        texts(draw("order", subjects([alone])))
    )


def test_one_model_is_shown_with_its_baselines(report: Report, drawn: Drawn) -> None:
    baselines = {"untrained", "independent inputs"}
    svg = drawn("gradient-decay", 1)
    assert baselines | {"output", "root mean square"} <= set(texts(svg))
    checks = tuple(replace(check, tables=check.tables[:1]) for check in report.checks)
    without = draw("gradient-decay", subjects([replace(report, checks=checks)]))
    assert not baselines & set(texts(without))
    assert "root mean square" in texts(without)


def test_attribution_is_shown_where_it_was_asked_for(report: Report, drawn: Drawn) -> None:
    id = "gradient-decay-attribution"
    table = Series.of(id, {"distance": [0, 1, 2], "relative": [1.0, 0.1, 0.02]})
    first = report.checks[0]
    checks = (replace(first, tables=(*first.tables, id)), *report.checks[1:])
    asked = replace(report, checks=checks, tables=(*report.tables, table))
    assert "attribution" in texts(draw("gradient-decay", subjects([asked])))
    assert "attribution" not in texts(drawn("gradient-decay", 1))


def test_untrained_models_are_thin_lines_in_the_color_of_the_model(drawn: Drawn) -> None:
    svg = drawn("gradient-decay", 3)
    thin = re.findall(r'stroke-dasharray="14,3"[^>]* stroke="(#\w+)"', svg)
    assert [color.upper() for color in thin] == list(PALETTE[:3])
    assert texts(svg).count("untrained") == 1
    assert "independent inputs" not in texts(svg)


@pytest.mark.parametrize("faint", [1e-9, 1e-150, 0.0])
def test_what_is_far_below_leaves_room_for_the_rest(faint: float, report: Report) -> None:
    columns = {"distance": [0, 1, 2, 3], "relative": [1.0, faint, faint, faint]}
    table = with_table(report, "gradient-decay-untrained", {**columns, "site": ["output"] * 4})
    beside = {**columns, "relative": [1.0, 0.5, 0.2, 0.1]}
    shown = with_table(table, "gradient-decay", {**beside, "site": ["output"] * 4})
    assert lowest_power(draw("gradient-decay", subjects([shown]))) == -3
    alone = with_table(report, "gradient-decay", {**columns, "site": ["output"] * 4})
    assert -12 <= lowest_power(draw("gradient-decay", subjects([alone]))) <= -3
    both = draw("gradient-decay", subjects([shown, table]))
    assert -12 <= lowest_power(both) <= -3


def lowest_power(svg: str) -> int:
    """The smallest power of ten on any axis."""
    written = [text[2:] for text in texts(svg) if re.fullmatch("10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", text)]
    return min(
        int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))) for power in written
    )


def test_names_stay_within_the_figure(drawn: Drawn) -> None:
    for models in (1, 3):
        for check in FIGURES:
            svg = drawn(check, models)
            width = float(svg.partition('viewBox="0 0 ')[2].partition(" ")[0])
            start = r'<text x="([\d.]+)"[^>]* font-size="(\d+)px" text-anchor="start"[^>]*>([^<]+)'
            ends = {
                name: float(x) + 0.48 * int(size) * len(name)
                for x, size, name in re.findall(start, svg)
            }
            assert ends or models == 1
            assert max(ends.values(), default=0) <= width, (check, ends)


HEADS = "what heads do, by layer (rows) and head (columns), in percent"
WHERE = "where they look: from each step (rows) to others"


def test_one_model_shows_its_heads_and_where_two_of_them_look(drawn: Drawn) -> None:
    found = texts(drawn("attention", 1))
    assert {HEADS, WHERE, "induction", "previous token", "first token", "spread"} <= set(found)
    assert {"most induction (layer 1, head 3)", "most previous token (layer 0, head 3)"} <= {*found}
    assert found.count("␣") == found.count("c") == 4
    assert found.count("18") == 2  # 5.4 / 30 in percent, of two scores


def test_weights_by_distance_stand_beside_equal_ones(report: Report, drawn: Drawn) -> None:
    assert {"share of the weights", "equal weights"} <= set(texts(drawn("attention", 1)))
    two = {"distance": [0, 1, 0, 1], "layer": [0, 0, 1, 1], "share": [0.9, 0.1, 0.5, 0.5]}
    svg = draw("attention", subjects([with_table(report, "attention", two)]))
    assert "0.7" in texts(svg)  # the mean of both layers at 0 is the top of the axis


def test_several_models_show_their_heads_alone(drawn: Drawn) -> None:
    found = texts(drawn("attention", 3))
    assert found.count(HEADS) == 3
    assert WHERE not in found


def test_squares_without_weight_take_no_room(report: Report) -> None:
    """Of the 49 squares of each map, 28 are on or below the diagonal."""
    svg = draw("attention", subjects([without_tables(report, "attention-heads")]))
    assert len(re.findall(r'<path d="[^"]*" fill="#0072b2"', svg)) == 2 * 28


def test_tokens_cannot_break_a_map(report: Report) -> None:
    tokens = ["<script>", "a" * 99, "\n\x00", "$x_1$", "", "_"]
    table = next(t for t in report.tables if t.id == "attention-map")
    index = [column.name for column in table.columns].index("token")
    rows = tuple(
        (*row[:index], tokens[number % 6], *row[index + 1 :])
        for number, row in enumerate(table.rows)
    )
    others = tuple(other for other in report.tables if other.id != "attention-map")
    svg = draw(
        "attention", subjects([replace(report, tables=(replace(table, rows=rows), *others))])
    )
    assert {"&lt;script&gt;", "aaaaaaa…", "$x_1$"} <= set(texts(svg))
    assert "<script" not in svg


def test_matrices_of_many_heads_stay_lean(report: Report) -> None:
    count = 96
    columns: dict[str, Sequence[object]] = {
        "position": list(range(count)),
        "layer": [float(i // 2) for i in range(count)],
        "head": [float(i * 7 % 32) for i in range(count)],
        "entropy_ratio": [0.5] * count,
        "first": [0.4] * count,
        "induction": [0.3] * count,
        "previous_token": [0.9] * count,
    }
    svg = draw("attention", subjects([with_table(report, "attention-heads", columns)]))
    assert "90" not in texts(svg)
    assert len(svg) < 80_000


def test_spectrum_shows_where_it_is_heading(three: list[Report], drawn: Drawn) -> None:
    name = "Lyapunov, exp(λk)"
    svg = drawn("jacobian-spectrum", 3)
    assert texts(svg).count(name) == 1
    assert len(re.findall('stroke-dasharray="6,3"', svg)) == 3 + 1
    assert {"largest singular value", "effective rank (directions)"} <= set(texts(svg))
    columns = {"distance": [0, 1, 255], "largest": [9.0, 4.0, 0.5], "asymptotic": [None] * 3}
    attention = with_table(three[2], "jacobian-spectrum", columns)
    alone = draw("jacobian-spectrum", subjects([attention]))
    assert name not in texts(alone)
    assert "effective rank (directions)" not in texts(alone)
    assert texts(draw("jacobian-spectrum", subjects([three[0], attention]))).count(name) == 1


def test_a_state_that_explodes_leaves_the_spectrum_readable(report: Report) -> None:
    columns = {"distance": [1, 2, 64], "largest": [9.0, 8.0, 7.0], "asymptotic": [1e2, 1e4, 1e139]}
    svg = draw("jacobian-spectrum", subjects([with_table(report, "jacobian-spectrum", columns)]))
    assert {"0.5", "1", "2", "5", "10"} <= set(texts(svg))


def test_the_spectrum_shows_where_nothing_grows_or_fades(report: Report) -> None:
    columns = {"distance": [1, 2, 64], "largest": [900.0, 800.0, 700.0]}
    svg = draw("jacobian-spectrum", subjects([with_table(report, "jacobian-spectrum", columns)]))
    assert lowest_power(svg) == 0


def test_exponents_alone_are_no_figure(report: Report) -> None:
    wide = tuple(
        replace(c, tables=c.tables[1:]) if c.id == "jacobian-spectrum" else c for c in report.checks
    )
    assert draw("jacobian-spectrum", subjects([replace(report, checks=wide)])) == ""


def test_a_model_keeps_its_color_where_another_is_missing(three: list[Report]) -> None:
    without = replace(three[0], checks=three[0].checks[1:])
    svg = draw("gradient-decay", subjects([without, *three[1:]]))
    assert PALETTE[0].lower() not in svg
    assert PALETTE[1].lower() in svg


def test_zero_is_shown_where_an_axis_has_none(report: Report) -> None:
    columns: dict[str, list[object]] = {"distance": [0, 1, 2, 3], "kl_bits": [1.0, 0.1, 0.0, 0.0]}
    note = "▽ zero, or below this axis"
    assert note in texts(draw("position", subjects([with_table(report, "position", columns)])))
    columns["kl_bits"] = [1.0, 0.1, 0.01, 0.001]
    assert note not in texts(draw("position", subjects([with_table(report, "position", columns)])))


@pytest.mark.parametrize(
    "values", [[4.0, 4.0, 4.0], [None, 4.0, None], [0.0, 0.0, 0.0], [-1.0, 1e-30, 1e30]]
)
@pytest.mark.parametrize("check", FIGURES)
def test_odd_values_can_be_drawn(check: str, values: Sequence[object], report: Report) -> None:
    value = {
        "capacity": "total",
        "context": "loss_bits",
        "gradient-decay": "relative",
        "jacobian-spectrum": "largest",
        "locality": "within",
        "memory": "carried",
        "order": "shuffle_bits",
        "path-length": "hops",
        "position": "kl_bits",
        "sequential-depth": "depth",
        "throughput": "forward_seconds",
        "window": "mean",
        "carry-over": "mean",
    }
    columns: dict[str, Sequence[object]] = {
        "distance": [0, 1, 2],
        value.get(check, "estimate"): values,
    }
    assert draw(check, subjects([with_table(report, check, columns)])).startswith("<svg")


def test_an_unknown_check_has_no_figure(report: Report) -> None:
    assert draw("not-run", subjects([report])) == ""


def test_lengths_are_marked_where_they_end_a_model(drawn: Drawn) -> None:
    for models in (1, 3):
        found = texts(drawn("window", models))
        assert found.count("trained: 256") == found.count("refused: 257") == 1
        assert {"loss (bits)", "steps read", "▽ zero, or below this axis"} <= set(found)


def test_gain_and_washout_stand_over_the_tokens_since_the_boundary(drawn: Drawn) -> None:
    found = texts(drawn("carry-over", 1))
    assert found.count("steps read since the boundary") == 2
    assert {"saved by carrying (bits)", "left of the distance"} <= set(found)


def test_costs_go_on_dashed_beyond_what_was_measured(three: list[Report], drawn: Drawn) -> None:
    svg = drawn("memory", 3)
    assert texts(svg).count("extrapolated") == 2
    assert len(re.findall('stroke-dasharray="2,2"', svg)) == 2 * (3 + 1)
    assert "5,000,000" not in texts(svg)  # on a long axis powers of ten alone
    short = with_table(three[0], "memory", {"length": [8, 16], "carried": [1.0, 2.0]})
    assert 'stroke-dasharray="2,2"' in draw("memory", subjects([short]))  # its name alone


def test_many_long_curves_stay_within_budget(report: Report) -> None:
    count, sites = 5000, [f"layers.{i}" for i in range(48)]
    columns: dict[str, Sequence[object]] = {
        "distance": [d for _ in sites for d in range(count)],
        "site": [s for s in sites for _ in range(count)],
        "relative": [1 / (1 + d * 37 % 11) for _ in sites for d in range(count)],
    }
    svg = draw("gradient-decay", subjects([with_table(report, "gradient-decay", columns)]))
    paths = " ".join(re.findall(r' d="([^"]*)"', svg))
    points = re.findall(r"[-\d.]+ [-\d.]+", paths)
    assert len(points) + svg.count("<use") <= 3000
    assert {"layers.0", "layers.47"} <= set(texts(svg))


def test_profile_states_the_quantities_and_the_window(three: list[Report]) -> None:
    svg = reach_profile.draw(subjects(three)).svg()
    assert (
        "lstm.pt: reach at least 256 steps, sensitivity 54 steps [48.6, 59.4], "
        "use 64.8 steps [58.8, 71.8], storage 27 steps [25, 30], window 150 tokens." in svg
    )
    assert {"reach", "sensitivity", "use", "storage", "≥ 256", "54", "asked: 100"} <= set(
        texts(svg)
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Estimate.missing("steps", "too few"), "not estimable"),
        (Estimate.missing("steps", "too short", high=9.0), "≤ 9"),
        (Estimate(0.0, "steps", exact=True), "0"),
        (Estimate(-3.0, "steps", low=-9.0), "−3"),
    ],
)
def test_profile_draws_any_estimate(found: Estimate, words: str, report: Report) -> None:
    metrics = {"horizon": found}
    checks = tuple(replace(c, metrics=metrics) if c.id == "position" else c for c in report.checks)
    svg = reach_profile.draw(subjects([replace(report, checks=checks)])).svg()
    assert words in texts(svg)


NAMES = ("_hidden", "$x_1$", "日本語 🙂", "", "x" * 300, "a\x1b[31m\nb")


def test_any_name_can_be_drawn(named: Callable[..., Report]) -> None:
    shown = subjects([named(name) for name in NAMES])
    assert all(draw(check, shown) for check in FIGURES)
    assert reach_profile.draw(shown).svg()


@pytest.mark.parametrize(("ceiling", "shown"), [(0.9, True), (3.0, False)])
def test_a_ceiling_far_above_does_not_press_its_curve_flat(
    ceiling: float, shown: bool, report: Report
) -> None:
    """Its name, outside of the axes, would leave no room for them."""
    one = {"distance": [0], "lower_bound": [0.5], "low": [0.06], "high": [0.55], "total": [0.5]}
    svg = draw("capacity", subjects([with_table(report, "capacity", one | {"ceiling": [ceiling]})]))
    assert ("ceiling" in texts(svg)) is shown
