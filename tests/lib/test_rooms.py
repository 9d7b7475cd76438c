"""The floor plan: a room imports only from its own floor or below, in no circle; theory and reference import no room."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import regimes

HOUSE = Path(regimes.__file__).parent
FLOORS = {
    1: ["errors", "data", "seeds", "network", "losses", "linalg", "jacobians", "hessians", "networks", "problems", "store"],
    2: ["directions", "exact", "kernels", "linear", "population"],
    3: ["optimizers", "flows", "metrics"],
    4: ["online", "sweep", "training"],
    5: ["figures", "ledger", "claims"],
    6: ["explore", "checks", "course"],
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
BESIDE = ["theory", "reference"]


def room_of(path):
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path, source=None):
    """The rooms of the house that a file imports, wherever in the file it does so."""
    package = ["regimes", *path.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(ast.parse(source or path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            names = [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("regimes."))


FILES = sorted(p for p in HOUSE.rglob("*.py") if p != HOUSE / "__init__.py")
EDGES = [(path, room) for path in FILES for room in imports(path) if room != room_of(path)]


def test_every_room_has_a_floor():
    rooms = {room_of(path) for path in FILES}
    assert rooms <= {*FLOOR, *BESIDE}, f"give {rooms - {*FLOOR, *BESIDE}} a floor here and in the page on architecture"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_imports_go_only_downward(path):
    for room in {room for file, room in EDGES if file == path}:
        if room_of(path) in BESIDE:
            pytest.fail(f"{room_of(path)} must import no room of the house; it imports {room}")
        if room in BESIDE:
            assert FLOOR[room_of(path)] >= 5, f"a measurement ({room_of(path)}) must not use a prediction ({room})"
        else:
            assert FLOOR[room] <= FLOOR[room_of(path)], f"{room_of(path)} imports {room}, a floor above it"


def test_no_circles():
    graph = {}
    for path, room in EDGES:
        graph.setdefault(room_of(path), set()).add(room)
    TopologicalSorter(graph).prepare()


def test_the_parser_sees_every_kind_of_import():
    path = HOUSE / "checks" / "somewhere.py"
    lines = ["import regimes.flows", "from regimes import kernels as k", "from ..ledger import x", "from . import y"]
    lines += ["def f():", "    from regimes.theory.gauss_newton import z"]
    assert sorted(imports(path, "\n".join(lines))) == ["checks", "flows", "kernels", "ledger", "theory"]
    assert len(EDGES) > 10


def test_the_package_itself_imports_nothing():
    assert not list(imports(HOUSE / "__init__.py"))
