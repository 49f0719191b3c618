# SPDX-License-Identifier: Apache-2.0
"""What a build of an image needs to reach the world, by the configuration.

Nothing of it stays in the image: proxies are build arguments, and files for pip and npm are mounted in each step. The
recipes read them, and ``contrib/images/build`` lays the same. Podman's API knows no volumes of a build (4.3.1), so the
files travel with the context, and each RUN mounts them from there.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from notebookd.adapters.trust import bundle
from notebookd.config import Surroundings
from notebookd.domain.environment import for_containers

INSIDE = "/run/notebookd-build"
CERTIFICATES = "ca.crt"
_PIP = {
    "PIP_INDEX_URL": "index-url",
    "PIP_EXTRA_INDEX_URL": "extra-index-url",
    "PIP_FIND_LINKS": "find-links",
    "PIP_TRUSTED_HOST": "trusted-host",
    "PIP_DEFAULT_TIMEOUT": "timeout",
}
_NPM = {"NPM_CONFIG_REGISTRY": "registry"}


CONTAINERFILE = "Containerfile"
_FOLDER = ".notebookd-build"
_RUN = re.compile(rb"^(\s*RUN)(?=\s)", re.MULTILINE | re.IGNORECASE)
_MOUNT = rb"\1 --mount=type=bind,source=" + _FOLDER.encode() + rb",target=" + INSIDE.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """Build arguments, and files by name that each step finds in :data:`INSIDE`."""

    arguments: Mapping[str, str]
    files: Mapping[str, bytes]

    def added_to(self, context: bytes) -> bytes:
        """The context of a build, a tar archive, with the files."""
        if not self.files:
            return context
        buffer = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(context)) as old, tarfile.open(fileobj=buffer, mode="w") as new:
            for entry in old:
                content = old.extractfile(entry)
                data = b"" if content is None else content.read()
                _put(new, entry, _RUN.sub(_MOUNT, data) if entry.name == CONTAINERFILE else data)
            for name, data in self.files.items():
                _put(new, tarfile.TarInfo(f"{_FOLDER}/{name}"), data)
        return buffer.getvalue()


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, data: bytes) -> None:
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def build_settings(surroundings: Surroundings) -> BuildSettings:
    """Those of a configuration. Waits for the disk; raises OSError, and WorkspaceFault when the file of certificates is
    of no use."""
    arguments = for_containers(surroundings.env, ca=False)
    pip = [f"{key} = {arguments[name]}" for name, key in _PIP.items() if name in arguments]
    npm = [f"{key}={arguments[name]}" for name, key in _NPM.items() if name in arguments]
    files: dict[str, bytes] = {}
    if surroundings.ca_file is not None:
        files[CERTIFICATES] = bundle(surroundings.ca_file, None)
        pip.append(f"cert = {INSIDE}/{CERTIFICATES}")
        npm.append(f"cafile={INSIDE}/{CERTIFICATES}")
    if pip or npm:
        files |= {"pip.conf": _lines("[global]", *pip), "npmrc": _lines(*npm)}
    return BuildSettings(arguments=arguments, files=files)


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
