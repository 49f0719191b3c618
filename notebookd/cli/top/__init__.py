# SPDX-License-Identifier: Apache-2.0
"""What ``notebookctl top`` is made of: what it looks at, how that is drawn, and the screen it is shown on."""
