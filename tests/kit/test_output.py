"""A picture as the output of a cell: its words wherever a reader meets it."""

import base64
import re
from html.parser import HTMLParser

import nbformat
from nbconvert import HTMLExporter, LatexExporter

from regimes_course.kit.output import picture

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")
SAYS = 'A <b>loss</b> of **0.1**, "small": κ & η.'
PLAIN = 'A loss of 0.1, "small": κ & η.'


def attributes(html):
    """Of the first image in a page."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append(dict(attrs)) if tag == "img" else None
    parser.feed(html)
    (image,) = found
    return image


def test_the_sentence_is_the_alternative_text_without_marks():
    bundle = picture(PNG, SAYS)
    image = attributes(bundle["text/html"])
    assert image["alt"] == bundle["text/plain"] == PLAIN and bundle["image/png"] == PNG
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG


def test_exports_have_the_picture_and_a_page_has_its_words():
    data = picture(PNG, SAYS) | {"image/png": base64.b64encode(PNG).decode()}
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", data)])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert attributes(page)["alt"] == PLAIN
    tex, resources = LatexExporter().from_notebook_node(notebook)
    assert re.search(r"adjustimage.*\.png", tex) and PNG in resources["outputs"].values()
