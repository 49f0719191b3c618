# SPDX-License-Identifier: Apache-2.0
"""HTTP over the Unix socket."""
