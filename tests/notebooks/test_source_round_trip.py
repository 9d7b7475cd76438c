"""A source is read as it was written: cell by cell, at the line where each stands, with and without its solutions."""

from hypothesis import given
from hypothesis import strategies as st

from tools.source import BEGIN, END, read

CODE = st.sampled_from(["x = 1", "    y = x + 1", 'print("# %% no cell")', "", "    # words", "def f(x):"])
PROSE = st.sampled_from(["# A title", "some words", "", "- a list", "$x^2$", "    indented", "```\ncode\n```"])


def block(lines):
    """Lines with text at both ends: what an editor leaves around a cell is not part of it."""
    return st.lists(lines, min_size=1, max_size=5).map(lambda ls: "\n".join(["x = 0", *ls, "z = 2"]))


CELLS = st.lists(st.one_of(st.tuples(st.just("code"), block(CODE)), st.tuples(st.just("markdown"), block(PROSE))), min_size=1)
TEXT = st.lists(st.tuples(CODE, st.booleans()), min_size=1, max_size=6)


def written(cells):
    """The text of a source, and the line of each cell."""
    lines, at = [], []
    for kind, text in cells:
        at.append(len(lines) + 1)
        shown = text.split("\n") if kind == "code" else [f"# {line}".rstrip() for line in text.split("\n")]
        lines += ["# %%" if kind == "code" else "# %% [markdown]", *shown, ""]
    return "\n".join(lines), at


def source(folder, text):
    path = folder / "sources" / "01_tiny" / "lesson.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read(path, folder)


@given(cells=CELLS)
def test_cells_come_back_with_their_lines(tmp_path, cells):
    text, at = written(cells)
    got = source(tmp_path, text).cells
    assert [(cell.kind, cell.text, cell.line) for cell in got] == [(*cell, n) for cell, n in zip(cells, at, strict=True)]


@given(lines=TEXT)
def test_a_solution_is_in_the_solved_cell_and_in_no_other(tmp_path, lines):
    marked = [part for i, (line, secret) in enumerate(lines) for part in ([BEGIN, f"s{i} = 1", END] if secret else [line])]
    (cell,) = source(tmp_path, written([("code", "\n".join(["x = 0", *marked, "z = 2"]))])[0]).cells
    kept = [f"s{i} = 1" if secret else line for i, (line, secret) in enumerate(lines)]
    stub = ["# YOUR CODE HERE", "raise NotImplementedError()"]
    assert cell.solved.split("\n") == ["x = 0", *kept, "z = 2"]
    assert cell.student.split("\n") == ["x = 0", *(p for line, secret in lines for p in (stub if secret else [line])), "z = 2"]
