"""constraints.txt for all platforms, made by uv around one torch release: `python3 course.py lock`.

The torch pin goes into the resolution, because the GPU packages have to fit it. No address and no local version
(`+cpu`) may enter the file: it has to mean the same on every machine.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
UV = "pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate"
UV += " --no-emit-index-url --no-emit-find-links"
LOCAL = ("UV_FIND_LINKS", "PIP_FIND_LINKS")  # folders of this machine, whose builds others do not have


def resolve(uv: str, torch: str, now: str, upgrade: bool) -> str:
    """What uv makes of pyproject.toml and the torch release; of `now`, the present file, it keeps what it can."""
    env = {key: value for key, value in os.environ.items() if key not in LOCAL}
    with tempfile.TemporaryDirectory() as folder:
        pins, new = Path(folder, "pins.in"), Path(folder, "constraints.txt")
        pins.write_text(f"torch=={torch}\n")
        new.write_text(now, "utf-8")
        command = [uv, *UV.split(), *["--upgrade"] * upgrade, "-c", str(pins), "pyproject.toml", "-o", str(new)]
        if subprocess.call(command, cwd=ROOT, env=env):
            sys.exit("uv found no set of versions (see above); constraints.txt is unchanged.")
        return new.read_text("utf-8")


def not_portable(text: str) -> list[str]:
    """The lines that would tie the file to one machine: addresses, paths and local versions."""
    return [line for line in text.splitlines() if not re.fullmatch(r"[\w.-]+==[\w.!]+( ; .+)?", line)]


def main(arguments: list[str]) -> int:
    """Write constraints.txt; leaves it alone when anything goes wrong."""
    now = CONSTRAINTS.read_text("utf-8")
    pinned = re.search(r"(?m)^torch==(\S+)", now)
    parser = argparse.ArgumentParser("course.py lock", description=__doc__.splitlines()[0])
    parser.add_argument("--torch", metavar="VERSION", default=pinned and pinned[1], required=not pinned)
    parser.add_argument("--upgrade", action="store_true", help="the newest of everything, not only what has to move")
    chosen = parser.parse_args(arguments)
    uv = shutil.which("uv")
    if not uv:
        sys.exit("`lock` needs uv, and there is none on the PATH. Get it: python3 -m pip install uv")
    text = resolve(uv, chosen.torch, now, chosen.upgrade)
    if bad := not_portable(text):
        sys.exit(f"These lines hold for one machine only, so constraints.txt is unchanged: {'; '.join(bad)}")
    CONSTRAINTS.write_text(text, "utf-8", newline="\n")
    print(f"constraints.txt: {len(text.splitlines())} versions around torch {chosen.torch}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
