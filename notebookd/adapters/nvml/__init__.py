# SPDX-License-Identifier: Apache-2.0
"""The GPUs port on NVML, NVIDIA's management library, by way of ``nvidia-ml-py`` (module ``pynvml``).

Two threads touch the driver, both of a kind that nothing waits for at exit: the worker makes every call of the port,
one at a time and bounded; the listener waits for events. A session exists while the driver is held; the library is
mapped for exactly as long, so that a driver upgraded in between brings its own.
"""

from __future__ import annotations

from notebookd.adapters.nvml.gpus import NvmlGpus

__all__ = ["NvmlGpus"]
