"""From the repository to the book, in three steps: the frames of the widgets, a folder for Sphinx, Sphinx."""

import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import nbformat

from benchmarks.widgets import widgets
from tools.site import api, contents, explorers, grid, text
from tools.site.frames import all_frames
from tools.site.pages import BOOK, DOCS, ROOT, Book, notebook, widgets_in

WORK = ROOT / "build"
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def build(out: Path, repository: str = "", jobs: int = 2, quick: bool = False, work: Path = WORK) -> None:
    """Write the book into the folder ``out``; ``quick`` shows few positions of each widget.

    Raises:
        subprocess.CalledProcessError: where Sphinx finds anything to complain about.
    """
    source = work / "source"
    shutil.rmtree(source, ignore_errors=True)
    write(source, Book.of(repository), jobs, quick, work / ("frames-quick" if quick else "frames"))
    html = work / "html"  # not `out` itself: myst-nb writes beside it
    shutil.rmtree(html, ignore_errors=True)
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", str(jobs), "-E", "-d", str(work / "doctrees")]
    subprocess.run([*sphinx, str(source), str(html)], check=True)
    for source_map in html.rglob("*.map"):  # for those who debug the theme: 2 MB
        source_map.unlink()
    mathjax(html / "_static/mathjax")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(html, out)


def write(source: Path, book: Book, jobs: int, quick: bool, cache: Path) -> None:
    """Write the folder that Sphinx reads."""
    shutil.copytree(BOOK, source)
    static, known = source / "_static", dict(widgets())
    wanted = {name: grid.kept(name, known[name]) for name in widgets_in(book)}
    if quick:
        wanted = {name: grid.thinned(values, known[name]) for name, values in wanted.items()}
    frames = all_frames(wanted, cache, jobs)
    explorers.write(frames, static)
    for page in book.notebooks:
        path = source / page
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(book, page, frames, static), path)
    for page in DOCS:
        path = source / page
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.links((ROOT / page).read_text("utf-8"), page, book.target), "utf-8")
    for page, content in (contents.pages(book) | api.pages()).items():
        (source / page).parent.mkdir(exist_ok=True)
        (source / page).write_text(content, "utf-8")
    shutil.copy(ROOT / "docs/regimes.png", static)


def mathjax(folder: Path) -> None:
    """Put MathJax beside the pages, so that no formula is fetched from elsewhere."""
    package = distribution("sphinx-mathjax-offline")
    home = Path(str(package.locate_file("sphinx-mathjax-offline/static/mathjax")))
    for part in MATHJAX:
        copy = shutil.copytree if (home / part).is_dir() else shutil.copy
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy(home / part, folder / part)
