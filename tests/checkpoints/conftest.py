"""Checkpoints of all kinds, and the code that builds their module."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from seqprobe.reference.recipe import recipe_from
from seqprobe.reference.training import train

Code = Callable[[str], str]

pytest.register_assert_rewrite("twins")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are faster so, and busy neighbours do less harm."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the cat sat on the mat and then it ran home. " * 40)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """What `seqprobe train` writes."""
    path = tmp_path_factory.mktemp("trained") / "tiny.pt"
    settings = {"steps": 2, "parameters": 5000, "context": 32, "batch": 4, "data": str(text)}
    train(recipe_from("gru", settings), path, torch.device("cpu"), lambda step, bits: None)
    return path


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """Write a module of user code into the present folder; its name is new each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])

    def write(source: str) -> str:
        name = f"own_code_{tmp_path.name.replace('-', '_')}_{len(list(tmp_path.glob('*.py')))}"
        (tmp_path / f"{name}.py").write_text(dedent(source))
        return name

    return write
