"""The annotations hold for those who use the library: what `py.typed` promises."""

import re
import subprocess
import sys
from pathlib import Path

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
MYPY = ["mypy", "--no-error-summary", "--follow-imports=silent", "--warn-unused-ignores", "--check-untyped-defs"]


def test_a_type_checker_accepts_what_is_promised_and_refuses_mistakes(tmp_path):
    readme = tmp_path / "readme.py"
    readme.write_text(re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[1])
    done = subprocess.run([sys.executable, "-m", *MYPY, HERE / "typed.py", readme], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_it_accepts_runs():
    subprocess.run([sys.executable, HERE / "typed.py"], cwd=ROOT, check=True)
