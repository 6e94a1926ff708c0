"""Reads a page back: what it says, and whether it is whole."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """Checks that tags balance, and collects ids, headings, texts and what would be loaded."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.headings, self.loads, self.words, self.links = [], [], [], [], [], []
        self.regions, self.pictures, self.tables, self.titles = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self._see(tag, dict(attrs))
        if tag not in VOID or tag == "path":
            self.open.append(tag)
            self.regions.append(dict(attrs).get("class") or "")

    def handle_startendtag(self, tag, attrs):
        self._see(tag, dict(attrs))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a start"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        self.regions.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.titles.append((self.open[-1], " ".join(data.split())))

    def _see(self, tag, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("link", "script", "iframe", "object", "embed", "base"):
            self.loads.append(tag)
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            value = attrs.get(name) or ""
            if name == "href" and value.startswith("#"):
                self.links.append(value[1:])
            elif value and not value.startswith("data:image/png;base64,"):
                self.loads.append(f"{tag} {name}={value[:40]}")
        if tag == "img":
            assert attrs.get("alt")
        if tag == "svg":
            assert attrs.get("role") == "img"
            self.pictures.append(attrs["aria-label"])
        if tag == "table":
            self.tables.append("scroll" in self.regions)
        if tag == "summary":
            assert self.open[-1] == "details"
        if tag == "th":
            assert attrs.get("scope") in ("col", "row")

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(path):
    """A checked page: self-contained, balanced, ids unique, links whole, headings in order."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == []
    assert not re.search(r"url\(\s*['\"]?(?!#)", text)
    assert "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert path.stat().st_size < 3_000_000
    assert all(page.tables), "a table that cannot scroll makes a narrow page scroll"
    assert all(len(words) > 20 for words in page.pictures)
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    return page
