# SPDX-License-Identifier: Apache-2.0
"""One module a verb, each with its command in ``verb``. The table of them is in :mod:`notebookd.cli.main`."""
