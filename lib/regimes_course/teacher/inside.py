"""The process that runs a student's code. It does what the referee asks, and knows no answers.

`python -m regimes_course.teacher.inside FD MEMORY`: the descriptor of a connection, and a limit in bytes.
"""

import sys
from multiprocessing.connection import Connection

RUN, FETCH = 1, 3  # the tags of its two functions


def main(descriptor: int, memory: int) -> None:
    """Serve until the referee hangs up."""
    from IPython.core.interactiveshell import InteractiveShell

    from regimes_course.teacher.wire import Peer, Stopped

    shell = InteractiveShell.instance()
    shell.display_pub.publish = lambda *args, **options: None  # what a notebook shows is not kept
    shell.displayhook.__class__.__call__ = lambda self, result=None: None
    limit(memory)

    def run(source: str) -> str:
        """Run a cell; what went wrong, in one line."""
        done = shell.run_cell(source, store_history=False)
        error = done.error_before_exec or done.error_in_exec
        says = f"{error.msg} (line {error.lineno})" if isinstance(error, SyntaxError) else error
        return f"{type(error).__name__}: {says}".splitlines()[0][:300] if error else ""

    def fetch(name: str):
        """What the notebook calls by this name."""
        return shell.user_ns[name]

    peer = Peer(Connection(descriptor), safe=False)
    peer.objects |= {RUN: run, FETCH: fetch}
    peer.numbers = iter(range(5, 10**12, 2))
    try:
        peer.serve()
    except (Stopped, KeyboardInterrupt):
        pass


def limit(memory: int) -> None:
    """Bound the memory, the size of files and the number of processes, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 50_000_000), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
