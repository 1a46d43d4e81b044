"""Any damage to a file is one error of ours, or none; `benchmarks/fuzz.py` looks further."""

import contextlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from seqprobe.checkpoints.pickles.inert import load
from seqprobe.checkpoints.read import read
from seqprobe.checkpoints.trees.plain import Plain
from seqprobe.errors import FileError

quickly = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def saved(thing: Any, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def rezipped(content: bytes) -> bytes:
    """An intact archive around a pickle, with the numbers that it may refer to."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in {"data.pkl": content, "data/0": bytes(64), "data/1": b""}.items():
            archive.writestr(f"m/{name}", member)
    return buffer.getvalue()


TREE = {"model": nn.Linear(2, 2).state_dict(), "args": {"lr": 0.1}, "whole": nn.ReLU()}
with zipfile.ZipFile(io.BytesIO(saved(TREE, zipped=True))) as _archive:
    INNER = _archive.read("archive/data.pkl")
SEEDS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "zip": (saved(TREE, zipped=True), bytes),
    "pickle in a zip": (INNER, rezipped),
    "legacy": (saved(TREE, zipped=False), bytes),
    "pickle": (pickle.dumps(TREE), bytes),
    "pickle 0": (pickle.dumps(TREE, 0), bytes),
    "safetensors": (save(TREE["model"]), bytes),
}


@st.composite
def edits(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A few bytes changed, cut out, doubled or put in, or the end cut off."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["change", "cut", "double", "insert", "end"]),
                st.floats(0, 1, exclude_max=True),
                st.binary(min_size=1, max_size=9),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(content: bytes) -> bytes:
        for kind, where, new in changes:
            at = int(where * len(content))
            before, after = content[:at], content[at:]
            content = {
                "change": before + new + after[len(new) :],
                "cut": before + after[len(new) :],
                "double": before + after[: 4 * len(new)] + after,
                "insert": before + new + after,
                "end": before if where > 0.5 else content,
            }[kind]
        return content

    return damage


def refusal(path: Path, content: bytes) -> str:
    """What is said against a file; of one that is read, every number lies inside."""
    path.write_bytes(content)
    try:
        contents = read(path)
    except FileError as error:
        return str(error)
    for spec in contents.weights.values():
        assert spec.storage.start + spec.storage.bytes <= len(content)
    return ""


@pytest.mark.parametrize("seed", SEEDS)
def test_any_damage_is_one_error_or_none(seed: str, tmp_path: Path) -> None:
    whole, wrap = SEEDS[seed]

    @quickly
    @given(edits())
    def damaged(damage: Callable[[bytes], bytes]) -> None:
        assert "\n" not in refusal(tmp_path / "model.pt", wrap(damage(whole)))

    damaged()


@quickly
@given(content=st.binary(max_size=300), head=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]))
def test_any_bytes_are_one_error_or_none(content: bytes, head: bytes, tmp_path: Path) -> None:
    assert "\n" not in refusal(tmp_path / "model.pt", head + content)


OPERATIONS = b".()]}l0123Ntdesuabch\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94RQq\x00h\x01K\x05o"


@quickly
@given(st.lists(st.sampled_from(OPERATIONS), max_size=60).map(bytes))
def test_any_pickle_program_is_one_error_or_none(program: bytes) -> None:
    content = b"cno\nsuch\nq\x00]q\x01" + program + b"."
    with contextlib.suppress(FileError):
        Plain("f")(load(io.BytesIO(content), "f"))
