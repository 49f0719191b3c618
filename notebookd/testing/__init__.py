# SPDX-License-Identifier: Apache-2.0
"""Fakes that pass the contract suites of the real adapters."""
