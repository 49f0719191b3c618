// SPDX-License-Identifier: Apache-2.0
// Events. As with NVML, what happened before a set was made is never told: the lines that are there then are past.
#include "entry.h"

#include <stdlib.h>
#include <time.h>

struct nvmlEventSet_st {
    unsigned seen; // lines
    unsigned long long wanted[MOST_GPUS];
};

enum { LOOK_EVERY_MS = 20 };

EXPORT nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    *types = NVML_EVENT_XID | NVML_EVENT_DOUBLE_BIT_ECC;
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
    const World *world;
    nvmlReturn_t error = begin(__func__, &world);
    if (error)
        return error;
    *set = calloc(1, sizeof **set);
    if (*set)
        (*set)->seen = world->event_count;
    world_unlock();
    return *set ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

EXPORT nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    set->wanted[device->slot] |= types;
    world_unlock();
    return NVML_SUCCESS;
}

static bool take(const World *world, nvmlEventSet_t set, nvmlEventData_t *data) {
    if (set->seen > world->event_count)
        set->seen = world->event_count;
    while (set->seen < world->event_count) {
        const Event *event = &world->events[set->seen++];
        if (set->wanted[event->slot] & event->type) {
            *data = (nvmlEventData_t){handle_of(event->slot), event->type, event->data, ~0u, ~0u};
            return true;
        }
    }
    return false;
}

EXPORT nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_ms) {
    for (unsigned waited_ms = 0;; waited_ms += LOOK_EVERY_MS) {
        const World *world;
        nvmlReturn_t error = begin(__func__, &world);
        if (error)
            return error;
        bool found = take(world, set, data);
        world_unlock();
        if (found || waited_ms >= timeout_ms)
            return found ? NVML_SUCCESS : NVML_ERROR_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * 1000000L}, NULL);
    }
}

EXPORT nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) {
    free(set);
    return NVML_SUCCESS;
}
