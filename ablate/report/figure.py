"""The style of all figures, their ticks, and their bytes: equal numbers give equal bytes, so that unchanged figures are
not sent again.
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.recipe.shape import did_you_mean
from ablate.report.columns import ArgumentError
from ablate.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MINUS = "−"

PICTURES = ("png", "svg", "pdf")
"""Formats of figures, by suffix."""

# Okabe and Ito's palette for all kinds of color vision, and grays
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, GREY, FAINT = "#222222", "#666666", "#BBBBBB"

VERDICT_COLOURS = {"helps": GREEN, "hurts": VERMILION, "no difference": BLUE, "unclear": GREY, "unstable": VERMILION}

SIZE, TITLE, SMALL = 9.0, 10.8, 7.8
"""Points of names and labels, of titles, and of remarks."""

RULES: dict[Any, Any] = {
    "font.size": SIZE,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollars
    "text.usetex": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "svg.hashsalt": "ablate",
    "pdf.fonttype": 42,  # journals refuse type 3
}

OTHER_SCRIPTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "IPAexGothic", "IPAGothic", "NanumGothic"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Microsoft YaHei", "SimHei", "Yu Gothic", "MS Gothic"),
    *("Malgun Gothic", "Arial Unicode MS", "Unifont"),
)
"""Fonts for letters that DejaVu lacks, if one of them is installed."""


@cache
def font_families() -> list[str]:
    """DejaVu, and the installed fonts for other letters."""
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in there)]


@cache
def letters() -> frozenset[int]:
    """The characters that these fonts have."""
    from matplotlib import font_manager

    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in font_families()]
    return frozenset(code for font in fonts for code in font.get_charmap())


def readable(text: str) -> str:
    """Text with characters that no installed font has as their codes, such as \\u6570: boxes would all look alike."""
    return "".join(
        letter if letter.isspace() or ord(letter) in letters() else f"\\u{ord(letter):04x}" for letter in text
    )


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in this style, whatever the user's matplotlib settings are, without warnings about missing letters."""
    from matplotlib import rc_context, rcParamsDefault

    families = font_families()
    usual: dict[Any, Any] = {key: value for key, value in rcParamsDefault.items() if not key.startswith("backend")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rc_context({**usual, **RULES, "font.family": families}):
            yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, with a canvas that measures text. Call it under `drawing`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def picture_bytes(figure: Figure, format: str) -> bytes:
    """The file's contents, without dates and versions. Call it under `drawing`. Raises ValueError for an unknown
    format.
    """
    check_picture(format)
    make_readable(figure)
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    }
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, metadata=metadata[format], dpi=200)
    return buffer.getvalue()


def make_readable(figure: Figure) -> None:
    """Replace characters that no installed font has (see `readable`). Call it under `drawing`."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if (said := text.get_text()) != (shown := readable(said)):
            text.set_text(shown)


def mark(variant: str) -> str:
    """What the ids of a variant's elements in an SVG begin with: names may contain anything, ids may not."""
    return f"variant-{hashlib.sha256(variant.encode()).hexdigest()[:12]}"


@contextmanager
def marked(axes: Axes, variant: str) -> Iterator[None]:
    """Context in which what is added to the axes gets the `mark` of the variant in an SVG."""
    before = set(axes.get_children())
    yield
    for i, artist in enumerate(one for one in axes.get_children() if one not in before):
        artist.set_gid(f"{mark(variant)}-{i}")


def check_picture(format: str) -> None:
    """Raises ValueError for an unknown format."""
    if format not in PICTURES:
        raise ValueError(f"format (={format}) must be one of {', '.join(PICTURES)}.{did_you_mean(format, PICTURES)}")


