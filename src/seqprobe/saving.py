"""Write what was found to a file, as JSON or as what an installed renderer makes of it."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from seqprobe.atomic import replacing
from seqprobe.errors import FileError, UsageError


@runtime_checkable
class Saveable(Protocol):
    """What has a form in JSON, and renderers of its own."""

    def to_json(self) -> str:
        """The JSON text."""
        ...


def save(whole: Saveable, path: str | Path, renderers: str, *given: Any) -> Path:
    """Write by the file's ending.

    Args:
        whole: what is saved.
        path: ending in .json, or in the name of a renderer.
        renderers: their entry-point group; each is registered there by file ending.
        given: what a renderer is called with.

    Raises:
        UsageError: no renderer for this ending.
        FileError: the file cannot be written.
    """
    path = Path(path)
    return write(path, rendered(whole, path.suffix, renderers, *given))


def rendered(whole: Saveable, ending: str, renderers: str, *given: Any, **asked: Any) -> str:
    """The text that `save` writes to a file of this ending; arguments as for it.

    Raises:
        UsageError: no renderer for this ending.
    """
    if ending == ".json":
        return whole.to_json()
    known = [f".{entry.name}" for entry in metadata.entry_points(group=renderers)]
    if ending not in known:
        raise UsageError(
            f"no renderer for {ending or 'a file without an ending'}",
            expected=", ".join([".json", *known]),
            do="Choose one of these endings.",
        )
    text: str = installed(renderers, ending[1:])(*given, **asked)
    return text


def write(path: Path, text: str) -> Path:
    """Write a text whole or not at all.

    Raises:
        FileError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(
            "the report cannot be written", where=str(path), got=error.strerror or str(error)
        ) from error
    return path


def installed(group: str, name: str) -> Callable[..., Any]:
    """What is registered under a name in a group of entry points.

    Raises:
        UsageError: nothing is.
    """
    for entry in metadata.entry_points(group=group, name=name):
        found: Callable[..., Any] = entry.load()
        return found
    raise UsageError(
        f"nothing installed makes the {name} of a report",
        expected=f"an entry point {name!r} in the group {group}",
        do="Install seqprobe whole, with `pip install .` in its folder.",
    )
