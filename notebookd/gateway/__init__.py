# SPDX-License-Identifier: Apache-2.0
"""The separate process between browsers and editors."""
