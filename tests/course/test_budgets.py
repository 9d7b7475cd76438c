"""Every built notebook is short enough to read, light enough to load and clean enough to compare."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, reads

from tools.compose import KINDS
from tools.execute import REFUSED, SLIDERS, WIDGET, texts
from tools.minutes import cost

ROOT = Path(__file__).resolve().parents[2]
BUILT = [path for kind in KINDS for path in sorted((ROOT / kind).glob("*.ipynb"))]
DEEPER = [path for path in BUILT if path.parent.name == "deeper"]
LESSONS = [path for path in BUILT if path.parent.name == "lessons"]  # each has to link to its notebook in deeper
NOT_PROSE = re.compile(
    r"```.*?```|\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|`[^`]*`|\$[^$]*\$"  # code and formulas
    r"|\]\([^)]*\)|<[^>]*>|https?://\S+|(?i:doi|arxiv):\s?\S+|\b\d{4}\.\d{4,5}(v\d+)?\b",  # addresses, paper ids
    re.S,
)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def load(path):
    return reads(path.read_text(encoding="utf-8"))


def of_kind(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def prose(notebook):
    return "\n\n".join(NOT_PROSE.sub(" ", cell.source) for cell in of_kind(notebook, "markdown"))


def outputs(notebook):
    return [output for cell in of_kind(notebook, "code") for output in cell.outputs]


def pictures(cell):
    return [output for output in cell.outputs if any(mime.startswith("image/") for mime in output.get("data", {}))]


def limits(spent, **allowed):
    """{what: (amount, allowed)} of every limit that is exceeded."""
    return {what: (spent[what], limit) for what, limit in allowed.items() if spent[what] > limit}


def over_budget(notebook):
    """What a lesson spends beyond its budget; the header's minutes are those of the rule, within a fifth."""
    spent = asdict(c := cost(notebook))
    stated = notebook.metadata["regimes"]["minutes"]
    spent |= {"plumbing": c.lines - c.ideas, "stated minutes": stated, "minutes off": abs(stated / c.minutes - 1)}
    most = {"cells": 26, "words": 1400, "inline": 45, "lines": 90, "before": 60, "pictures": 6, "loglog": 1, "widgets": 2}
    return limits(spent, **most, plumbing=0.4 * c.lines) | limits(spent, **{"stated minutes": 45, "minutes off": 0.2})


def over_deeper_budget(notebook):
    return limits(asdict(cost(notebook)), cells=44, words=2500, lines=170, pictures=10, widgets=2)


def bad_headings(notebook):
    """What is wrong with the headings: one H1, at the top, and no level left out on the way down."""
    fence = re.compile(r"```.*?```", re.S)
    texts = "\n\n".join(fence.sub("", cell.source) for cell in of_kind(notebook, "markdown"))
    found = re.findall(r"^(#{1,6}) (.+)$", texts, re.M)
    levels = [len(marks) for marks, _ in found]
    jumps = [found[i][1] for i in range(1, len(levels)) if levels[i] > levels[i - 1] + 1]
    return ([] if levels[:1] == [1] and levels.count(1) == 1 else ["not one H1 at the top"]) + jumps


def too_precise(text):
    """Numbers with more than three significant digits, years left out."""

    def digits(number):
        plain = re.sub(r"e.*", "", number).replace(",", "")
        return len(plain.replace(".", "").lstrip("0") if "." in plain else plain.strip("0"))

    year = re.compile(r"(19|20)\d\d")
    return [n for n in NUMBER.findall(text) if digits(n.rstrip(",")) > 3 and not year.fullmatch(n.rstrip(","))]


def silent_pictures(notebook):
    """Ids of cells with a picture that no visible sentence describes; under a slider the picture's own text counts."""

    def is_sentence(text):
        return len(text.split()) >= 4 and text != SLIDERS and not text.startswith("<Figure")

    def spoken(cell):
        own = pictures(cell) if "widget" in cell.metadata.get("tags", []) else []
        return [text for o in cell.outputs if o in own or o not in pictures(cell) for text in texts(o)]

    return [c.id for c in of_kind(notebook, "code") if pictures(c) and not any(map(is_sentence, spoken(c)))]


def dirty(notebook):
    """Outputs that must not be stored: errors, stderr, SVG, live widgets, machine paths, addresses, times."""
    for output in outputs(notebook):
        data = output.get("data", {})
        if output.output_type == "error" or output.get("name") == "stderr":
            yield output.output_type
        yield from (mime for mime in (WIDGET, "image/svg+xml") if mime in data)
        for text in texts(output) if output.output_type != "error" else ():
            yield from (f"{what}: {text}" for what, pattern in REFUSED.items() if pattern.search(text))


