"""What is the same on all pages: the style sheet and the script."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files

from markupsafe import Markup


@dataclass(frozen=True)
class Script:
    """A script within a page; its digest is what the page's policy lets run."""

    text: Markup

    @cached_property
    def digest(self) -> str:
        """As policies name it: SHA-256 in base 64."""
        return b64encode(sha256(self.text.encode()).digest()).decode()


def style() -> Markup:
    """The style sheet of all pages."""
    return static("page.css")


def script() -> Script:
    """The script of all pages, which can be read without it."""
    return Script(static("page.js"))


def static(name: str) -> Markup:
    """A file of ours that goes into pages as it is."""
    return Markup((files("seqprobe_reports") / "static" / name).read_text("utf-8"))
