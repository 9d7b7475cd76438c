"""What a source must obey. A rule takes a Source and yields (line, message); every breach is reported at once."""

import ast
import re
from collections import defaultdict

from tools.source import BEGIN, END, REGION, Problem, Source

MAX_LINES = 20
UNCOMPARED = {"widget", "personal"}  # what such a cell shows differs from time to time, or from learner to learner
IDEA_LINES = 12
TAGS = {"solution", "hero", "idea", *UNCOMPARED}
PARTS = ("exercise", "hints", "check", "see", "discussion")
ROLES = ("core", "optional")
KEYS = {*PARTS, "stars", "minutes", "concept", "role", "vary", "tags", "id"}
ABSOLUTE = re.compile(r"(?<![\w.:/*)\]}<+,~-])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\+Users\\")
PLUMBING = re.compile(r"\[:, None\]|\bruns=|strict=True|^_ =|\bledger\b|\bsweep\(")  # of many runs, or of the bookkeeping
CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def code_lines(text: str) -> int:
    """Lines of code a reader sees in a cell: blank lines and docstrings do not count, comments do."""
    lines = {n for n, line in enumerate(text.split("\n"), 1) if line.strip()}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def header(source: Source):
    """Title, minutes, needs, papers, objectives."""

    def texts(value):
        return isinstance(value, list) and all(isinstance(v, str) and v for v in value)

    fields = {
        "title": (lambda v: isinstance(v, str) and v.strip(), "a text"),
        "minutes": (lambda v: isinstance(v, int) and v > 0, "a whole number"),
        "needs": (texts, 'a list of quoted lesson numbers, ["00"] or []'),
        "papers": (texts, "a list of paper keys, or []"),
        "objectives": (lambda v: texts(v) and 3 <= len(v) <= 5, "a list of 3 to 5 texts"),
    }
    if not re.fullmatch(r"\d\d_\w+", source.folder):
        yield 1, f"the folder '{source.folder}' must be called NN_name, as 01_gradient_descent"
    for name, (good, wanted) in fields.items():
        if not good(source.header.get(name)):
            yield 1, f"header field '{name}' is {source.header.get(name, 'missing')!r}; it must be {wanted}"


def metadata(source: Source):
    """Known keys and tags, and cell ids that are valid and used once."""
    first = {"setup": 1}
    for cell in source.cells:
        for key in sorted(cell.meta.keys() - KEYS):
            yield cell.line, f"unknown cell metadata '{key}'; known: {', '.join(sorted(KEYS))}"
        for tag in sorted(set(cell.tags) - TAGS):
            yield cell.line, f"unknown tag '{tag}'; known: {', '.join(sorted(TAGS))}"
        if (name := cell.meta.get("id")) is None:
            continue
        if not CELL_ID.fullmatch(str(name)):
            yield cell.line, f"cell id {name!r} must be 1 to 64 letters, digits, '-' or '_'"
        if name in first:
            yield cell.line, f"duplicated cell id '{name}', first used at line {first[name]}"
        first.setdefault(name, cell.line)


def markers(source: Source):
    """Solution markers: in exercise code only, balanced, not nested, not empty."""
    for cell in source.cells:
        opened, count = None, 0
        for n, line in enumerate(cell.text.split("\n"), cell.line + 1):
            if line.strip() == BEGIN:
                if opened:
                    yield n, f"nested {BEGIN}: the one at line {opened} is still open"
                opened, count = n, count + 1
            elif line.strip() == END:
                if not opened:
                    yield n, f"{END} without {BEGIN}"
                elif opened == n - 1:
                    yield opened, "empty solution: nothing between the markers"
                opened = None
        if opened:
            yield opened, f"{BEGIN} without {END} in this cell"
        is_stub = cell.kind == "code" and "exercise" in cell.meta
        if count and not is_stub:
            yield cell.line, 'solution markers outside a code cell with exercise="..."'
        if is_stub and not count:
            yield cell.line, f"exercise '{cell.meta['exercise']}' has no solution: put it between {BEGIN} and {END}"


def exercises(source: Source):
    """Each exercise: statement, stub, hints, check, perhaps a picture (see), discussion; once each, in this order."""
    parts = defaultdict(lambda: defaultdict(list))
    for cell in source.cells:
        for key in PARTS:
            if key in cell.meta:
                part = ("stub" if cell.kind == "code" else "statement") if key == "exercise" else key
                parts[cell.meta[key]][part].append(cell)
    for name, found in parts.items():
        if not source.is_exercises:
            yield min(c.line for cells in found.values() for c in cells), f"exercise '{name}' belongs in exercises.py"
        elif not found.keys() & {"statement", "stub"}:
            for part, cells in found.items():
                yield cells[0].line, f"{part} for an unknown exercise '{name}'"
        else:
            yield from _one_exercise(name, found, source.folder[:2])


