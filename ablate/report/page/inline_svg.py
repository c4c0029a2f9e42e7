"""A matplotlib SVG as an element of a page: colors of the page's theme, tooltips, ids of its own, short numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from ablate.report.figure import BLUE, FAINT, GREEN, GREY, INK, ORANGE, VERMILION

THEME = {
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    VERMILION: "red",
    INK: "ink",
    GREY: "muted",
    FAINT: "faint",
    "#eeeeee": "rule",
    "#ffffff": "paper",
}
"""Colors of figures, and the page's custom properties that take their place."""

NAMES = {colour.lower(): f"var(--{name})" for colour, name in THEME.items()}


def inline(svg: bytes, name: str, label: str, tips: Mapping[str, str]) -> str:
    """The element. Its ids begin with ``name``. ``tips`` maps marks of variants (`figure.mark`) to tooltips."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): _changed(_local(key), value, name) for key, value in element.attrib.items()}
        found = re.match(rf"{re.escape(name)}-(variant-[0-9a-f]+)", element.get("id", ""))
        if found and found[1] in tips:
            element.set("data-variant", found[1])
            title = ElementTree.Element("title")
            title.text = tips[found[1]]
            element.insert(0, title)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    for key in ("height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "style": f"max-width:{width:.0f}pt;min-width:{width * 0.7:.0f}pt",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """A name without its namespace: in HTML, an SVG needs none."""
    return name.rpartition("}")[2]


def _changed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-", 1)
    if key == "d":
        value = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", value)
        return re.sub(r"\s*([A-Za-z])\s*", r"\1", value)
    if key == "style":
        value = re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: NAMES.get(found[0].lower(), found[0]), value)
    return value.replace("url(#", f"url(#{name}-")
