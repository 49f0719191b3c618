# SPDX-License-Identifier: Apache-2.0
"""One third-party thing each."""
