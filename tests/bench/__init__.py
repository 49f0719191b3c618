# SPDX-License-Identifier: Apache-2.0
"""How quick notebookd is, beside Podman itself on the same machine in the same run."""
