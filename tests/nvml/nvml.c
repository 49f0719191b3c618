// SPDX-License-Identifier: Apache-2.0
// A stand-in libnvidia-ml.so.1: exactly the entry points that notebookd's adapter uses, over a world file.
#include "entry.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_int sessions;
static struct nvmlDevice_st devices[MOST_GPUS];

nvmlDevice_t handle_of(unsigned slot) {
    devices[slot].slot = slot;
    return &devices[slot];
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static const Rule *find_rule(const World *world, const char *function, int slot, bool hang) {
    const Rule *found = NULL;
    for (unsigned i = 0; i < world->rule_count; i++) {
        const Rule *rule = &world->rules[i];
        bool meant = strcmp(rule->function, "*") == 0 || strcmp(rule->function, function) == 0;
        if (meant && (rule->slot < 0 || rule->slot == slot) && (rule->hang_ms > 0) == hang)
            found = rule;
    }
    return found;
}

// Waits as long as the world says, or until it no longer says so.
static const World *lock_after_hanging(const char *function, int slot) {
    for (unsigned waited_ms = 0;; waited_ms += 2) {
        const World *world = world_lock();
        const Rule *rule = find_rule(world, function, slot, true);
        if (!rule || waited_ms >= rule->hang_ms)
            return world;
        world_unlock();
        nap();
    }
}

static nvmlReturn_t begin_call(const char *function, int slot, const World **world) {
    *world = lock_after_hanging(function, slot);
    const Rule *rule = find_rule(*world, function, slot, false);
    nvmlReturn_t error = NVML_SUCCESS;
    if (rule)
        error = rule->error;
    else if (!(*world)->exists)
        error = NVML_ERROR_DRIVER_NOT_LOADED;
    else if (*VERSION && strcmp((*world)->driver, VERSION) != 0)
        error = NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    if (error)
        world_unlock();
    return error;
}

nvmlReturn_t begin(const char *function, const World **world) {
    return sessions > 0 ? begin_call(function, -1, world) : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t begin_gpu(const char *function, nvmlDevice_t device, const World **world, const GpuWorld **gpu) {
    if (sessions <= 0)
        return NVML_ERROR_UNINITIALIZED;
    if (device < devices || device >= devices + MOST_GPUS)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t error = begin_call(function, (int)device->slot, world);
    if (error)
        return error;
    *gpu = &(*world)->gpus[device->slot];
    if (!(*gpu)->present) {
        world_unlock();
        return NVML_ERROR_GPU_IS_LOST;
    }
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    const World *world;
    nvmlReturn_t error = begin_call(__func__, -1, &world);
    (void)flags;
    if (error)
        return error;
    sessions++;
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlShutdown(void) {
    if (sessions <= 0)
        return NVML_ERROR_UNINITIALIZED;
    sessions--;
    return NVML_SUCCESS;
}

EXPORT const char *nvmlErrorString(nvmlReturn_t error) {
    return text_of_error(error);
}

static nvmlReturn_t put_text(char *into, unsigned size, const char *text) {
    int length = snprintf(into, size, "%s", text);
    world_unlock();
    return (unsigned)length < size ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

EXPORT nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned size) {
    const World *world;
    nvmlReturn_t error = begin(__func__, &world);
    return error ? error : put_text(version, size, world->driver);
}

EXPORT nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    const World *world;
    nvmlReturn_t error = begin(__func__, &world);
    if (error)
        return error;
    *count = world_count(world);
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    const World *world = world_lock();
    const GpuWorld *gpu;
    int slot = world_slot_of(world, index);
    world_unlock();
    if (slot < 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t error = begin_gpu(__func__, handle_of((unsigned)slot), &world, &gpu);
    if (error)
        return error;
    *device = handle_of((unsigned)slot);
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned size) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    return error ? error : put_text(uuid, size, gpu->uuid);
}

EXPORT nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned size) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    return error ? error : put_text(name, size, gpu->name);
}

EXPORT nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    memset(pci, 0, sizeof *pci);
    memcpy(pci->busId, gpu->bus, sizeof pci->busId);
    sscanf(gpu->bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    unsigned long long used = gpu->used;
    for (unsigned i = 0; !gpu->used_is_set && i < gpu->process_count; i++)
        if (gpu->processes[i].memory != NOT_AVAILABLE)
            used += gpu->processes[i].memory;
    memory->total = gpu->memory;
    memory->reserved = 0;
    memory->used = used < gpu->memory ? used : gpu->memory;
    memory->free = memory->total - memory->used;
    world_unlock();
    return NVML_SUCCESS;
}

EXPORT nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    *rates = (nvmlUtilization_t){.gpu = gpu->utilisation};
    world_unlock();
    return NVML_SUCCESS;
}

// The entry points that give one number: BODY has the world's gpu.
#define READING(FUNCTION, PARAMETERS, BODY)                                                                            \
    EXPORT nvmlReturn_t FUNCTION PARAMETERS {                                                                          \
        const World *world;                                                                                            \
        const GpuWorld *gpu;                                                                                           \
        nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);                                                \
        if (error)                                                                                                     \
            return error;                                                                                              \
        BODY;                                                                                                          \
        world_unlock();                                                                                                \
        return NVML_SUCCESS;                                                                                           \
    }

READING(nvmlDeviceGetTemperature, (nvmlDevice_t device, unsigned sensor, unsigned *celsius),
        ((void)sensor, *celsius = gpu->temperature))

READING(nvmlDeviceGetTemperatureV, (nvmlDevice_t device, nvmlTemperature_v1_t *reading),
        reading->temperature = (int)gpu->temperature)

READING(nvmlDeviceGetPowerUsage, (nvmlDevice_t device, unsigned *milliwatts),
        *milliwatts = (unsigned)(gpu->power_w * 1000))

READING(nvmlDeviceGetTotalEnergyConsumption, (nvmlDevice_t device, unsigned long long *millijoules),
        *millijoules = (unsigned long long)(gpu->energy_j * 1000))

READING(nvmlDeviceGetCurrentClocksEventReasons, (nvmlDevice_t device, unsigned long long *reasons),
        *reasons = gpu->throttle)

READING(nvmlDeviceGetCurrentClocksThrottleReasons, (nvmlDevice_t device, unsigned long long *reasons),
        *reasons = gpu->throttle)

READING(nvmlDeviceGetTotalEccErrors,
        (nvmlDevice_t device, unsigned type, unsigned counter, unsigned long long *errors_seen),
        *errors_seen = type == 1 && counter == 0 ? gpu->ecc : 0)

EXPORT nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    int mig = gpu->mig;
    world_unlock();
    if (mig < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = (unsigned)mig;
    return NVML_SUCCESS;
}

// Of the fields there is one: what the driver asks for to make the GPU usable again.
EXPORT nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    const World *world;
    const GpuWorld *gpu;
    nvmlReturn_t error = begin_gpu(__func__, device, &world, &gpu);
    if (error)
        return error;
    for (int i = 0; i < count; i++) {
        int known = values[i].fieldId == NVML_FI_DEV_GET_GPU_RECOVERY_ACTION && gpu->recovery_is_set;
        values[i].nvmlReturn = known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        values[i].value.ullVal = known ? gpu->recovery : 0;
    }
    world_unlock();
    return NVML_SUCCESS;
}
