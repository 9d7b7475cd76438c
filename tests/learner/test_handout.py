"""Lessons reach work/lessons as copies that follow updates, and nothing that was written in one is ever lost."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regimes_course.learner.handout import RECORD, hand_out_lessons
from regimes_course.learner.start import start

NAME = "01_descent"
LINKS = (
    "[one](02_lazy.ipynb#top) [two](../docs/NOTATION.md) [three](../exercises/01_descent.ipynb) [web](https://a.b/c) $[f](x)$"
)


def edition(root, text):
    """Write an edition of the course."""
    for name in (NAME, "02_lazy"):
        cells = [new_markdown_cell(LINKS, id="links"), new_code_cell(f"print({text!r})", id="code")]
        nbformat.write(new_notebook(cells=cells), root / f"lessons/{name}.ipynb")


@pytest.fixture
def root(tmp_path):
    """A course in its first edition, handed out."""
    for name in ("lessons", "docs", "exercises"):
        (tmp_path / name).mkdir()
    (tmp_path / "docs/NOTATION.md").write_text("")
    nbformat.write(new_notebook(), tmp_path / "exercises/01_descent.ipynb")
    edition(tmp_path, "first")
    assert hand_out_lessons(tmp_path) == []
    return tmp_path


def change(root, how):
    """Change the learner's copy of lesson 01, and save it as JupyterLab does."""
    path = root / f"work/lessons/{NAME}.ipynb"
    notebook = nbformat.read(path, 4)
    how(notebook)
    nbformat.write(notebook, path)
    return path.read_bytes()


def ran(notebook):
    notebook.cells[1].outputs, notebook.cells[1].execution_count = [new_output("stream", text="first")], 7
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.cells.append(new_code_cell(""))  # Shift+Enter in the last cell leaves one


def annotated(notebook):
    notebook.cells[0].source += "\n\nMy note."


def copies(root):
    return {path.name: path.read_text("utf-8") for path in (root / "work/lessons").glob("*.ipynb")}


@pytest.mark.parametrize("how", [ran, annotated])
def test_within_an_edition_a_copy_is_left_alone(root, how):
    saved = change(root, how)
    assert hand_out_lessons(root) == [] and (root / f"work/lessons/{NAME}.ipynb").read_bytes() == saved


def test_a_copy_that_was_only_run_follows_an_update(root):
    change(root, ran)
    edition(root, "second")
    assert hand_out_lessons(root) == []
    assert sorted(copies(root)) == [f"{NAME}.ipynb", "02_lazy.ipynb"] and all(
        "second" in text for text in copies(root).values()
    )


def test_a_mark_at_the_start_of_a_file_is_no_edit(root):
    """Some editors on Windows write one."""
    path = root / f"work/lessons/{NAME}.ipynb"
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    edition(root, "second")
    assert hand_out_lessons(root) == []


@pytest.mark.parametrize("record", ["kept", "lost", "damaged"])
def test_an_edited_copy_is_kept_beside_the_new_one(root, record):
    saved = change(root, annotated)
    edition(root, "second")
    file = root / "work/lessons" / RECORD
    file.write_text({"kept": file.read_text(), "damaged": "[{", "lost": "{}"}[record])
    told = hand_out_lessons(root)
    (kept,) = (root / "work/lessons").glob(f"{NAME}.kept-*.ipynb")
    assert kept.read_bytes() == saved and "second" in copies(root)[f"{NAME}.ipynb"]
    assert [line for line in told if f"kept as work/lessons/{kept.name}" in line] and hand_out_lessons(root) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', "not a notebook"])
def test_a_file_that_is_no_notebook_is_kept_too(root, text):
    (root / f"work/lessons/{NAME}.ipynb").write_text(text)
    edition(root, "second")
    hand_out_lessons(root)
    (kept,) = (root / "work/lessons").glob(f"{NAME}.kept-*.ipynb")
    assert kept.read_text() == text


def test_a_copy_that_was_deleted_comes_back(root):
    (root / f"work/lessons/{NAME}.ipynb").unlink()
    hand_out_lessons(root)
    assert "first" in copies(root)[f"{NAME}.ipynb"]


def test_links_lead_where_they_led_but_to_the_copies_of_lessons(root):
    text = nbformat.read(root / f"work/lessons/{NAME}.ipynb", 4).cells[0].source
    moved = "[two](../../docs/NOTATION.md) [three](../../exercises/01_descent.ipynb)"
    assert text == f"[one](02_lazy.ipynb#top) {moved} [web](https://a.b/c) $[f](x)$"


def test_the_originals_are_never_written(root):
    before = {path: path.read_bytes() for folder in ("lessons", "exercises") for path in (root / folder).iterdir()}
    change(root, annotated)
    start("01", root)
    hand_out_lessons(root)
    assert before == {path: path.read_bytes() for folder in ("lessons", "exercises") for path in (root / folder).iterdir()}
