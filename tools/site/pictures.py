"""The pictures of a notebook as files beside its page, and animations that a reader can stop."""

import io
import re
from base64 import b64decode
from html import escape
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image

from regimes_course.kit.webm import unpack

PICTURE = re.compile(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]+)"[^>]*>')
FILM = re.compile(r'(<details>.*<video controls src=")data:video/webm;base64,([^"]+)(".*</details>)')


def settle(node: NotebookNode, key: str, static: Path, up: str) -> None:
    """Write the pictures in the outputs of a notebook into files, and let the page name them.

    Args:
        node: the notebook, which is changed.
        key: a folder name that no other page has.
        static: the folder ``_static`` of the book.
        up: how the page calls the root of the book: ``"../"``.
    """
    for place, cell in enumerate(node.cells):
        for number, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if PICTURE.search(data.get("text/html", "")):
                data.pop("image/png", None)
                data["text/html"] = _named(data["text/html"], f"pictures/{key}/{place}-{number}", static, f"{up}_static/")


def linked(alt: str, src: str, size: tuple[int, int]) -> str:
    """A picture that leads to its file: alone, it can be turned and enlarged where a page is narrow."""
    width, height = size
    img = f'<img alt="{alt}" src="{src}" width="{width}" height="{height}" loading="lazy">'
    return f'<a class="alone" href="{src}" title="Enlarge">{img}</a>'


def _named(html: str, name: str, static: Path, root: str) -> str:
    def still(found: re.Match) -> str:
        content = b64decode(found[2])
        _written(static / f"{name}.png", content)
        return linked(found[1], f"{root}{name}.png", Image.open(io.BytesIO(content)).size)

    html, films = FILM.subn(lambda found: _film(found, name, static, root), PICTURE.sub(still, html))
    return f'<div class="film">{html}</div>' if films else html


def _film(found: re.Match, name: str, static: Path, root: str) -> str:
    """The frames of a film as files, and where the page's script finds them; without scripts the film itself, folded."""
    before, data, after = found.groups()
    film = b64decode(data)
    _written(static / f"{name}.webm", film)
    frames, delay = unpack(film)
    for index, frame in enumerate(frames):
        _written(static / name / f"{index}.webp", frame)
    place = f'data-frames="{root}{escape(name)}/" data-count="{len(frames)}" data-delay="{delay}"'
    return f'<noscript>{before}{root}{name}.webm{after}</noscript><p class="movie" {place}></p>'


def _written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