def test_there_are_notebooks_of_every_kind():
    assert {path.parent.relative_to(ROOT).as_posix() for path in BUILT} == set(KINDS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_keeps_its_budgets(path):
    notebook = load(path)
    assert over_budget(notebook) == {}
    assert f"](deeper/{path.name})" in "\n".join(cell.source for cell in notebook.cells)


@pytest.mark.parametrize("path", DEEPER, ids=lambda p: p.stem)
def test_what_goes_deeper_keeps_its_budgets(path):
    assert over_deeper_budget(load(path)) == {}


@pytest.mark.parametrize("path", BUILT, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_notebook_is_clean(path):
    notebook = load(path)
    assert path.stat().st_size <= 1_000_000
    assert "widgets" not in notebook.metadata
    assert list(dirty(notebook)) == []
    assert bad_headings(notebook) == []
    assert silent_pictures(notebook) == []
    assert too_precise(prose(notebook)) == []


# The budgets can be exceeded: one bad notebook for each.

PNG = new_output("display_data", {"image/png": "", "text/plain": "<Figure size 600x400>"})


def notebook(*cells, minutes=1):
    return NotebookNode(cells=list(cells), metadata=NotebookNode(regimes={"minutes": minutes}))


def code(*outputs, source="x = 1", tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


LOGLOG = new_output("display_data", {"image/png": ""}, metadata={"loglog": 1})


@pytest.mark.parametrize(
    "cells, what",
    [
        ([code()] * 27, "cells"),
        ([code(source="x = 1\n" * 91)], "lines"),
        ([code(source="import torch\nx = 1")], "plumbing"),
        ([code(source="show(picture)\nx = 1")], "plumbing"),
        ([code(PNG), new_markdown_cell("word " * 1401)], "words"),
        ([code(PNG), new_markdown_cell("<details>word</details> " + "$x$ " * 46)], "inline"),
        ([new_markdown_cell("word " * 61), code(PNG)], "before"),
        ([code(tags=["widget"])] * 3, "widgets"),
        ([code(PNG, PNG, PNG, PNG)] * 2, "pictures"),
        ([code(LOGLOG)] * 2, "loglog"),
        ([code(PNG), new_markdown_cell("word " * 1100)], "minutes off"),
    ],
)
def test_each_budget_can_be_exceeded(cells, what):
    assert what in over_budget(notebook(*cells))


def test_the_minutes_of_a_notebook():
    """By hand: 110 words, 6 inline formulas, one displayed, 10 lines, a picture, a widget, a prediction."""
    text = "word " * 110 + "$x$ " * 6 + "\n\n$$y$$\n\n<details>" + "folded " * 500 + "</details>"
    cells = (
        new_markdown_cell(text),
        code(PNG, source="x = 1\n" * 8),
        code(source="w.show()", tags=["widget"]),
        code(source="g = ..."),
    )
    assert cost(notebook(*cells)).minutes == pytest.approx(1 + 1 + 1 + 1 + 1 + 6 + 1)


def test_headings():
    assert bad_headings(notebook(new_markdown_cell("# A\n\n## B\n\n```\n# not one\n```\n\n### C\n\n## D"))) == []
    assert bad_headings(notebook(new_markdown_cell("# A\n\n### B"))) == ["B"]
    assert bad_headings(notebook(new_markdown_cell("# A\n\n# B"))) == ["not one H1 at the top"]
    assert bad_headings(notebook(new_markdown_cell("no heading"))) == ["not one H1 at the top"]


@pytest.mark.parametrize("text", ["2.5, 0.00123, 1e-12, 10,000 runs", "in 2024,", "3.10", "section 12", "1.20e-05"])
def test_numbers_a_reader_can_hold(text):
    assert too_precise(text) == []


@pytest.mark.parametrize("text", ["2.0203", "0.01234", "1,234", "12345", "1.234e-5", "slope -2.025.", "in 2024.5"])
def test_numbers_with_too_many_digits(text):
    assert len(too_precise(text)) == 1


def test_formulas_code_and_papers_are_not_prose():
    text = "`1.2345` $2.3456$ [here](x/1.2345) arXiv:2310.12345 2310.12345 https://a.b/1.2345\n\n$$\n9.8765\n$$ 7.6543"
    assert too_precise(prose(notebook(new_markdown_cell(text)))) == ["7.6543"]


def test_a_picture_needs_a_sentence():
    sentence = new_output("stream", text="The loss falls tenfold.\n")
    inside = new_output("display_data", {"image/png": "", "text/plain": "width 8: the loss is 0.1"})
    sliders = new_output("display_data", {"text/plain": SLIDERS})
    assert silent_pictures(notebook(code(PNG, sentence), code(inside, sliders, tags=["widget"]), code())) == []
    assert len(silent_pictures(notebook(code(PNG), code(inside), code(PNG, sliders, tags=["widget"])))) == 3


@pytest.mark.parametrize(
    "output",
    [
        new_output("error", ename="E", evalue="", traceback=[]),
        new_output("stream", name="stderr", text="careful"),
        new_output("display_data", {"image/svg+xml": "<svg/>"}),
        new_output("display_data", {WIDGET: {"model_id": "a"}}),
        new_output("stream", text="<object at 0x7f0000000000>"),
        new_output("stream", text="took 3.2 s"),
        new_output("display_data", {"text/html": "<a href='/usr/share/doc'>"}),
    ],
)
def test_outputs_that_must_not_be_stored(output):
    assert len(list(dirty(notebook(code(output))))) == 1
