"""Exercises reach work/ and nothing there is ever overwritten."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from regimes_course.learner import Unusable
from regimes_course.learner.start import exercises, listing, start


@pytest.fixture
def root(tmp_path):
    (tmp_path / "exercises").mkdir()
    for name in ("01_descent", "02_lazy_regime"):
        cells = [new_markdown_cell(f"[lesson](../lessons/{name}.ipynb)"), new_code_cell(f"fresh {name}")]
        nbformat.write(new_notebook(cells=cells), tmp_path / f"exercises/{name}.ipynb")
        (tmp_path / "lessons").mkdir(exist_ok=True)
        (tmp_path / f"lessons/{name}.ipynb").write_text("")
    return tmp_path


def work(root):
    """What the files in work/ say: of a fresh copy its code."""

    def text(path):
        return nbformat.read(path, 4).cells[1].source if path.read_text().startswith("{") else path.read_text()

    return {path.name: text(path) for path in (root / "work").iterdir()}


@pytest.mark.parametrize("number", ["01", "1"])
def test_the_first_start_copies_and_names_the_next_commands(root, number):
    says = start(number, root)
    assert work(root) == {"01_descent.ipynb": "fresh 01_descent"}
    assert "Copied work/01_descent.ipynb" in says and "course.py check work/01_descent.ipynb" in says
    link = nbformat.read(root / "work/01_descent.ipynb", 4).cells[0].source
    assert link == "[lesson](lessons/01_descent.ipynb)"  # to the learner's copy


def test_a_second_start_changes_nothing_and_offers_again(root):
    start("01", root)
    (root / "work/01_descent.ipynb").write_text("mine")
    says = start("01", root)
    assert work(root) == {"01_descent.ipynb": "mine"}
    assert "stays as it is" in says and "start 01 --again" in says


def test_again_keeps_every_earlier_copy(root):
    for number in range(3):
        start("01", root, again=True)
        (root / "work/01_descent.ipynb").write_text(f"mine {number}")
    says = start("01", root, again=True)
    texts = work(root)
    assert texts.pop("01_descent.ipynb") == "fresh 01_descent"
    assert sorted(texts.values()) == ["mine 0", "mine 1", "mine 2"]
    assert all(name.startswith("01_descent.kept-20") and name.endswith(".ipynb") for name in texts)
    assert any(f"kept as work/{name}" in says for name in texts)


@pytest.mark.parametrize("number", ["07", "0", "descent", "../01"])
def test_an_unknown_lesson_gets_the_list(root, number):
    with pytest.raises(Unusable, match="(?s)no exercises for lesson.*01  descent\n  02  lazy regime"):
        start(number, root)
    assert not (root / "work").exists()


def test_the_list(root, tmp_path):
    assert exercises(root)["02"].name == "02_lazy_regime.ipynb"
    assert listing(root) == "Lessons with exercises:\n  01  descent\n  02  lazy regime"
    assert "none" in listing(tmp_path / "nowhere")
