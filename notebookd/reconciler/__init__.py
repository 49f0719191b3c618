# SPDX-License-Identifier: Apache-2.0
"""Observe, plan, execute."""
