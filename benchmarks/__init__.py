"""How fast the library is: against the machine's limit, and against its peers."""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler, which counts memory, says nothing of itself
