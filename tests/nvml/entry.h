// SPDX-License-Identifier: Apache-2.0
// How every entry point begins: the world is read and locked, and what it says of failing and hanging is done.
#ifndef STAND_IN_ENTRY_H
#define STAND_IN_ENTRY_H

#include "world.h"

#define EXPORT __attribute__((visibility("default")))

// Begins a call that is about no GPU. On success the world is locked; on an error it is not.
nvmlReturn_t begin(const char *function, const World **world);

// Begins a call about a GPU.
nvmlReturn_t begin_gpu(const char *function, nvmlDevice_t device, const World **world, const GpuWorld **gpu);

// The handle of a slot.
nvmlDevice_t handle_of(unsigned slot);

#endif
