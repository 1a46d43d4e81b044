"""How figures look, and how matplotlib's SVG becomes part of a page.

Styles become presentation attributes, since strict servers forbid inline styles. Ink is drawn
in a colour that occurs nowhere else and then replaced by `currentColor`, so that figures follow
the page into the dark.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import seaborn

from seqprobe.names import printable

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676")
DASHES: tuple[Any, ...] = ("", (5, 2), (1.5, 1.5), (6, 2, 1.5, 2), (3, 1, 1, 1, 1, 1))
MARKERS = ("o", "s", "D", "^", "v")
INK = "#010203"
WIDTH = 6.6

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_DROPPED = ("style", "metadata")
_COORDINATES = ("d", "x", "y", "transform")


def look(ink: str, paper: str) -> Any:
    """Matplotlib's settings for figures in these colours."""
    inked = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
    return {
        **seaborn.axes_style("ticks"),
        **dict.fromkeys(inked, ink),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), paper),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.7,
        "svg.fonttype": "none",
        "svg.hashsalt": "seqprobe",
        "text.parse_math": False,
    }


def label(text: str) -> str:
    """A name that a figure has room for."""
    text = printable(text).lstrip("_") or "unnamed"  # matplotlib hides labels such as _this
    return text if len(text) <= 40 else f"{text[:24]}…{text[-15:]}"


def inline(drawing: str, id: str, title: str, description: str) -> str:
    """Clean matplotlib's SVG; `id` prefixes every id in it."""
    root = ElementTree.fromstring(drawing)
    for parent in list(root.iter()):
        for child in list(parent):
            if _plain(child.tag) in _DROPPED:
                parent.remove(child)
    for element in root.iter():
        _clean(element, f"figure-{id}-")
    _without_repetition(root)
    _describe(root, f"figure-{id}", title, description)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, prefix: str) -> None:
    element.tag = _plain(element.tag)
    attributes = {name: value for name, value in element.attrib.items() if name != "style"}
    if link := attributes.pop(_XLINK, None):
        attributes["href"] = "#" + prefix + link.removeprefix("#")
    id = attributes.pop("id", None)
    if id and element.tag != "g":  # nothing refers to groups
        attributes["id"] = prefix + id
    if element.tag not in ("text", "tspan"):
        element.text = None
    element.tail = None
    attributes |= _presentation(element.get("style", ""))
    element.attrib.clear()
    for name, value in attributes.items():
        text = value.replace("url(#", f"url(#{prefix}").replace(INK, "currentColor")
        if short := _rounded(text) if name in _COORDINATES else text:
            element.set(name, short)


def _without_repetition(root: ElementTree.Element) -> None:
    """Leave out groups that say nothing, shapes that cannot be seen, and what a shape has from
    the figure or from its kind.
    """
    _unwrap(root)
    _number(root)
    kinds = {f"#{id}": kind.attrib for kind in root.iter() if (id := kind.get("id"))}
    for element in root.iter():
        kind = kinds.get(element.get("href", ""), {})
        for name, value in list(element.items()):
            inherited = (name, value, "id" in element.attrib) == ("fill", "currentColor", False)
            if inherited or (element.tag == "use" and kind.get(name) == value):
                del element.attrib[name]


def _number(root: ElementTree.Element) -> None:
    """Short names in place of hashes."""
    ids = [id for element in root.iter() if (id := element.get("id"))]
    short = {id: f"{id.rpartition('-')[0]}-{number}" for number, id in enumerate(ids)}
    for element in root.iter():
        for name, value in element.items():
            if name in ("id", "href") or value.startswith("url("):
                bare = value.removeprefix("url(").removeprefix("#").removesuffix(")")
                element.set(name, value.replace(bare, short.get(bare, bare)))


def _unwrap(parent: ElementTree.Element) -> None:
    for child in parent:
        _unwrap(child)
    parent[:] = [
        kept
        for child in parent
        for kept in (child if child.tag == "g" and not child.attrib else [child])
        if kept.attrib.keys() != {"d", "fill"} or kept.get("fill") != "none"
    ]


def _rounded(coordinates: str) -> str:
    """Tenths of a point are enough, and half the bytes; what is not turned need not say so."""
    coordinates = re.sub(r"rotate\(-?0[ )][^)]*\)", "", coordinates)
    short = re.sub(r"\d+\.\d+", lambda found: _tenths(float(found[0])), coordinates)
    short = " ".join(short.split())
    return short if re.search("[CQ]", short) else re.sub(r"(?<=\d) L ", " ", short)


def _tenths(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _presentation(style: str) -> dict[str, str]:
    """CSS declarations as attributes; fonts are the page's own."""
    declared = (part.partition(":") for part in style.split(";") if ":" in part)
    attributes = {name.strip(): value.strip() for name, _, value in declared}
    attributes.pop("font-family", None)
    if attributes.get("stroke-dashoffset") == "0":
        del attributes["stroke-dashoffset"]
    if font := attributes.pop("font", ""):
        attributes["font-size"] = next(word for word in font.split() if word.endswith("px"))
    return attributes


def _describe(root: ElementTree.Element, id: str, title: str, description: str) -> None:
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "width": "640",
        "role": "img",
        "aria-labelledby": f"{id}-title {id}-description",
        "font-family": _FONTS,
        "fill": "currentColor",
    }
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(
            tag, id=f"{id}-{'title' if tag == 'title' else 'description'}"
        )
        element.text = printable(text)
        root.insert(position, element)


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]
