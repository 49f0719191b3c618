# SPDX-License-Identifier: Apache-2.0
"""The pure heart: no asyncio, no clock, no I/O, nothing of a third party."""
