"""Judge a student's functions without running them here: they are called in another process, through `wire`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from typing import Any

from regimes_course.kit.checking import Exercise, Function, Result
from regimes_course.teacher.inside import FETCH, RUN
from regimes_course.teacher.submissions import Cell
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


def hidden(exercise: Exercise, seed: int) -> Exercise:
    """The exercise with drawn cases that nobody has seen."""
    return replace(exercise, seed=seed) if isinstance(exercise, Function) else exercise


def judge(exercise: Exercise, student: Student, name: str) -> tuple[Result, str]:
    """What the check says of the student's function, and why the student's process had to be stopped, "" if it had not."""
    student.within(student.limits.seconds)
    result = Result(exercise.key, "wrong", f"Nothing in the notebook is called {name}.")
    with suppress(Stopped, KeyError), watched(student):
        result = exercise.examine(student.fetch(name))
    if why := student.peer.stopped:  # a check takes it for an error of the answer
        return Result(exercise.key, "wrong", student.says(why)), why
    return result, ""


class Attempt:
    """Run a notebook's cells one after the other, and judge each answer when its last cell has run."""

    def __init__(self, student: Student, cells: list[Cell]):
        self.student, self.cells = student, cells
        self.errors: dict[int, str] = {}  # of a cell, by index
        self.deadly: set[int] = set()  # cells that are not run again
        self.troubles: list[tuple[str, str]] = []
        self.ready = 0  # cells that have run in the present process

    def all(self, exercises: list[Exercise]) -> tuple[dict, list[tuple[str, str]]]:
        """The result of each exercise and the seconds it took; and what went wrong in cells."""
        results = {}
        for exercise in exercises:
            own = [index for index, cell in enumerate(self.cells) if cell.answers == exercise.key]
            begin = time.monotonic()
            if own and self.run_to(own[-1]):
                result = self.judge(exercise, own)
            else:
                result = Result(exercise.key, "wrong", "Its cell, or one above it, could not be run: see below.")
            results[exercise.key] = result, time.monotonic() - begin
        return results, self.troubles

    def judge(self, exercise: Exercise, own: list[int]) -> Result:
        """What the check says; where the answer's cell raised an error, that is what it says."""
        if error := next((self.errors[index] for index in own if index in self.errors), ""):
            return Result(exercise.key, "wrong", f"The cell of the answer raised an error, {error}")
        result, why = judge(exercise, self.student, exercise.key.split("/")[1])
        if why:
            self.student.stop()
        return result

    def run_to(self, last: int) -> bool:
        """Run what has not run, up to this cell; again from the top in a new process where the last one was stopped."""
        while True:
            try:
                if self.student.peer is None or self.student.peer.stopped:
                    self.student.stop()
                    self.ready = 0
                    self.student.start()
                while self.ready <= last:
                    self.run(self.ready)
                return last not in self.deadly
            except Stopped as stopped:
                if self.ready in self.deadly or not self.student.ready:  # it does not even start
                    return False
                self.deadly.add(self.ready)
                self.tell(self.ready, self.student.says(stopped.why))

    def run(self, index: int) -> None:
        """Run one cell."""
        if index not in self.deadly:
            self.student.within(self.student.limits.seconds)
            if (error := self.student.run(self.cells[index].source)) and index not in self.errors:
                self.errors[index] = error
                self.tell(index, error)
        self.ready = index + 1

    def tell(self, index: int, what: str) -> None:
        """Note what went wrong."""
        lines = [line.strip() for line in self.cells[index].source.splitlines() if line.strip()]
        self.troubles.append((lines[0][:100] if lines else "(an empty cell)", what))
