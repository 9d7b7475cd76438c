"""Built notebooks: what is in them, what is refused, and that two builds give the same bytes."""

import base64
import io
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_output
from PIL import Image

from regimes_course.kit.output import picture
from tools import notebooks
from tools.compose import COMPARED, SETUP, compose, sources
from tools.execute import SLIDERS, Refused, _normalise, _refuse, quantise, texts
from tools.stages import NBVAL, PYTEST, ROOT

ALL = ["lessons/01_tiny.ipynb", "exercises/01_tiny.ipynb", "solutions/01_tiny.ipynb"]


def load(root, name):
    return nbformat.read(root / name, as_version=4)


@pytest.mark.parametrize("name", ALL)
def test_built_notebooks_are_valid_and_complete(built, name):
    node = load(built, name)
    nbformat.validate(node)
    code = [cell for cell in node.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert code[0].source == SETUP and code[0].metadata.tags == ["setup", COMPARED]
    assert len({cell.id for cell in node.cells}) == len(node.cells)
    assert node.metadata.keys() == {"kernelspec", "language_info", "regimes"}
    assert node.metadata.language_info == {"name": "python"} and node.metadata.kernelspec.name == "python3"
    assert node.metadata.regimes.title == "Tiny"


def test_two_builds_give_the_same_bytes(built, tmp_path):
    shutil.copytree(built / "sources", tmp_path / "sources")
    assert notebooks.build(tmp_path, ["01"]) == []
    for name in ALL:
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name
        assert list((tmp_path / name).parent.iterdir()) == [tmp_path / name]  # no draft is left


def test_the_student_gets_a_stub_and_the_solution_no_markers(built):
    student, solved = (load(built, name) for name in ALL[1:])
    stub = next(cell for cell in student.cells if cell.id != "setup" and "def double" in cell.source)
    assert stub.source.endswith('"""Twice x."""\n    # YOUR CODE HERE\n    raise NotImplementedError()')
    assert "not attempted yet" in str(student) and "twice_of_it" not in str(student)
    answer = next(cell for cell in solved.cells if cell.id == stub.id)  # the same id in both
    assert answer.source.endswith('"""Twice x."""\n    twice_of_it = x + x\n    return twice_of_it')
    assert "01/double passed" in str(solved) and "### " not in answer.source
    assert "Multiplying" in str(solved) and "Multiplying" not in str(student)


def test_equal_cells_have_a_running_number(built):
    first, second = (cell.id for cell in load(built, ALL[0]).cells if cell.source == "The same.")
    assert second == f"{first}-2"


def test_a_widget_cell_is_readable_without_a_front_end_and_not_compared(built):
    cell = next(cell for cell in load(built, ALL[0]).cells if cell.id == "slider")
    assert cell.metadata.tags == ["widget", "nbval-ignore-output"]
    assert cell.outputs[0].data == {"text/plain": SLIDERS}


def test_what_is_personal_is_not_compared(course, lesson_text):
    root = course(lesson=lesson_text.replace('tags=["widget"]', 'tags=["personal"]'))
    cells = compose(sources(root)[0], "lessons").node.cells
    assert [cell.metadata.tags for cell in cells if cell.id == "slider"] == [["personal", "nbval-ignore-output"]]


def test_nbval_compares_the_outputs_of_all_other_code(built):
    for path in ALL:
        code = [cell for cell in load(built, path).cells if cell.cell_type == "code" and cell.id != "slider"]
        assert code and all("nbval-check-output" in cell.metadata.tags for cell in code)
        assert not any("nbval-ignore-output" in cell.metadata.tags for cell in code)


def test_nbval_finds_one_changed_word_and_nothing_else(built, tmp_path):
    node = load(built, ALL[0])
    (cell,) = (c for c in node.cells if c.cell_type == "code" and "two runs," in c.source)
    cell.outputs[0].text = cell.outputs[0].text.replace("one text", "two texts")
    path = tmp_path / "changed.ipynb"
    nbformat.write(node, path)
    command = [sys.executable, "-m", *PYTEST, *NBVAL, "-p", "no:cacheprovider", "-c", "pyproject.toml", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    code = [c for c in node.cells if c.cell_type == "code"]
    assert f"1 failed, {len(code) - 1} passed" in done.stdout, done.stdout
    assert "two texts" in done.stdout


def test_figures_have_a_palette_and_stay_sharp(built):
    (png,) = (
        o.data["image/png"]
        for c in load(built, ALL[0]).cells
        for o in c.get("outputs", [])
        if "data" in o and "image/png" in o.data
    )
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    assert image.mode == "P" and len(png) < 20_000
    levels = image.convert("L").getextrema()
    assert levels[0] < 20 and levels[1] > 250  # black text on white


def test_a_picture_in_html_keeps_its_words_gets_a_palette_and_is_no_text():
    """Among the letters of a picture are, by chance, times and paths."""
    noise = Image.effect_noise((60, 60), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, format="PNG")
    sent = base64.b64encode(buffer.getvalue()).decode()
    output = new_output("display_data", picture(buffer.getvalue(), "A loss of 0.1.") | {"image/png": sent})
    assert "A loss of 0.1." in texts(output)[0] and len(texts(output)[0]) < 120
    _normalise(output)
    small = output.data["image/png"]
    assert output.data["text/html"].count(small) == 1 and 'alt="A loss of 0.1."' in output.data["text/html"]
    assert len(small) < len(sent)


def test_nbval_compares_the_words_of_a_picture_and_not_its_pixels(built, tmp_path):
    pictures = [
        f'<img alt="A loss of {loss}." src="data:image/png;base64,{data}">' for loss, data in ((1, "iVB/+w=="), (2, "iVA="))
    ]
    cells = [nbformat.v4.new_code_cell(f"from IPython.display import HTML\nHTML({shown!r})") for shown in pictures]
    for count, (cell, stored) in enumerate(
        zip(cells, (pictures[0].replace("/+", "xy"), pictures[1].replace("2", "3")), strict=True)
    ):
        cell.execution_count, cell.metadata.tags = count + 1, [COMPARED]
        data = {"text/html": stored, "text/plain": "<IPython.core.display.HTML object>"}
        cell.outputs = [new_output("execute_result", data, execution_count=count + 1)]
    path = tmp_path / "pictures.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=load(built, ALL[0]).metadata), path)
    command = [sys.executable, "-m", *PYTEST, *NBVAL, "-p", "no:cacheprovider", "-c", "pyproject.toml", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout and "A loss of 3." in done.stdout, done.stdout


def test_thin_lines_keep_their_colour_among_many_others():
    page = Image.radial_gradient("L").convert("RGB").resize((300, 300))
    page.paste((213, 94, 0), (0, 150, 300, 152))
    buffer = io.BytesIO()
    page.save(buffer, format="PNG")
    small = Image.open(io.BytesIO(base64.b64decode(quantise(base64.b64encode(buffer.getvalue()).decode()))))
    assert max(abs(a - b) for a, b in zip(small.convert("RGB").getpixel((150, 150)), (213, 94, 0), strict=True)) < 30


def test_a_kernel_without_the_course_gets_one_clear_error():
    done = subprocess.run([sys.executable, "-S", "-I", "-c", SETUP], capture_output=True, text=True)
    assert done.returncode == 1
    assert "python3 course.py lab" in done.stderr and '%pip install -e "FOLDER-OF-course.py[course]"' in done.stderr


BAD_CELLS = {
    "error": ("1 / 0\nprint()", "ZeroDivisionError"),
    "warning": ("import warnings\nwarnings.warn('careful')", "stderr or a warning"),
    "path": ("print('', 'data', 'x', sep='/')", "an absolute path in the output"),
    "address": ("print(object())", "a memory address in the output"),
    "leak": ("print('twice_of_it', '= x + x')", "an output shows line 33 of the solution"),
}


@pytest.mark.parametrize("code, message", BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_failed_build_names_the_line_and_keeps_the_old_notebook(course, exercises_text, code, message):
    text = exercises_text.replace('check("01/double", double)\n', f'check("01/double", double)\n{code}\n')
    root = course(exercises=text)
    old = root / "exercises" / "01_tiny.ipynb"
    old.parent.mkdir()
    old.write_text("old")
    student = compose(sources(root)[1], "exercises")
    with pytest.raises(Refused, match=message) as error:
        notebooks.build_one(student, root)
    assert text.split("\n")[student.lines[error.value.cell] - 1] == '# %% check="double"'
    assert list(old.parent.iterdir()) == [old] and old.read_text() == "old"


def test_one_failure_does_not_stop_the_other_notebooks(course, monkeypatch, capsys):
    def fail_solutions(node, folder, on_cell):
        if folder.name == "solutions":
            raise Refused(3, "no")

    monkeypatch.setattr(notebooks, "execute", fail_solutions)
    root = course()
    assert notebooks.main(["build"], root) == 1
    assert "sources/01_tiny/exercises.py:26: solutions/01_tiny.ipynb: no" in capsys.readouterr().err
    assert [(root / name).exists() for name in ALL] == [True, True, False]


@pytest.mark.parametrize("text", ["100it/s", "took 3.2 s", "in 12 ms", "4 seconds", "Wall time: 1", "at 12:30:05"])
def test_times_are_refused(text):
    assert "a time in the output" in _refuse(new_output("stream", text=text))


@pytest.mark.parametrize("text", ["45 minutes", "at t = 2.5 steps", "GN/GD ratio 3.2", "<a href='../x/y.html'>"])
def test_ordinary_text_is_not_refused(text):
    assert _refuse(new_output("stream", text=text)) is None


def test_an_error_in_what_a_cell_displays_is_refused():
    error = new_output("error", ename="ValueError", evalue="lesson 02 never measured its claims b", traceback=["..."])
    assert "never measured its claims b" in (_refuse(error) or "")
