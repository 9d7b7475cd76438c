"""Judge a student's functions without running them here: they are called in another process, through `wire`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from typing import Any

from regimes_course.kit.checking import Exercise, Result
from regimes_course.teacher.inside import FETCH, RUN
from regimes_course.teacher.wire import Peer, Stopped

GRACE = 30  # seconds that a check may take by itself
STARTUP = 120  # seconds in which the other process has to be there
WHY = {
    "time": "Stopped after {seconds} s, the limit. Is there a loop without an end?",
    "dead": "Python itself ended: most often memory ran out (the limit is {memory} GB), or the code told it to.",
    "garbled": "Your notebook sent the grader a message that no answer sends.",
}


@dataclass(frozen=True)
class Limits:
    """Of one exercise: seconds, and GB of memory."""

    seconds: int = 120
    memory: int = 4


class Student:
    """The process that runs one student's code; started again when it has been stopped."""

    def __init__(self, command: list[str], environment: dict[str, str], limits: Limits):
        self.command, self.environment, self.limits = command, environment, limits
        self.process: subprocess.Popen | None = None
        self.peer: Peer | None = None
        self.ready = False

    def start(self) -> None:
        """Start it, with nothing run so far."""
        ours, theirs = Pipe()
        with theirs:
            words = [*self.command, str(theirs.fileno()), str(self.limits.memory * 10**9)]
            self.process = subprocess.Popen(
                words,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )
        self.peer = Peer(ours, safe=True)
        self.within(STARTUP)
        self.peer.call(RUN, "")
        self.ready = True

    def within(self, seconds: float) -> None:
        """From now on it has so much time."""
        self.peer.deadline = time.monotonic() + seconds

    def run(self, source: str) -> str:
        """Run a cell; what went wrong."""
        try:
            return str(self.peer.call(RUN, source))
        except Exception as error:  # it reports errors and raises none, unless it was tampered with
            raise self.peer.stop("garbled") from error

    def fetch(self, name: str) -> Any:
        """What the notebook calls by this name: of a function, one that calls it there. Raises KeyError where there is none."""
        return self.peer.call(FETCH, name)

    def stop(self) -> None:
        """End it, with all it has started."""
        self.ready = False
        if self.peer is not None:
            self.peer.connection.close()
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, 9) if hasattr(os, "killpg") else self.process.kill()
            self.process.wait()
        self.peer = self.process = None

    def says(self, why: str) -> str:
        """Why it was stopped, for the student."""
        return WHY[why].format(seconds=self.limits.seconds, memory=self.limits.memory)


@contextmanager
def watched(student: Student) -> Iterator[None]:
    """Stop also what an answer has the check compute without end, where the system has alarms."""

    def late(*_):
        raise student.peer.stop("time")

    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, student.limits.seconds + GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(exercise: Exercise, student: Student, name: str) -> tuple[Result, str]:
    """What the check says of the student's function, and why the student's process had to be stopped, "" if it had not."""
    student.within(student.limits.seconds)
    result = Result(exercise.key, "wrong", f"Nothing in the notebook is called {name}.")
    with suppress(Stopped, KeyError), watched(student):
        result = exercise.examine(student.fetch(name))
    if why := student.peer.stopped:  # a check takes it for an error of the answer
        return Result(exercise.key, "wrong", student.says(why)), why
    return result, ""
