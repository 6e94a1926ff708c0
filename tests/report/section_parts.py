"""Parts of a section, by kind."""

from mien.report.blocks import Figures, Folded, Items, Table, Text


def parts(section, kind):
    """Blocks of one kind, those that open on a click among them."""
    inner = [b for f in section.blocks if isinstance(f, Folded) for b in f.blocks]
    return [b for b in [*section.blocks, *inner] if isinstance(b, kind)]


def sentences(section):
    return [t.text for t in parts(section, Text)]


def figures(section):
    return [d for f in parts(section, Figures) for d in f.drawings]


def tables(section):
    return parts(section, Table)


def notes(section):
    return [n for i in parts(section, Items) for n in i.items]


def texts(row):
    """The values of a row."""
    return [c if isinstance(c, str) else c.text for c in row]
