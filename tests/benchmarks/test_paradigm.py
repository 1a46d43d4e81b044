"""The command: what is measured where, and a page with a chart from what is kept."""

import planted
import pytest
import torch

import paradigm
from claims.kept import Book


@pytest.mark.parametrize(("device", "first", "longest"), [("cpu", 1, 4096), ("cuda", 5, 65_536)])
def test_a_gpu_is_asked_for_more(device, first, longest):
    settings = list(paradigm.settings(torch.device(device), None))
    assert len(settings) == first
    assert len({setting.name for setting in settings}) == first
    assert {setting.lengths[-1] for setting in settings} == {longest}
    (short, *_) = paradigm.settings(torch.device(device), 200)
    assert short.lengths == [64, 128]


def test_the_page_and_its_chart_are_made_of_one_file(tmp_path, capsys):
    path = tmp_path / "kept.json"
    Book([planted.RUN], planted.costs(planted.textbook)).write(path)
    paradigm.show(path)
    assert "![Seconds over length](kept.svg)" in capsys.readouterr().out
    drawn = (tmp_path / "kept.svg").read_text()
    assert len(drawn) < 100_000
    assert all(word in drawn for word in ("planted", "decoding", "mingru"))
