"""A report on view: in a file, a notebook, a browser or a paper, by what is installed for it."""

from __future__ import annotations

import logging
import re
import shutil
import sys
import tempfile
import webbrowser
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqprobe.errors import UsageError
from seqprobe.saving import installed, rendered, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RENDERERS = "seqprobe.renderers"
"""Entry points by file ending; each makes a text of a comparison, or of a row of reports."""
VIEWS = "seqprobe.views"
"""Entry points `summary`, a few lines of HTML for a notebook, and `figure`, one for a paper."""
FRAME = "width: 100%; height: 800px; border: 1px solid #8886; border-radius: 4px"


class Viewable(ABC):
    """What renderers can show."""

    @abstractmethod
    def to_json(self) -> str:
        """The JSON text."""

    @property
    @abstractmethod
    def _contents(self) -> tuple[Any, ...]:
        """What renderers are called with."""

    @abstractmethod
    def _plain_html(self) -> str:
        """A few lines for notebooks where no renderer serves."""

    def save(self, path: str | Path) -> Path:
        """Write JSON, or any form that an installed renderer provides, by the file's ending.

        `.html` is the page, `.md` a summary for pull requests, `.xml` one for CI, as JUnit has it.
        """
        return save(self, path, RENDERERS, *self._contents)

    def render(self, ending: str, **asked: Any) -> str:
        """The text that `save` writes to a file of this ending.

        Args:
            ending: such as `.md`.
            asked: what this renderer alone takes, such as `fail_on="attention"` for `.xml`.

        Raises:
            UsageError: nothing installed renders to this ending.
        """
        return rendered(self, ending, RENDERERS, *self._contents, **asked)

    def show(self) -> None:
        """Show the whole page: inside a notebook, or else in the browser.

        In a notebook it stands in a frame that runs no script, and becomes part of the notebook's
        file (about 1 MB for a model). Elsewhere it is written to a temporary folder, which is left
        to the system to clear.

        Raises:
            UsageError: there is no browser.
        """
        shell = _notebook()
        if shell is None:
            return _browse(self)
        html = _framed(self.render(".html"))
        shell.display_pub.publish({"text/html": html, "text/plain": repr(self)})
        return None

    def figure(self, name: str) -> Figure:
        """The figure of a check for a paper, or `reach-profile`, all models in the same axes.

        Black and colours on white, 6.6 inches wide; `set_size_inches` changes that. Fonts are
        embedded: `figure.savefig("decay.pdf")` writes vectors, and its letters stay letters.

        Raises:
            UsageError: no check of this name has a figure.
        """
        drawn: Figure = installed(VIEWS, "figure")(name, *self._contents)
        return drawn

    def _repr_html_(self) -> str:
        try:
            summary: str = installed(VIEWS, "summary")(*self._contents)
        except Exception:  # a notebook shows something in any case
            logging.getLogger(__name__).warning("no summary could be drawn", exc_info=True)
            return self._plain_html()
        return summary

    def _repr_markdown_(self) -> str | None:
        try:
            return self.render(".md")
        except UsageError:
            return None


def _notebook() -> Any:
    """The shell of a notebook, if this is one; IPython in a terminal has no kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if getattr(shell, "kernel", None) is not None else None


def _framed(page: str) -> str:
    """A frame whose links stay within it: `#findings` alone would be the notebook's own."""
    page = re.sub(r'(<a\b[^>]*\bhref=")#', r"\1about:srcdoc#", page)
    quoted = page.replace("&", "&amp;").replace("'", "&#39;")
    return f'<iframe title="SeqProbe report" sandbox style="{FRAME}" srcdoc=\'{quoted}\'></iframe>'


def _browse(report: Viewable) -> None:
    page = report.save(Path(tempfile.mkdtemp(prefix="seqprobe-")) / "report.html")
    if not webbrowser.open(page.as_uri()):
        shutil.rmtree(page.parent)
        raise UsageError(
            "there is no browser to show the page in",
            do='Write it to a file, as in `report.save("report.html")`.',
        )
