"""A built book, page by page, as its tests read it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

CODE = ("code", "pre", "script", "style")


@dataclass
class Page(HTMLParser):
    """What a page holds: links, anchors, pictures, headings of the article."""

    path: Path
    links: list[str] = field(default_factory=list)  # what it leads to or loads
    loads: list[str] = field(default_factory=list)  # of these, what a browser fetches by itself
    anchors: set[str] = field(default_factory=set)
    alts: list[str | None] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)
    text: str = ""  # of the article, without code
    inside: bool = False
    code: int = 0  # how deep in elements whose text is code

    def __post_init__(self):
        super().__init__()
        self.feed(self.path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.anchors |= {known[key] for key in ("id", "name") if known.get(key)}
        for key in ("href", "src"):
            if key in known:
                self.links.append(known[key])
                if tag != "a":
                    self.loads.append(known[key])
        self.inside |= tag == "article"
        self.code += tag in CODE
        if tag == "img":
            self.alts.append(known.get("alt"))
        if self.inside and tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        self.inside &= tag != "article"
        self.code -= tag in CODE

    def handle_data(self, data):
        if self.inside and not self.code:
            self.text += data
