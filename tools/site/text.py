"""Markdown as notebooks and code hosts read it, made fit for Sphinx."""

import posixpath
import re
from collections.abc import Callable

LINK = re.compile(r"(?<![!`\w])\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]*[./#][^()\s]*)\)")
HREF = re.compile(r'(<a href="[^":]+)\.(?:ipynb|md)\b')  # what is HTML already, Sphinx leaves as it is
ELSEWHERE = re.compile(r"[a-z]+:|#")
ARXIV = re.compile(r"(?<!\[)arXiv[ :](\d{4}\.\d{4,5})(?!\]|\w)")
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
FORMULA = re.compile(r"\$([^$\n]+)\$")
DISPLAYED = re.compile(r"^\$\$[^$]+\$\$$", re.MULTILINE)
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)


def links(text: str, page: str, target: Callable[[str], str | None]) -> str:
    """The text with its links to files of the repository as the book has them, and with papers' numbers as links.

    Args:
        text: Markdown.
        page: the path of its file, from the root of the repository.
        target: ``target(path)`` is what a link to this file leads to, relative to the book's root, or an address. With None the
            name of the file stands there instead of a link.
    """

    def new(found: re.Match) -> str:
        label, link = found.groups()
        if ELSEWHERE.match(link):
            return found[0]
        path, mark, anchor = link.partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        leads = target(there)
        if leads is None:
            return f"`{there}`" if label in (path, posixpath.basename(path)) else f"{label} (`{there}`)"
        if not ELSEWHERE.match(leads):
            leads = posixpath.relpath(leads, posixpath.dirname(page) or ".")
        return f"[{label}]({leads}{mark}{anchor})"

    def linked(plain: str) -> str:
        return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", HREF.sub(r"\1.html", LINK.sub(new, plain)))

    return _outside_code(text, linked)


def displayed(text: str) -> str:
    """The text with displayed formulas as paragraphs of their own, also where a line of text stands next to them."""
    return _outside_code(text, lambda plain: DISPLAYED.sub(r"\n\g<0>\n", plain))


def folded(text: str) -> str:
    """What is folded, closed where Sphinx ends a block.

    Up to its first empty line a ``<details>`` is HTML, in which formulas have to be marked; what comes after is Markdown, in
    which the end has to stand alone.
    """

    def new(found: re.Match) -> str:
        head, gap, body = found[0].partition("\n\n")
        head = FORMULA.sub(r'<span class="math notranslate nohighlight">\\(\1\\)</span>', head)
        return head + (f"\n\n{body.removesuffix('</details>').rstrip()}\n\n</details>\n" if gap else "")

    return FOLDED.sub(new, text)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts = CODE.split(text)
    return "".join(part if place % 2 else change(part) for place, part in enumerate(parts))
