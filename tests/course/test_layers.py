"""Who may import whom: the library nothing of the course, predictions nothing at all, and nobody in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LIB = Path(__file__).resolve().parents[2] / "lib"
FILES = sorted(LIB.rglob("*.py"))
SOURCES = sorted(LIB.parent.glob("sources/*/*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(LIB).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, source: str | None = None) -> set[str]:
    """The modules of the project that a file imports, wherever in the file it does so."""
    package, found = list(path.relative_to(LIB).parts[:-1]), set()
    for node in ast.walk(ast.parse(source or path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in NAMES else origin for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("regimes", "regimes_course")}


NAMES = {name_of(path) for path in FILES}
ARROWS = {(name_of(path), name) for path in FILES for name in imports(path)}
KIT, LEARNER = "regimes_course.kit", "regimes_course.learner"


def room(name: str) -> str:
    """The part of the project that a module belongs to: ``regimes.metrics``, ``regimes_course.lesson04``."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize(
    ("who", "whom"),
    [
        ("regimes", "regimes_course"),
        ("regimes.theory", "regimes"),
        ("regimes.reference", "regimes"),
        (KIT, "regimes_course.lesson"),
        (KIT, LEARNER),
    ],
)
def test_who_may_not_import_whom(who, whom):
    inside = who + "."
    arrows = {(a, b) for a, b in ARROWS if (a + ".").startswith(inside) and b.startswith(whom)}
    assert not {(a, b) for a, b in arrows if not (b + ".").startswith(inside)}


def test_a_measurement_uses_no_prediction():
    users = {a for a, b in ARROWS if b.startswith("regimes.theory") and not a.startswith("regimes.theory")}
    assert not {a for a in users if a.startswith("regimes.")}


def test_no_lesson_imports_another():
    assert not {(a, b) for a, b in ARROWS if all(n.startswith("regimes_course.lesson") for n in (a, b)) and room(a) != room(b)}


def test_a_check_is_for_the_learner_who_calls_it():
    """What a notebook, a figure or a widget shows is an experiment, or the library's: nobody imports it from a check."""
    notebooks = {(path.parent.name, name) for path in SOURCES for name in imports(LIB / path.name, path.read_text("utf-8"))}
    users = {a for a, b in ARROWS | notebooks if ".checks" in b and ".checks" not in a}
    assert len(notebooks) > 100 and users == {"regimes_course.exercises"}


def test_no_circles():
    graph = {}
    for a, b in ARROWS:
        if room(a) != room(b):
            graph.setdefault(room(a), set()).add(room(b))
    TopologicalSorter(graph).prepare()


def test_the_parser_sees_every_kind_of_import():
    path = LIB / "regimes_course/kit/somewhere.py"
    lines = ["import regimes.flows", "from regimes import kernels as k", "from ..learner import lab", "from . import page"]
    lines += ["def f():", "    from regimes.theory.gauss_newton import z"]
    found = imports(path, "\n".join(lines))
    library = {"regimes.flows", "regimes.kernels", "regimes.theory.gauss_newton"}
    assert found == library | {f"{LEARNER}.lab", f"{KIT}.page"}
    assert len(ARROWS) > 100
