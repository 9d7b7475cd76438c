"""`python3 course.py site [DIR]`."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tools.site.build import WORK, build


def main(arguments: list[str]) -> int:
    """Build the book; 1 if Sphinx complains."""
    parser = argparse.ArgumentParser("course.py site", description="Build the web book: static pages, sliders included.")
    parser.add_argument("folder", nargs="?", metavar="DIR", type=Path, default=WORK / "site", help="default: build/site")
    parser.add_argument("--repository", metavar="URL", default="", help="where the course is on the web, for links to it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes; default: all cores")
    parser.add_argument("--quick", action="store_true", help="two values a slider: for a look while writing")
    asked = parser.parse_args(arguments)
    begin = time.monotonic()
    try:
        build(asked.folder.resolve(), asked.repository.rstrip("/"), asked.jobs, asked.quick)
    except subprocess.CalledProcessError:
        print("Sphinx found something to mend (above); the book may be incomplete.", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in asked.folder.rglob("*") if path.is_file())
    print(f"{asked.folder / 'index.html'}: {size / 1e6:.1f} MB in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
