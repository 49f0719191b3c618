# SPDX-License-Identifier: Apache-2.0
"""What is committed together: a notebook with its run, its bill, its events; a sync; facts."""
