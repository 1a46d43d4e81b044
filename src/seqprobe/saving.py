"""Write what was found to a file, as JSON or as what an installed renderer makes of it."""

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
    text = whole.to_json() if path.suffix == ".json" else _rendered(path.suffix, renderers, given)
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(
            "the report cannot be written", where=str(path), got=error.strerror or str(error)
        ) from error
    return path


def _rendered(suffix: str, group: str, given: tuple[Any, ...]) -> str:
    known = {f".{entry.name}": entry for entry in metadata.entry_points(group=group)}
    if suffix not in known:
        raise UsageError(
            f"no renderer for {suffix or 'a file without an ending'}",
            expected=", ".join([".json", *known]),
            do="Choose one of these endings.",
        )
    page: str = known[suffix].load()(*given)
    return page
