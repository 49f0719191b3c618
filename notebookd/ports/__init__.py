# SPDX-License-Identifier: Apache-2.0
"""Protocols and the values that cross them; their docstrings are the contract."""
