"""The exercises as a course of nbgrader, for those who use it: `python3 course.py nbgrader DIR`.

It scores in the process that runs a student's code, which `course.py grade` does not; its gradebook and its forms are what one
comes for.
"""

import argparse
import sys
from pathlib import Path

import nbformat

from regimes_course.learner.notebook import called
from tools.compose import Notebook, compose, sources

ROOT = Path(__file__).resolve().parent.parent
CONFIG = '''"""For nbgrader 0.9: see https://nbgrader.readthedocs.io."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "regimes"
c.ExecutePreprocessor.timeout = 120  # seconds for a cell
c.ExecutePreprocessor.extra_arguments = ["--InteractiveShell.xmode=Minimal"]  # feedback does not tell where you keep what
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\\nraise NotImplementedError()"}
'''


def assignment(source) -> Notebook:
    """The exercises of a lesson with nbgrader's marks: answers are solutions, checks are tests worth an exercise's stars."""
    built = compose(source, "solutions")
    texts = {cell.meta["exercise"]: cell.text for cell in source.cells if cell.kind == "code" and "exercise" in cell.meta}
    stars = {cell.meta["exercise"]: cell.meta["stars"] for cell in source.cells if "stars" in cell.meta}
    cells = [cell for cell in built.node.cells if "solution" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(cells):
        marks = {"grade": False, "solution": False, "locked": True, "task": False, "grade_id": f"cell-{number}"}
        marks["schema_version"] = 3
        name, check = cell.metadata.get("exercise"), cell.metadata.get("check")
        if cell.cell_type == "code" and name:
            cell.source = texts[name]
            marks |= {"solution": True, "locked": False, "grade_id": name}
        elif check:
            (key,) = called(cell)
            cell.source = f'assert check("{key}", {check}, strict=True).status == "passed"'
            marks |= {"grade": True, "points": stars[check], "grade_id": f"check-{check}"}
        cell.metadata = nbformat.NotebookNode(nbgrader=marks, **cell.metadata)
    built.node.cells = cells
    return built


def write(folder: Path, lessons: list[str]) -> list[Path]:
    """An nbgrader course with one assignment for each lesson that has exercises; the notebooks written."""
    folder.mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(CONFIG, "utf-8")
    written = []
    for source in sources(ROOT, lessons):
        if source.name == "exercises.py":
            path = folder / "source" / source.folder / f"{source.folder}.ipynb"
            path.parent.mkdir(parents=True)
            nbformat.write(assignment(source).node, path)
            written.append(path)
    return written


def main(arguments: list[str]) -> int:
    """Write the course; 2 for a folder that is there already."""
    parser = argparse.ArgumentParser("course.py nbgrader", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("lessons", nargs="*", metavar="NN", help="which lessons; all if none is named")
    chosen = parser.parse_args(arguments)
    if chosen.folder.exists():
        print(f"{chosen.folder} is there already; name a new folder, so that nothing in it is overwritten", file=sys.stderr)
        return 2
    written = write(chosen.folder, chosen.lessons)
    print(f"{len(written)} assignments. In {chosen.folder}: nbgrader generate_assignment {written[0].stem} --create")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
