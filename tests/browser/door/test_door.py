"""The first command of the README, followed to where a learner has solved an exercise and pulled an update."""

import re
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell
from playwright.sync_api import expect

from tests.browser.door.conftest import git, running, say
from tests.browser.jupyter import ARTIFACTS, Notebook, wait_until

FIRST = "01_gradient_descent_and_gauss_newton.ipynb"
WRONG = "return J.T @ r"
RIGHT = "return J.T @ torch.linalg.solve(J @ J.T + damping * torch.eye(len(r), dtype=J.dtype), r)"
NOTE = "My note: the fast mode went first."

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser):
    """A page of its own, which may meet no error."""
    context, errors = browser.new_context(viewport={"width": 1200, "height": 900}), []
    context.on("weberror", lambda error: errors.append(error.error))
    yield context.new_page()
    context.close()
    assert not errors


def title(shown, server, path):
    """The first heading of a notebook, where it is shown."""
    first = nbformat.read(server.folder / path, 4).cells[0].source.splitlines()[0]
    return shown.get_by_role("heading", name=first.removeprefix("# "), exact=True)


def test_what_the_first_command_says(lab):
    said = lab.log.read_text("utf-8")
    assert "Making .venv" in said and said.index("Installed.") < said.index(lab.url)
    assert re.search(r"^ +\d+ s  \w", said, re.M), "not a word during the installation"
    assert not re.search(r"WARNING|not trusted|^\[[WI] |Traceback", said, re.M), said


def test_the_printed_address_opens_lesson_00_and_its_links_lead_on_and_back(lab, page):
    page.goto(f"{lab.url}/lab/tree/{lab.opened()}?token={lab.token}")
    shown = page.locator(".jp-NotebookPanel:visible")
    expect(title(shown, lab, lab.opened())).to_be_visible()
    expect(shown.locator(".jp-OutputArea img").first).to_be_visible()
    page.screenshot(path=ARTIFACTS / "door_lesson_00.png")
    shown.get_by_role("link", name="01 Gradient descent and Gauss-Newton").first.click()
    expect(title(shown, lab, f"work/lessons/{FIRST}")).to_be_visible()
    shown.locator("summary").first.click()  # what is needed stands folded under the picture
    shown.get_by_role("link", name="00", exact=True).first.click()
    expect(title(shown, lab, lab.opened())).to_be_visible()
    expect(page.get_by_text("Jupyter news")).to_have_count(0)
    for path in (lab.opened(), f"work/lessons/{FIRST}"):  # a page that is closed while its kernel starts can break the session
        wait_until(lambda path=path: lab.ready(path), f"the kernel of {path}")


def test_an_exercise_is_started_solved_wrongly_then_rightly(lab, clone, home, page):
    assert "Copied work/" in say("python3 course.py start 01 --again", clone, home).text
    notebook = Notebook(page, lab, f"work/{FIRST}")
    answer, check = notebook.cell("def gn_direction"), notebook.cell('check("01/gn_direction"')
    notebook.menu("Edit", "Clear Outputs of All Cells")
    where = "from importlib.util import find_spec; import sys; print(sys.executable)"
    notebook.replace_line(notebook.cells.first, "from importlib.util import find_spec", where)
    notebook.run(notebook.cells.first)
    expect(notebook.cells.first).to_contain_text(str(clone / ".venv"))
    notebook.select(answer)
    notebook.menu("Run", "Run All Above Selected Cell")
    for line, code, says in [
        (None, None, "01/gn_direction: not attempted."),
        ("raise NotImplementedError()", WRONG, "01/gn_direction: wrong. This is J^T r, the gradient of the summed loss"),
        (WRONG, RIGHT, "01/gn_direction: passed."),
    ]:
        if code:
            notebook.replace_line(answer, line, code)
        notebook.run(answer)
        notebook.run(check)
        expect(check.get_by_role("status")).to_contain_text(says)
        check.screenshot(path=ARTIFACTS / f"check_{says.split()[1].strip('.')}.png")
    notebook.save()
    assert "1 of 4 passed" in say(f"python3 course.py check work/{FIRST}", clone, home).text
    assert re.search(r"passed +gn_direction", say("python3 course.py progress", clone, home).text)


