"""A picture as a notebook keeps it: with words for those who do not see it."""

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure
from PIL import Image

from regimes_course.kit import webm

__all__ = ["movie", "picture"]


def movie(frames: Sequence[Figure], seconds: float = 4.0) -> bytes:
    """An animation of figures of one size, as a WebM film.

    Args:
        frames: drawn in this order, at equal times.
        seconds: how long it plays.
    """
    return webm.pack([_image(figure) for figure in frames], seconds)


def _image(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def picture(png: bytes, says: str, film: bytes | None = None) -> dict[str, bytes | str]:
    """A picture as the output of a cell, ``{kind of data: content}``, with ``says`` as its alternative text.

    JupyterLab shows an ``image/png`` with an empty alternative text and nbconvert with a stock sentence; both prefer
    ``text/html``, and JupyterLab keeps an embedded image also in a notebook that it does not trust. The same bytes once more
    as ``image/png`` are for readers that know no HTML: PDF by LaTeX, simple viewers. VS Code reads ``text/plain`` aloud for a
    picture.

    Args:
        png: the picture.
        says: a sentence, plain or with the marks of HTML or of Markdown's ``**``, which alternative text cannot have.
        film: a WebM film that moves to this picture. It is folded away under it: nothing moves before a reader asks for it,
            and the browser's own buttons pause and repeat it.
    """
    says = re.sub(r"<[^>]+>|\*\*", "", says)
    data = b64encode(png).decode()
    html = f'<img alt="{escape(says)}" src="data:image/png;base64,{data}" style="max-width: 100%">'
    if film is not None:
        src = f"data:video/webm;base64,{b64encode(film).decode()}"
        moving = f'<video controls src="{src}" title="How the picture above comes about" style="max-width: 100%"></video>'
        html += f"<details><summary>See it move</summary>{moving}</details>"
    return {"text/html": html, "image/png": png, "text/plain": says}
