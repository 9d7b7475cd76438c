"""The tests of the course, stage by stage: `python3 course.py test [STAGE ...]`.

Every stage runs, also when another failed; the table at the end says what to look at. On two processors or more two stages run
at once, each with one thread, and what they say is shown when they end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from regimes_course.learner.doctor import find_chromium

ROOT = Path(__file__).resolve().parent.parent
CODE = ["lib", "tools", "tests", "sources", "benchmarks", "course.py"]
PYTEST = ["pytest", "-q"]
NBVAL = [
    "--nbval-lax",  # runs all cells, compares the outputs of those tagged nbval-check-output
    "--nbval-current-env",
    "--nbval-cell-timeout=1800",  # only a hang takes so long, on the slowest machine
    "--nbval-kernel-startup-timeout=1800",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
]
MISTAKES = ("tests/course/test_mistakes.py", "tests/course/test_generic_slips.py")
BUDGETS, CLAIMS = "tests/course/test_budgets.py", "tests/course/test_claims.py"

UNIT = ("tests/lib", "tests/kit", "tests/learner", "tests/notebooks", "tests/site")
DOOR = "tests/browser/door"  # the commands of the README, in a clone with an environment of its own

# Every word list is run as `python -m ...` from the root. In this order two lanes end together.
STAGES = {
    "door": [[*PYTEST, DOOR]],
    "lessons": [[*PYTEST, "tests/lessons"]],
    "browser": [[*PYTEST, "-m", "not long", "tests/browser", f"--ignore={DOOR}"]],
    "claims": [[*PYTEST, CLAIMS]],
    "teacher": [[*PYTEST, "-m", "not long", "tests/teacher"]],
    "unit": [[*PYTEST, "-m", "not browser and not long and not site", *UNIT]],
    "course": [[*PYTEST, "tests/course", *(f"--ignore={path}" for path in (*MISTAKES, BUDGETS, CLAIMS))]],
    "notebooks": [[*PYTEST, *NBVAL, "--ignore=lessons/deeper", "lessons", "exercises", "solutions"]],
    "mistakes": [[*PYTEST, *MISTAKES]],
    "deeper": [[*PYTEST, *NBVAL, "lessons/deeper"]],
    "site": [[*PYTEST, "-m", "site", "tests/site"]],
    "budgets": [[*PYTEST, BUDGETS]],
    "stale": [["tools.notebooks", "check"]],
    "lint": [["ruff", "check", *CODE], ["ruff", "format", "--check", *CODE], ["mypy"]],
}
# Run when named: `claims` runs the notebooks of `deeper` on other seeds, and takes as long; `site` needs packages of its own.
ON_DEMAND = ("deeper", "site")
BROWSERS = ("door", "browser", "site")
NO_CHROMIUM = """SKIPPED: there is no Chromium on this machine, so NOTHING was tested in a browser.
Install Chromium or Chrome (Debian, Ubuntu: sudo apt install chromium), or name its program in the variable CHROMIUM."""


def run(commands: list[list[str]], output=None) -> bool:
    """Run all the commands of one stage, one thread each, into the file `output`; whether all of them succeeded."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    send = {"stdout": output, "stderr": subprocess.STDOUT if output else None}
    codes = [subprocess.call([sys.executable, "-m", *command], cwd=ROOT, env=env, **send) for command in commands]
    return not any(codes)


def run_stage(name: str, chromium: str | None, ci: bool, quiet: bool) -> tuple[str, str, float]:
    """Run one stage and return (stage, verdict, seconds); `quiet` shows what it says at its end, in one piece.

    A stage with a browser is "SKIPPED" without a Chromium, or "FAILED" where `ci` says that nobody would notice.
    """
    begin, title = time.monotonic(), f"\n==== {name} ".ljust(100, "=")
    if name in BROWSERS and not chromium:
        print(f"{title}\n{NO_CHROMIUM}", flush=True)
        return name, "FAILED" if ci else "SKIPPED", 0.0
    if quiet:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            passed = run(STAGES[name], output)
            output.seek(0)
            print(f"{title}\n{output.read()}", flush=True)
    else:
        print(title, flush=True)
        passed = run(STAGES[name])
    return name, "passed" if passed else "FAILED", time.monotonic() - begin


def run_stages(names: list[str], chromium: str | None, ci: bool, lanes: int) -> list[tuple[str, str, float]]:
    """Run the stages named, `lanes` at a time; a row for each, in their order."""
    quiet = lanes > 1 and len(names) > 1
    if quiet:
        print(f"{lanes} stages at a time: {', '.join(names)}", flush=True)
    with ThreadPoolExecutor(lanes) as lane:
        return list(lane.map(lambda name: run_stage(name, chromium, ci, quiet), names))


def table(rows: list[tuple[str, str, float]], total: float) -> str:
    """The rows as text, with the time that all of it took."""
    lines = [f"{name:<12}{verdict:<10}{seconds:7.1f}" for name, verdict, seconds in rows]
    return "\n".join(["stage       verdict   seconds", *lines, f"{'all':<22}{total:7.1f}"])


def main(arguments: list[str]) -> int:
    """Run the stages named, or all but those on demand, in order; 1 if any failed."""
    parser = argparse.ArgumentParser("course.py test", description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    wanted = parser.parse_args(arguments).stages
    if strange := [name for name in wanted if name not in STAGES]:
        parser.error(f"no stage {strange[0]!r}; there are: {', '.join(STAGES)}")
    names = [name for name in STAGES if (name in wanted if wanted else name not in ON_DEMAND)]
    begin, lanes = time.monotonic(), min(2, os.cpu_count() or 1)
    rows = run_stages(names, find_chromium(), bool(os.environ.get("CI")), lanes)
    print("\n" + table(rows, time.monotonic() - begin))
    return int(any(verdict == "FAILED" for _, verdict, _ in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
