"""The pictures of a notebook as files beside its page, and animations that a reader can stop."""

import io
import re
from base64 import b64decode
from html import escape
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image, ImageSequence

from tools.site.frames import webp

EMBEDDED = re.compile(r'<img alt="([^"]*)" src="data:image/(png|gif);base64,([^"]+)"[^>]*>')
FOLDED = re.compile(r"<details><summary>[^<]*</summary>(<img [^>]*\.gif[^>]*>)</details>")


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
            if EMBEDDED.search(data.get("text/html", "")):
                data.pop("image/png", None)
                data["text/html"] = _named(data["text/html"], f"pictures/{key}/{place}-{number}", static, f"{up}_static/")


def _named(html: str, name: str, static: Path, root: str) -> str:
    movies, alts = [], [""]

    def new(found: re.Match) -> str:
        alt, kind, data = found.groups()
        alts.append(alt or alts[-1])  # an animation shows what its last frame, above it, has words for
        content = b64decode(data)
        _written(static / f"{name}.{kind}", content)
        if kind == "gif":
            movies.append(_movie(content, name, static, root))
        width, height = Image.open(io.BytesIO(content)).size
        return f'<img alt="{alts[-1]}" src="{root}{name}.{kind}" width="{width}" height="{height}" loading="lazy">'

    html = EMBEDDED.sub(new, html)
    for movie in movies:  # without scripts the GIF is there, folded; it moves when it is unfolded
        html = f'<div class="film">{FOLDED.sub(lambda found: f"<noscript>{found[0]}</noscript>", html)}{movie}</div>'
    return html


def _movie(gif: bytes, name: str, static: Path, root: str) -> str:
    """The frames of an animation as files, and where the page's script finds them."""
    image = Image.open(io.BytesIO(gif))
    delay = image.info.get("duration", 100)
    frames = [webp(frame) for frame in ImageSequence.Iterator(image)]
    for index, frame in enumerate(frames):
        _written(static / name / f"{index}.webp", frame)
    return f'<p class="movie" data-frames="{root}{escape(name)}/" data-count="{len(frames)}" data-delay="{delay}"></p>'


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