def _one_exercise(name, found, number):
    order = ("statement", "stub", "hints", "check", "see", "discussion")
    home = min(cell.line for cells in found.values() for cell in cells)
    for part in order:
        if part not in found and part != "see":
            yield home, f"exercise '{name}' has no {part}"
        for extra in found[part][1:]:
            yield extra.line, f"duplicated {part} of exercise '{name}', first at line {found[part][0].line}"
    first = [found[part][0].line for part in order if found[part]]
    if first != sorted(first):
        yield home, f"exercise '{name}': its cells must come in the order {', '.join(order)}"
    for cell in found["statement"]:
        for key, good in (("stars", {1, 2, 3}), ("minutes", range(1, 121))):
            if cell.meta.get(key) not in good:
                yield cell.line, f"exercise '{name}': {key} must be a number from {min(good)} to {max(good)}"
        if not cell.meta.get("concept"):
            yield cell.line, f"exercise '{name}' has no concept"
        if "role" in cell.meta and cell.meta["role"] not in ROLES:
            yield cell.line, f"exercise '{name}': the role must be {' or '.join(ROLES)}, or left out"
    for cell in found["hints"]:
        if not 1 <= cell.text.count("<details") <= 3:
            yield (
                cell.line,
                f"exercise '{name}' has {cell.text.count('<details')} hints (<details>); 1 to 3 are allowed",
            )
    for part in ("check", "see"):
        for cell in found[part]:
            if f'{part}("{number}/{name}"' not in cell.text:
                yield cell.line, f"the {part} of exercise '{name}' must call {part}(\"{number}/{name}\", ...)"
            if cell.kind != "code" or "solution" in cell.tags:
                yield cell.line, f"the {part} of exercise '{name}' must be a code cell that the learner gets"
    for cell in found["discussion"]:
        if "solution" not in cell.tags:
            yield cell.line, f"the discussion of exercise '{name}' needs tags=[\"solution\"], else learners see it"


def leaks(source: Source):
    """No line of a solution occurs anywhere in the learner's notebook."""
    kept = [(cell.line, cell.student) for cell in source.cells if "solution" not in cell.tags]
    for line, text in solution_lines(source):
        for where, student in kept:
            if text in student:
                yield line, f"this solution line is in the learner's notebook too (cell at line {where}): {text}"


def solution_lines(source: Source):
    """(line, text) of every solution line long enough to be recognised: more than 12 characters."""
    for cell in source.cells:
        for region in REGION.finditer(cell.text):
            start = cell.line + 1 + cell.text[: region.start(2)].count("\n")
            for n, line in enumerate(region[2].split("\n"), start):
                if len(line.strip()) > 12:
                    yield n, line.strip()


def code(source: Source):
    """Plain Python, short, and an ending that nbval and Jupyter show alike."""
    for cell in (cell for cell in source.cells if cell.kind == "code"):
        try:
            last = ast.parse(cell.solved).body[-1:]
            sizes = code_lines(cell.solved), code_lines(cell.student)
        except SyntaxError as error:
            yield cell.line + (error.lineno or 1), f"this cell is not plain Python: {error.msg}"
            continue
        end = cell.line + len(cell.text.split("\n"))
        if not last:
            yield cell.line, "a code cell without code"
        elif cell.text.rstrip().endswith(";"):
            yield end, "a cell must not end in ';': nbval shows the value all the same; write `_ = ...`"
        elif isinstance(last[0], ast.Expr) and not isinstance(last[0].value, ast.Call):
            yield end, "a cell must not end in a bare expression: print a rounded value, or assign it"
        if max(sizes) > MAX_LINES:
            yield cell.line, f"{max(sizes)} lines of code in one cell; at most {MAX_LINES}"


def ideas(source: Source):
    """An idea cell is short, plain, and says which number a reader may change: vary="0.1 -> 0.2"."""
    for cell in source.cells:
        if "idea" not in cell.tags:
            continue
        if (lines := code_lines(cell.text)) > IDEA_LINES:
            yield cell.line, f"an idea in {lines} lines of code; at most {IDEA_LINES}"
        for n, line in enumerate(cell.text.split("\n"), cell.line + 1):
            if found := PLUMBING.search(line):
                yield n, f"{found[0]!r} in an idea cell: show the idea on one network, in plain torch"
        old, arrow, new = (part.strip() for part in cell.meta.get("vary", "").partition("->"))
        if not (arrow and new and cell.text.count(old) == 1):
            yield cell.line, 'an idea cell needs vary="OLD -> NEW", a change a reader may make; OLD stands in it once'


def paths(source: Source):
    """Nothing depends on the author's machine."""
    for cell in source.cells:
        for n, line in enumerate(cell.text.split("\n"), cell.line + 1):
            if match := ABSOLUTE.search(line):
                yield n, f"absolute path {match[0]!r}: use a relative one"


def problems(source: Source) -> list[Problem]:
    """Every breach of every rule, in the order of the lines."""
    rules = (header, metadata, markers, exercises, leaks, code, ideas, paths)
    return sorted({Problem(source.path, line, message) for rule in rules for line, message in rule(source)})
