"""A picture as a notebook keeps it: with words for those who do not see it."""

import re
from base64 import b64encode
from html import escape

__all__ = ["picture"]


def picture(png: bytes, says: str) -> dict[str, bytes | str]:
    """A picture as the output of a cell, ``{kind of data: content}``, with ``says`` as its alternative text.

    JupyterLab shows an ``image/png`` with an empty alternative text and nbconvert with a stock sentence; both prefer
    ``text/html``, and JupyterLab keeps an embedded image also in a notebook that it does not trust. The same bytes once more
    as ``image/png`` are for readers that know no HTML: PDF by LaTeX, simple viewers. VS Code reads ``text/plain`` aloud for a
    picture.

    Args:
        png: the picture.
        says: a sentence, plain or with the marks of HTML or of Markdown's ``**``, which alternative text cannot have.
    """
    says = re.sub(r"<[^>]+>|\*\*", "", says)
    data = b64encode(png).decode()
    html = f'<img alt="{escape(says)}" src="data:image/png;base64,{data}" style="max-width: 100%">'
    return {"text/html": html, "image/png": png, "text/plain": says}
