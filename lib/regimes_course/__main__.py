"""What `python3 course.py` does for learners and teachers: `python -m regimes_course COMMAND`."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from regimes_course.learner import Unusable, course_folder


def lab(chosen: argparse.Namespace) -> int:
    """Open JupyterLab."""
    from regimes_course.learner.lab import lab

    return lab(course_folder(), chosen.port, chosen.browser)


def start(chosen: argparse.Namespace) -> int:
    """Copy exercises to work/, or list them; the lessons they link to come along."""
    from regimes_course.learner.handout import hand_out_lessons
    from regimes_course.learner.start import listing, start

    root = course_folder()
    said = start(chosen.number, root, chosen.again) if chosen.number else listing(root)
    print(*hand_out_lessons(root), "Your copies of the lessons are in work/lessons.", said, sep="\n")
    return 0


def check(chosen: argparse.Namespace) -> int:
    """Run the checks of a notebook; 0 if all passed, 1 if not, 2 if there is nothing to check."""
    from regimes_course.learner.grade import grade

    report = grade(chosen.path, course_folder(), chosen.seconds, progress=not chosen.json)
    print(json.dumps(report.as_dict(), indent=2) if chosen.json else report)
    return int(report.passed < len(report.outcomes))


def grade(chosen: argparse.Namespace) -> int:
    """Grade a class; 0 if all could be read, 1 if not."""
    from regimes_course.teacher.grading import grade

    warn = lambda says: print(says, file=sys.stderr)  # noqa: E731
    graded = grade(chosen.place, course_folder(), chosen.out, chosen.jobs, chosen.seconds, chosen.seed, warn)
    for one in graded:
        print(f"{one.student:<40}{one.file:<60}{one.points:>3} of {one.possible}")
    print(f"\n{chosen.out / 'scores.csv'}, {chosen.out / 'class.html'} and a page per student in {chosen.out / 'feedback'}.")
    return int(any(row.status == "unreadable" for one in graded for row in one.rows))


def release(chosen: argparse.Namespace) -> int:
    """Write what a class gets."""
    from regimes_course.teacher.release import release

    print(release(chosen.folder, course_folder(), chosen.lessons))
    return 0


def progress(chosen: argparse.Namespace) -> int:
    """Say which exercises passed, and what is next."""
    from regimes_course.learner.progress import collect

    found = collect(course_folder())
    print(json.dumps(found.as_dict(), indent=2) if chosen.json else found)
    return 0


def paper(chosen: argparse.Namespace) -> int:
    """Run a lesson at the size of its paper; 1 if it did not come to its end."""
    from regimes_course.learner.paper import paper

    return int(not paper(chosen.number, course_folder(), chosen.again, chosen.jobs))


def doctor(chosen: argparse.Namespace) -> int:
    """Look at the machine; 1 if something the course needs is off."""
    from regimes_course.learner.doctor import examine

    findings = examine(Path(__file__).resolve().parents[2])
    print(*findings, sep="\n")
    off = [finding.name for finding in findings if finding.needed and not finding.ok]
    print(f"\nOff: {', '.join(off)}." if off else "\nAll that the course needs is in order.")
    return int(bool(off))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("course.py", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("lab", help="open the course in JupyterLab", allow_abbrev=False)
    one.add_argument("--port", type=port, metavar="N", help="where to serve, 1024 to 65535; from 8888 on if not given")
    one.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    one.set_defaults(run=lab)
    one = commands.add_parser("start", help="copy exercises to work/", allow_abbrev=False)
    one.add_argument("number", nargs="?", metavar="NN", help="number of the lesson; without it: a list")
    one.add_argument("--again", action="store_true", help="a fresh copy; yours is kept under another name")
    one.set_defaults(run=start)
    one = commands.add_parser("check", help="run all checks of an exercise notebook", allow_abbrev=False)
    one.add_argument("path", type=Path, metavar="PATH", help="the notebook, for example work/01_....ipynb")
    one.add_argument("--json", action="store_true", help="results for a program to read")
    one.add_argument("--seconds", type=seconds, default=120, metavar="S", help="limit for each cell (120)")
    one.set_defaults(run=check)
    one = commands.add_parser("grade", help="grade a class", allow_abbrev=False)
    one.add_argument(
        "place", type=Path, metavar="FOLDER", help="folder or zip archive of submissions, as the platform gives it"
    )
    one.add_argument("--out", type=Path, default=Path("graded"), metavar="DIR", help="where the results go (graded)")
    one.add_argument("--jobs", type=count, default=os.cpu_count() or 1, metavar="N", help="how many notebooks at a time")
    one.add_argument("--seconds", type=seconds, default=120, metavar="S", help="limit for a cell and for an exercise (120)")
    one.add_argument("--seed", type=int, default=None, metavar="N", help="of the hidden cases; drawn if not given, and told")
    one.set_defaults(run=grade)
    one = commands.add_parser("release", help="the course for a class, without answers", allow_abbrev=False)
    one.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    one.add_argument("lessons", nargs="*", metavar="NN", help="whose exercises are in it; all if none is named")
    one.set_defaults(run=release)
    one = commands.add_parser("progress", help="which exercises passed, and what is next", allow_abbrev=False)
    one.add_argument("--json", action="store_true", help="results for a program to read")
    one.set_defaults(run=progress)
    one = commands.add_parser("paper", help="run a lesson at the size of its paper", allow_abbrev=False)
    one.add_argument("number", metavar="NN", help="number of the lesson")
    one.add_argument("--again", action="store_true", help="run it anew; the result that is there is kept under another name")
    one.add_argument("--jobs", type=count, default=1, metavar="N", help="how many processes share a sweep (1)")
    one.set_defaults(run=paper)
    commands.add_parser("doctor", help="find what is off on this machine").set_defaults(run=doctor)
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """A port number that a user may serve on."""
    if not (text.isdecimal() and 1024 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose a number from 1024 to 65535")
    return int(text)


def count(text: str) -> int:
    """A number of processes."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes: choose 1 or more")
    return int(text)


def seconds(text: str) -> int:
    """A limit of time."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a limit: choose a whole number of seconds, 1 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 for input that cannot be used."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal without a mark shows "?" in its place
    chosen = parse(arguments)
    try:
        code = chosen.run(chosen)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # a reader such as `head` has seen enough; Python must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Unusable, OSError) as error:
        print(f"course.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ways of being stopped end what was started
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("course.py: stopped; your files are as they were.", file=sys.stderr)
        sys.exit(130)
