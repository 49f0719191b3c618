# SPDX-License-Identifier: Apache-2.0
# What a user says in ~/.jupyter goes before this.
import contextlib
import os
import site
from pathlib import Path

from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

# Python puts ~/.local on its path only when the folder is there at its start: without this, a package that the
# first notebook installs could not be imported before the kernel is restarted.
with contextlib.suppress(OSError):
    Path(site.getusersitepackages()).mkdir(parents=True, exist_ok=True)


class OwnersCheckpoints(AsyncFileCheckpoints):
    """Checkpoints in the owner's workspace, and not beside the file, which may lie in a folder that is shared."""

    def _root_dir_default(self):
        return str(Path.home() / ".local/state/jupyter/checkpoints")

    def checkpoint_path(self, checkpoint_id, path):
        kept = Path(self._get_os_path(path.strip("/")))
        place = kept.parent / self.checkpoint_dir
        with self.perm_to_403():
            place.mkdir(parents=True, exist_ok=True)
        return str(place / f"{kept.stem}-{checkpoint_id}{kept.suffix}")


class OwnersFiles(AsyncLargeFileManager):
    """A link to a folder is deleted as a link, and what it leads to stays."""

    def _checkpoints_class_default(self):
        return OwnersCheckpoints

    async def delete_file(self, path):
        place = Path(self._get_os_path(path.strip("/")))
        if place.is_symlink():
            with self.perm_to_403():
                place.unlink()
        else:
            await super().delete_file(path)


class PatientKernels(AsyncMappingKernelManager):
    """Kernels that are interrupted when the notebook is stopped, and then have the time that notebookd gives them.

    Jupyter's own patience is 2.5 s. That stays so for who restarts or shuts down a kernel by hand.
    """

    async def shutdown_all(self, now=False):
        """The notebook ends."""
        for kernel in self._kernels.values():
            kernel.shutdown_wait_time = 24 * 3600.0
        await super().shutdown_all(now=now)


def name_the_page(_handler, page):
    """The browser's tab says which notebook it is."""
    name = os.environ.get("NOTEBOOK_NAME", "JupyterLab")
    page["appName"] = f"{name} (safe mode)" if "NOTEBOOKD_PLAIN_EDITOR" in os.environ else name
    return page


c = get_config()  # noqa: F821
c.ServerApp.contents_manager_class = OwnersFiles
# Who deletes wants room: a trash is a hidden folder on the same disk, and in volumes and buckets another one.
c.FileContentsManager.delete_to_trash = False
c.FileContentsManager.always_delete_dir = True
c.ServerApp.tornado_settings = {"page_config_hook": name_the_page}
c.ServerApp.kernel_manager_class = PatientKernels
