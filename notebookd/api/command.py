# SPDX-License-Identifier: Apache-2.0
"""The command line that equals a request."""

from __future__ import annotations

import shlex

from notebookd.domain.spec import SpecWish
from notebookd.domain.volumes import format_volume


def command_line(wish: SpecWish) -> str:
    """``notebookctl run …`` for what ``wish`` asks."""
    words = ["notebookctl", "run", wish.framework or "", wish.editor or ""]
    resources = wish.resources
    if resources is not None:
        for option, value in (("--gpu", resources.gpu), ("--cpu", resources.cpu), ("--flavor", resources.flavor)):
            words += [option, str(value)] if value else []
    for volume in wish.volumes or ():
        words += ["--volume", format_volume(volume)]
    words += ["--name", wish.name] if wish.name else []
    for key, value in (wish.labels or {}).items():
        words += ["--label", f"{key}={value}"]
    for key, value in wish.env_vars or ():
        words += ["--envvar", f"{key}={value}"]
    words += ["--framework-version", wish.version] if wish.version else []
    words += ["--unsecure-http"] if wish.unsecure_http else []
    words += ["--restart-on-timeout"] if wish.timeout_auto_restart else []
    return shlex.join(words)
