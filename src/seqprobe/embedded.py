"""The JSON of a report where it is embedded in its page; nothing of the page is run."""

from html.parser import HTMLParser

REPORT = "seqprobe-report"


def embedded_json(page: str) -> str:
    """The text of the one element that holds it.

    Raises:
        ValueError: there is none, or more than one.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    if len(reader.found) != 1:
        raise ValueError(f"{len(reader.found)} embedded reports, where there has to be one")
    return "".join(reader.found[0])


class _Reader(HTMLParser):
    """Collects the text of scripts that are data and bear the name of a report."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        data = tag == "script" and named.get("type") == "application/json"
        self.inside = data and named.get("id") == REPORT
        if self.inside:
            self.found.append([])

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1].append(data)
