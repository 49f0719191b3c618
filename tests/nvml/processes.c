// SPDX-License-Identifier: Apache-2.0
// The three lists of processes on a GPU.
#include "entry.h"

static nvmlReturn_t list(const char *function, nvmlDevice_t device, Kind kind, unsigned *count,
                         nvmlProcessInfo_v2_t *into) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(function, device, &world, &gpu);
    if (error)
        return error;
    unsigned room = into ? *count : 0, found = 0;
    for (unsigned i = 0; i < gpu->process_count; i++) {
        if (gpu->processes[i].kind != kind)
            continue;
        if (found < room)
            into[found] = (nvmlProcessInfo_v2_t){gpu->processes[i].pid, gpu->processes[i].memory, ~0u, ~0u};
        found++;
    }
    *count = found;
    world_unlock();
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                            nvmlProcessInfo_v2_t *processes) {
    return list(__func__, device, COMPUTE, count, processes);
}

EXPORT nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                             nvmlProcessInfo_v2_t *processes) {
    return list(__func__, device, GRAPHICS, count, processes);
}

EXPORT nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count,
                                                               nvmlProcessInfo_v2_t *processes) {
    return list(__func__, device, MPS, count, processes);
}
