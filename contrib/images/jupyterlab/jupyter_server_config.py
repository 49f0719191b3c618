# SPDX-License-Identifier: Apache-2.0
# Python puts ~/.local on its path only when the folder is there at its start: without this, a package that the
# first notebook installs could not be imported before the kernel is restarted.
import contextlib
import site
from pathlib import Path

with contextlib.suppress(OSError):
    Path(site.getusersitepackages()).mkdir(parents=True, exist_ok=True)
