"""One model in several files, with a JSON index that says which tensor lies in which file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from seqprobe.checkpoints.contents import Contents
from seqprobe.checkpoints.formats.json_text import read as read_json
from seqprobe.errors import FileError


def shards(index: Path) -> list[Path]:
    """Name the files, all of them beside the index.

    Raises:
        FileError: one is missing, or is said to lie elsewhere.
    """
    names = sorted(set(_places(index).values()))
    if missing := [name for name in names if not (index.parent / name).exists()]:
        raise FileError(
            f"{len(missing)} of {len(names)} shards are missing",
            where=index.name,
            got=f"no {', '.join(missing[:3])}" + (" and others" if missing[3:] else ""),
            expected="all of them beside the index",
            do="Download or copy them too.",
        )
    return [index.parent / name for name in names]


def merged(index: Path, parts: Mapping[str, Contents]) -> Contents:
    """Join what the files hold, by the name of each file, as the index says.

    Raises:
        FileError: a tensor is not where it should be.
    """
    places = _places(index)
    lost = [name for name, file in places.items() if name not in parts[file].weights]
    if lost:
        raise FileError(
            "a tensor is not in its shard",
            where=index.name,
            got=f"no {lost[0]} in {places[lost[0]]}"
            + f" and {len(lost) - 1} more" * (len(lost) > 1),
            do="Download the shards and the index again.",
        )
    first = next(iter(parts.values()))
    return replace(
        first,
        path=index,
        container=f"{first.container} in {len(parts)} shards",
        bytes=sum(part.bytes for part in parts.values()),
        weights={name: parts[file].weights[name] for name, file in places.items()},
    )


def _places(index: Path) -> dict[str, str]:
    """From each tensor to the name of its file."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise FileError("the index names no tensors", where=index.name, do="Download it again.")
    for file in places.values():
        if not isinstance(file, str) or Path(file).name != file:
            raise FileError(
                "the index points out of its folder",
                where=index.name,
                got=str(file)[:80],
                expected="the name of a file beside it",
                do="Do not trust this checkpoint.",
            )
    return places
