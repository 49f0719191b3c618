# SPDX-License-Identifier: Apache-2.0
"""What a build of an image needs to reach the world, by the configuration.

Nothing of it stays in the image: proxies are build arguments, and files for pip and npm are mounted while it lasts. The
recipes read them, and ``contrib/images/build`` lays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from notebookd import nofollow
from notebookd.adapters.trust import lay_bundle
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """Build arguments, and a mount as ``podman build --volume`` has it."""

    arguments: Mapping[str, str]
    volume: str | None


def lay_build_settings(folder: Path, surroundings: Surroundings) -> BuildSettings:
    """Write them to ``folder``. Waits for the disk; raises OSError, and WorkspaceFault when the file of certificates is
    of no use."""
    arguments = for_containers(surroundings.env, ca=False)
    pip = [f"{key} = {arguments[name]}" for name, key in _PIP.items() if name in arguments]
    npm = [f"{key}={arguments[name]}" for name, key in _NPM.items() if name in arguments]
    if surroundings.ca_file is not None:
        lay_bundle(folder, CERTIFICATES, surroundings.ca_file, None)
        pip.append(f"cert = {INSIDE}/{CERTIFICATES}")
        npm.append(f"cafile={INSIDE}/{CERTIFICATES}")
    if not pip and not npm:
        return BuildSettings(arguments=arguments, volume=None)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with nofollow.open_directory(folder) as opened:
        nofollow.replace_file(opened, "pip.conf", _lines("[global]", *pip), mode=0o644)
        nofollow.replace_file(opened, "npmrc", _lines(*npm), mode=0o644)
    return BuildSettings(arguments=arguments, volume=f"{folder}:{INSIDE}:ro")


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
