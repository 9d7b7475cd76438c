"""The tests of the course, stage by stage: `python3 course.py test [STAGE ...]`.

A later stage runs also when an earlier one failed; the table at the end says what to look at.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from regimes.course.doctor import find_chromium

ROOT = Path(__file__).resolve().parent.parent
CODE = ["lib", "tools", "tests", "sources", "benchmarks", "course.py"]
PYTEST = ["pytest", "-q"]
NBVAL = [
    "--nbval-lax",  # runs all cells, compares the outputs of those tagged nbval-check-output
    "--nbval-current-env",
    "--nbval-cell-timeout=180",
    "--nbval-kernel-startup-timeout=120",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
]
MISTAKES, BUDGETS, CLAIMS = (f"tests/course/test_{name}.py" for name in ("mistakes", "budgets", "claims"))

WIDGETS = "tests/lib/explore"  # they visit every position of the sliders

# Every word list is run as `python -m ...` from the root.
STAGES = {
    "lint": [["ruff", "check", *CODE], ["ruff", "format", "--check", *CODE]],
    "unit": [[*PYTEST, "-m", "not browser and not long", "tests/lib", "tests/notebooks", f"--ignore={WIDGETS}"]],
    "widgets": [[*PYTEST, WIDGETS]],
    "stale": [["tools.notebooks", "check"]],
    "mistakes": [[*PYTEST, MISTAKES]],
    "budgets": [[*PYTEST, BUDGETS]],
    "claims": [[*PYTEST, CLAIMS]],
    "course": [[*PYTEST, "tests/course", *(f"--ignore={path}" for path in (MISTAKES, BUDGETS, CLAIMS))]],
    "notebooks": [[*PYTEST, *NBVAL, "lessons", "exercises", "solutions"]],
    "browser": [[*PYTEST, "tests/browser"]],
}
NO_CHROMIUM = """SKIPPED: there is no Chromium on this machine, so NOTHING was tested in a browser.
Install Chromium or Chrome (Debian, Ubuntu: sudo apt install chromium), or name its program in the variable CHROMIUM."""


def run(commands: list[list[str]]) -> bool:
    """Run all the commands of one stage, one thread each; whether all of them succeeded."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    codes = [subprocess.call([sys.executable, "-m", *command], cwd=ROOT, env=env) for command in commands]
    return not any(codes)


def run_stages(names: list[str], chromium: str | None, ci: bool) -> list[tuple[str, str, float]]:
    """Run the stages named and return a row (stage, verdict, seconds) for each.

    The browser stage without a Chromium is "SKIPPED", or "FAILED" where `ci` says that nobody would notice.
    """
    rows = []
    for name in names:
        print(f"\n==== {name} ".ljust(100, "="), flush=True)
        begin = time.monotonic()
        if name == "browser" and not chromium:
            print(NO_CHROMIUM, flush=True)
            verdict = "FAILED" if ci else "SKIPPED"
        else:
            verdict = "passed" if run(STAGES[name]) else "FAILED"
        rows.append((name, verdict, time.monotonic() - begin))
    return rows


def table(rows: list[tuple[str, str, float]]) -> str:
    """The rows as text, with the total time."""
    lines = [f"{name:<12}{verdict:<10}{seconds:7.1f}" for name, verdict, seconds in rows]
    total = sum(seconds for _, _, seconds in rows)
    return "\n".join(["stage       verdict   seconds", *lines, f"{'all':<22}{total:7.1f}"])


def main(arguments: list[str]) -> int:
    """Run the stages named, or all of them in order; 1 if any failed."""
    parser = argparse.ArgumentParser("course.py test", description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    wanted = parser.parse_args(arguments).stages
    if strange := [name for name in wanted if name not in STAGES]:
        parser.error(f"no stage {strange[0]!r}; there are: {', '.join(STAGES)}")
    names = [name for name in STAGES if not wanted or name in wanted]
    rows = run_stages(names, find_chromium(), ci=bool(os.environ.get("CI")))
    print("\n" + table(rows))
    return int(any(verdict == "FAILED" for _, verdict, _ in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
