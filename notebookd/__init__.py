# SPDX-License-Identifier: Apache-2.0
"""notebookd: a shared GPU workstation as a managed notebook service."""

__version__ = "0.1.0"
