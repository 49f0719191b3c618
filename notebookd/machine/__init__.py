# SPDX-License-Identifier: Apache-2.0
"""What is known of this machine: its GPUs and who is on them, and how far those are who carry data."""
