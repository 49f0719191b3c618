// SPDX-License-Identifier: Apache-2.0
// The world file: what the pretended driver and its GPUs are like. contrib/nvml-stand-in.md describes its lines.
#ifndef STAND_IN_WORLD_H
#define STAND_IN_WORLD_H

#include <stdbool.h>

#include "nvml.h"

enum { MOST_GPUS = 64, MOST_PROCESSES = 128, MOST_RULES = 64, MOST_EVENTS = 1024, TEXT = 96 };

#define NOT_AVAILABLE (~0ULL)

typedef enum { COMPUTE, GRAPHICS, MPS } Kind;

typedef struct {
    Kind kind;
    unsigned pid;
    unsigned long long memory;
} Process;

typedef struct {
    bool present, used_is_set, recovery_is_set;
    char uuid[TEXT], name[TEXT], bus[32];
    unsigned long long memory, used, ecc, throttle, recovery;
    unsigned utilisation, temperature;
    double power_w, energy_j;
    int mig; // -1: a GPU that has no MIG
    unsigned process_count;
    Process processes[MOST_PROCESSES];
} GpuWorld;

// "fail" and "hang" lines. slot -1: whichever GPU, or none.
typedef struct {
    int slot;
    char function[TEXT];
    nvmlReturn_t error;
    unsigned hang_ms;
} Rule;

typedef struct {
    unsigned slot;
    unsigned long long type, data;
} Event;

typedef struct {
    bool exists;
    char driver[TEXT];
    GpuWorld gpus[MOST_GPUS];
    unsigned rule_count, event_count;
    Rule rules[MOST_RULES];
    Event events[MOST_EVENTS];
} World;

// The world as the file has it now, locked until world_unlock.
const World *world_lock(void);
void world_unlock(void);

// The slot of the GPU with that NVML index, -1 when there is none; the number of GPUs.
int world_slot_of(const World *world, unsigned index);
unsigned world_count(const World *world);

nvmlReturn_t error_of_name(const char *name);
const char *text_of_error(nvmlReturn_t error);

#endif