def test_a_lesson_that_was_run_opens_the_next_day_without_errors(lab, page):
    """The sliders are there, in their order; that no kernel answers them is said when one is moved."""
    notebook = Notebook(page, lab, lab.opened())
    notebook.run_all()
    labels = page.locator(".regimes-slider").all_text_contents()
    notebook.save()
    notebook.menu("Kernel", "Shut Down Kernel")
    wait_until(lambda: lab.ended(lab.opened()), "the end of the kernel")  # a page that meets a dying one shows no sliders
    page.reload()
    expect(page.locator(".regimes-slider")).to_have_count(len(labels))
    assert page.locator(".regimes-slider").all_text_contents() == labels
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)
    page.get_by_role("slider").first.press("ArrowRight")
    expect(page.get_by_text("Nothing moves? Run this cell again.")).to_be_visible()


def test_an_update_goes_through_whatever_a_learner_has_done_and_the_notes_stay(lab, clone, upstream, home, page):
    annotate_in_the_browser(page, lab)
    copies = sorted((clone / "work/lessons").glob("*.ipynb"))
    assert len(copies) == 10
    for path in copies[2::2]:
        change(path, NOTE)
    original = Notebook(page, lab, f"lessons/{FIRST}")  # whoever opens the course's own file can run it and not save it
    original.run(original.cells.first)
    page.keyboard.press("Control+s")
    expect(page.get_by_text("notebook is read-only", exact=True)).to_be_visible()
    assert git(clone, "status", "--porcelain") == ""

    for path in [*upstream.glob("lessons/**/*.ipynb"), *upstream.glob("exercises/*.ipynb")]:
        change(path, "New in this edition.")
    git(upstream, "commit", "-qam", "a new edition")
    mine = (clone / "work" / FIRST).read_bytes() if (clone / "work" / FIRST).exists() else b""
    git(clone, "pull", "-q")
    with running([sys.executable, f"{clone.name}/course.py", "lab", "--no-browser"], clone, home, "door_again") as again:
        said = again.log.read_text("utf-8")
    assert git(clone, "status", "--porcelain") == ""
    assert mine == ((clone / "work" / FIRST).read_bytes() if mine else b"")
    edited = {copies[1], *copies[2::2]}
    for path in copies:
        kept = list(path.parent.glob(f"{path.stem}.kept-*.ipynb"))
        assert "New in this edition." in path.read_text("utf-8")
        assert bool(kept) == (path in edited) == (f"{path.stem} has been updated" in said)
        assert not kept or NOTE in kept[0].read_text("utf-8")


def annotate_in_the_browser(page, lab):
    """Run a cell of the learner's copy of lesson 01, write a line into it and save, as JupyterLab does by itself."""
    notebook = Notebook(page, lab, f"work/lessons/{FIRST}")
    notebook.run(notebook.cells.first)
    notebook.cells.first.locator(".cm-line").first.click()
    page.keyboard.press("Home")
    page.keyboard.type(f"# {NOTE}\n")
    notebook.save()


def change(path: Path, text: str) -> None:
    """Write a cell at the end of a notebook, by hand."""
    notebook = nbformat.read(path, 4)
    notebook.cells.append(new_markdown_cell(text))
    nbformat.write(notebook, path)


def test_an_environment_that_has_the_course_is_used_as_it_is(lab, upstream, tmp_path, home, browser):
    """As with conda, in a JupyterHub or in a container: the course is in it, and no .venv. The port asked for is taken."""
    folder, own = tmp_path / "course", tmp_path / "own"
    git(tmp_path, "clone", "-q", str(upstream), "course")
    venv.create(own, with_pip=True)
    python = own / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-e", folder], check=True, env=home)
    packages = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True)
    others = [path for path in sys.path if path.endswith("site-packages")]
    Path(packages.stdout.strip(), "zz_others.pth").write_text("".join(f"import site; site.addsitedir({p!r})\n" for p in others))
    port = lab.url.rpartition(":")[2]
    with running([python, folder / "course.py", "lab", "--no-browser", "--port", port], folder, home, "door_own") as server:
        assert f"Port {port} is busy" in server.log.read_text("utf-8") and server.url != lab.url
        page = browser.new_page()
        page.goto(f"{server.url}/lab/tree/{server.opened()}?token={server.token}")
        expect(title(page, server, server.opened())).to_be_visible()
        assert server.ask("kernelspecs")["kernelspecs"]["python3"]["spec"]["argv"][0] == str(python)
        page.close()
    assert not (folder / ".venv").exists()