def picture_suffix(path: Path | str) -> str:
    """The format of a file by its suffix. Raises ValueError for an unknown one."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in PICTURES:
        raise ArgumentError(f"output (={path}) must end in one of {', '.join(f'.{name}' for name in PICTURES)}.")
    return suffix


LARGEST, SMALLEST = 1e290, 1e-290
"""The largest number on an axis, and the shortest axis."""


@cache
def _ruler() -> Figure:
    return new_figure(1, 1)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = SIZE, *, bold: bool = False) -> float:
    """The width of a line of text in inches. Call it under `drawing`."""
    figure = _ruler()
    written = figure.text(0, 0, text, size=size, weight="bold" if bold else "normal")
    width = float(written.get_window_extent().width / figure.dpi)
    written.remove()
    return width


def fitted(text: str, width: float, size: float = SIZE, *, bold: bool = False) -> str:
    """The text in one line of at most ``width`` inches: long text loses its middle, where names differ least. Call it
    under `drawing`.
    """
    text = readable(plain(text))
    if text_width(text, size, bold=bold) <= width:
        return text
    low, high = 0, len(text)
    while low < high:  # the largest number of characters that fits
        middle = (low + high + 1) // 2
        if text_width(_shortened(text, middle), size, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return _shortened(text, low)


def _shortened(text: str, kept: int) -> str:
    if kept >= len(text):
        return text
    head = (kept + 1) // 2
    return f"{text[:head].rstrip()}…{text[len(text) - (kept - head) :].lstrip()}"


def titled_study(study: str, rest: str, width: float) -> str:
    """A title that begins with the study's name and keeps the rest whole. Call it under `drawing`."""
    return fitted(plain(study).strip(), width - text_width(rest, TITLE, bold=True), TITLE, bold=True) + rest


def wrapped(text: str, width: float, size: float = SIZE, lines: int = 2) -> str:
    """Words of the text over at most ``lines`` lines of ``width`` inches; the rest is left out, with an ellipsis. Call
    it under `drawing`.
    """
    words, found = plain(text).split(" "), list[str]()
    while words and len(found) < lines:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= width:
            count += 1
        if len(found) == lines - 1:
            count = len(words)
        found.append(fitted(" ".join(words[:count]), width, size))
        words = words[count:]
    return "\n".join(found)


def number(value: float, spacing: float | None = None) -> str:
    """A tick's label: ``0.002``, ``1,500``, ``2e-06``; with as many decimals as ticks so far apart need."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-4 or size >= 1e6:
        text = f"{value:.2g}" if spacing is None else f"{value:.{_digits(size, spacing)}e}"
    elif spacing is None:
        text = f"{value:,.6g}" if size >= 1 else f"{value:.6f}".rstrip("0")
    else:
        text = f"{value:,.{max(0, -math.floor(math.log10(spacing) + 1e-9))}f}"
    return text.replace("-", MINUS)


def _digits(size: float, spacing: float) -> int:
    return max(0, math.floor(math.log10(size)) - math.floor(math.log10(spacing) + 1e-9))


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values between two positive numbers, evenly spread on a logarithmic axis: 1, 2, 5 …, or powers of ten where
    these are enough.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        ticks = [float(f"{tick:.3g}") for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    every = -(-len(ticks) // most)
    return ticks[::every]


def linear_ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round values between two numbers, evenly spread; ``whole``: only integers."""
    from matplotlib.ticker import MaxNLocator

    # without 2.5 as a step, neighbors always differ in the decimals of their distance
    return [float(tick) for tick in MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)]


def drawable(low: float, high: float, what: str) -> tuple[float, float]:
    """The ends of an axis. Raises ValueError if matplotlib cannot draw it."""
    if not (-LARGEST <= low <= high <= LARGEST and high - low >= SMALLEST):
        raise ValueError(f"{what} from {low:.3g} to {high:.3g} cannot be drawn. See the values with 'ablate table'.")
    return low, high


def set_ticks(axis: Axis, low: float, high: float, *, log: bool = False, most: int = 6, whole: bool = False) -> None:
    """Set ticks between two numbers of an axis whose scale is set."""
    ticks = log_ticks(low, high, most) if log else linear_ticks(low, high, most, whole=whole)
    if log and len(ticks) < 3:
        ticks, log = [tick for tick in linear_ticks(low, high, 4) if tick > 0], False
    spacing = None if log or len(ticks) < 2 else ticks[1] - ticks[0]
    inside: Sequence[float] = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(inside, [number(tick, spacing) for tick in inside])
    axis.set_ticks([], minor=True)
