"""A picture as a notebook keeps it: with words for those who do not see it."""

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure
from PIL import Image

__all__ = ["movie", "picture"]


def movie(frames: Sequence[Figure], seconds: float = 4.0) -> bytes:
    """An animation of figures of one size, as a GIF that plays once and rests on its last frame.

    Args:
        frames: drawn in this order, at equal times.
        seconds: how long it plays; motion of more than five seconds would need a button to stop it.
    """
    images = [_image(figure).convert("P", palette=Image.Palette.ADAPTIVE, colors=32) for figure in frames]
    file = io.BytesIO()
    times = {"duration": round(1000 * seconds / len(images)), "optimize": True}
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], **times)
    return file.getvalue()


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
        film: a GIF that moves to this picture. It is folded away under it: nothing moves before a reader asks for it.
    """
    says = re.sub(r"<[^>]+>|\*\*", "", says)
    data = b64encode(png).decode()
    html = f'<img alt="{escape(says)}" src="data:image/png;base64,{data}" style="max-width: 100%">'
    if film is not None:
        moving = f'<img alt="" src="data:image/gif;base64,{b64encode(film).decode()}" style="max-width: 100%">'
        html += f"<details><summary>See it move</summary>{moving}</details>"
    return {"text/html": html, "image/png": png, "text/plain": says}
