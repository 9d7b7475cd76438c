"""What JupyterLab may write in the course folder: whatever is the learner's, and nothing that came with the course."""

import subprocess
from functools import cached_property
from pathlib import Path

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado.web import HTTPError

from regimes_course.learner import FOLDERS

WORK = "work"


def shipped(root: Path) -> frozenset[str]:
    """The names at the top of the course folder that an update may change: those git tracks, or at least the notebooks'."""
    try:
        listed = subprocess.run(["git", "ls-tree", "-z", "--name-only", "HEAD"], cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git here, or a copy that is no clone
        return frozenset((*FOLDERS, "solutions"))
    return frozenset(listed.stdout.decode().split("\0")) - {"", WORK}


class CourseFiles(AsyncLargeFileManager):
    """The course folder, where the course's own files are read-only.

    JupyterLab saves an open notebook every two minutes; a lesson saved in place would make the next `git pull` stop.
    """

    @cached_property
    def _shipped(self):
        return shipped(Path(self.root_dir))

    def _ours(self, path: str) -> bool:
        return path.strip("/").split("/")[0] in self._shipped

    def _refuse(self, path: str) -> None:
        if self._ours(path):
            raise HTTPError(403, f"{path} belongs to the course and stays as it is; your own copies are in {WORK}/")

    def is_writable(self, path: str) -> bool:
        """Whether JupyterLab may save there; what it may not, it opens as read-only."""
        return not self._ours(path) and super().is_writable(path)

    def mark_trusted_cells(self, nb, path: str = "") -> None:
        """The course's own notebooks need no warning on the terminal: they came with the code they run."""
        if self._ours(path):
            self.notary.mark_cells(nb, True)
        else:
            super().mark_trusted_cells(nb, path)

    async def save(self, model, path: str = ""):
        """Save, unless the file is the course's."""
        self._refuse(path)
        return await super().save(model, path)

    async def rename_file(self, old_path: str, new_path: str):
        """Rename, unless the file is the course's, or would be taken for one of its files."""
        self._refuse(old_path)
        self._refuse(new_path)
        await super().rename_file(old_path, new_path)

    async def delete_file(self, path: str):
        """Delete, unless the file is the course's."""
        self._refuse(path)
        await super().delete_file(path)
