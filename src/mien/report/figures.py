"""The look of all figures, and their way into a page (inline SVG) or a file (PNG)."""

from __future__ import annotations

import io
import re
import textwrap
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from mien.outputs import whole
from mien.shown import visible

# Okabe and Ito's colours keep apart under the common colour-vision deficiencies.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a929b"
PURPLE, SKY = "#cc79a7", "#56b4e9"
# These stand for the page's own colours: in a page they follow its light or dark scheme.
INK, MUTED, GRID, PAPER = "#1c2127", "#58616b", "#dce0e5", "#fffffe"
CELL_INK = "#0e1116"  # text on a coloured cell, the same in both schemes
EMPTY_CELL = "#e4e6e9"
SHARES = LinearSegmentedColormap.from_list("mien", ["#f7fafd", "#b9d6ea", "#5aa2cf", "#1a6ba8", "#083a66"])
DOTTED: Any = (0, (1, 1))
# Lines of groups: colour, dash and marker, so that they stay apart without the colours.
LINES: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (ORANGE, "--", "s"),
    (GREEN, "-.", "^"),
    (PURPLE, DOTTED, "D"),
    (INK, (0, (5, 1, 1, 1, 1, 1)), "v"),
    (SKY, (0, (8, 2)), "P"),
)
MAX_LINES = len(LINES)

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mien",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called '$x$'
    "text.usetex": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9.5,
}
_TAG = re.compile("<[^>]*>")  # matplotlib writes > in values as an entity
PAGE_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

P = ParamSpec("P")


@contextmanager
def figure_style() -> Iterator[None]:
    """Mien's style for the time of a block; the caller's settings come back after it."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Names in scripts that the measuring font lacks are drawn by the browser's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def styled(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a function that makes a figure under :func:`figure_style`."""

    @wraps(plot)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with figure_style():
            return plot(*args, **kwargs)

    return inner


def new_figure(width: float, height: float, label: str) -> Figure:
    """A figure of its own canvas, known to no global state.

    Args:
        width: Inches; a page shows 96 pixels an inch.
        height: Inches.
        label: What the figure shows, in words: its text alternative.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_label(label)
    return figure


def shorten(text: str, width: int = 26) -> str:
    """``text`` in at most ``width`` characters, cut with an ellipsis."""
    text = " ".join(str(text).split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def wrap(text: str, width: int) -> str:
    """``text`` over several lines of about ``width`` characters."""
    return "\n".join(textwrap.wrap(shorten(text, 3 * width), width)) or str(text)


def ink_on(colour: tuple[float, float, float, float] | str) -> str:
    """White or ink, whichever contrasts more with a filling (WCAG 2).

    >>> ink_on("#ffffff"), ink_on("#0a3d62")
    ('#0e1116', '#ffffff')
    """
    filling = _luminance(colour) + 0.05
    return "#ffffff" if 1.05 / filling > filling / (_luminance(CELL_INK) + 0.05) else CELL_INK


def _luminance(colour: tuple[float, float, float, float] | str) -> float:
    """Relative luminance of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgba(colour)[:3]]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def figure_svg(figure: Figure, title: str | None = None, prefix: str | None = None) -> str:
    """A figure as an ``<svg>`` element to stand inside a page.

    Text stays text and takes the page's font; ink, muted ink, grid, paper and blue take the page's
    colours (``--ink``, ``--muted``, ``--grid``, ``--page``, ``--blue``) where it defines them; ids
    begin with ``prefix``, so that figures on one page do not collide.

    Args:
        figure: The figure.
        title: Its text alternative; by default the figure's own label.
        prefix: Start of all ids, unique on the page; by default a random one.
    """
    buffer = io.StringIO()
    with figure_style(), _laid_out(figure):
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Only tags are changed: what stands between them are names, which may hold anything that is replaced here.
    between, tags = _TAG.split(text), _TAG.findall(text)
    tags = _own_ids([_own_look(tag) for tag in tags], prefix or f"f{uuid.uuid4().hex[:8]}")
    text = "".join(visible(words, lines=True) + tag for words, tag in zip(between, [*tags, ""], strict=True))
    return _head(text, figure.get_label() if title is None else title, figure)


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Place the parts of a figure as saving it does, for the time of a block.

    ``savefig`` draws a figure that has a layout engine twice, the first time for the layout alone: a page of an
    audit has some twenty figures, and drawing them is most of what it costs.
    """
    engine, canvas, dpi = figure.get_layout_engine(), figure.canvas, figure.dpi
    if engine is None:
        yield
        return
    try:
        FigureCanvasSVG(figure)  # which measures text as SVG does
        figure.dpi = 72  # the unit of SVG
        engine.execute(figure)
        figure.dpi = dpi
        figure.set_canvas(canvas)
        figure.set_layout_engine("none")
        yield
    finally:
        figure.dpi = dpi
        figure.set_canvas(canvas)
        figure.set_layout_engine(engine)


def _own_look(tag: str) -> str:
    """A tag with the page's font and colours, without namespaces."""
    tag = re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", tag).replace("xlink:href=", "href=")
    for colour, name in ((INK, "ink"), (MUTED, "muted"), (GRID, "grid"), (PAPER, "page"), (BLUE, "blue")):
        tag = tag.replace(f": {colour}", f": var(--{name}, {colour})")
    return re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "var(--font)", tag)


def inline(figure: Figure, prefix: str) -> Markup:
    """A figure as markup for a page; ids begin with ``prefix``."""
    return Markup(figure_svg(figure, prefix=prefix))


def _own_ids(tags: list[str], prefix: str) -> list[str]:
    """Keep the ids that some tag refers to, under the prefix; drop the others."""
    used = {name for tag in tags for name in re.findall(r'(?:url\(#|href="#)([^")]+)', tag)}
    own = [re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", tag) for tag in tags]
    return [re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", tag) for tag in own]


def _head(text: str, title: object, figure: Figure) -> str:
    """Give the root element its size in page pixels, its role and its text alternative."""
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    box = re.search(r'viewBox="([^"]*)"', text)
    words = escape(visible(str(title), lines=True))
    head = (
        f'<svg role="img" aria-label="{words}" viewBox="{box[1] if box else f"0 0 {width} {height}"}" '
        f'width="{width}" height="{height}" style="--font: {PAGE_FONT.replace(chr(34), chr(39))}">'
    )
    return head + text[text.index(">", text.index("<svg")) + 1 :].strip()


def save_png(figure: Figure, path: Path | str, dpi: int = 144) -> Path:
    """Write a figure as PNG on white; a half-written file is never left behind."""
    path = Path(path)
    with whole(path) as partial, figure_style():
        figure.savefig(partial, format="png", dpi=dpi, facecolor="white")
    return path
