// SPDX-License-Identifier: Apache-2.0
// Reads the world file. It is parsed again whenever it may have changed: at any call, by anybody's editor.
#include "world.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static World world;
static struct stat parsed;
static char parsed_path[PATH_MAX];

static const struct {
    nvmlReturn_t error;
    const char *name, *text;
} errors[] = {
    {0, "SUCCESS", "The operation was successful"},
    {1, "UNINITIALIZED", "Uninitialized"},
    {2, "INVALID_ARGUMENT", "Invalid Argument"},
    {3, "NOT_SUPPORTED", "Not Supported"},
    {4, "NO_PERMISSION", "Insufficient Permissions"},
    {6, "NOT_FOUND", "Not Found"},
    {7, "INSUFFICIENT_SIZE", "Insufficient Size"},
    {9, "DRIVER_NOT_LOADED", "Driver Not Loaded"},
    {10, "TIMEOUT", "Timeout"},
    {13, "FUNCTION_NOT_FOUND", "Function Not Found"},
    {15, "GPU_IS_LOST", "GPU is lost"},
    {16, "RESET_REQUIRED", "GPU requires reset"},
    {17, "OPERATING_SYSTEM", "The operating system has blocked the request"},
    {18, "LIB_RM_VERSION_MISMATCH", "Driver/library version mismatch"},
    {26, "DEPRECATED", "Deprecated"},
    {28, "GPU_NOT_FOUND", "No GPUs were found"},
    {999, "UNKNOWN", "Unknown Error"},
};

enum { ERRORS = sizeof errors / sizeof *errors };

nvmlReturn_t error_of_name(const char *name) {
    if (strncasecmp(name, "NVML_ERROR_", 11) == 0)
        name += 11;
    for (unsigned i = 0; i < ERRORS; i++)
        if (strcasecmp(errors[i].name, name) == 0)
            return errors[i].error;
    char *end;
    long number = strtol(name, &end, 10);
    return *name && !*end ? (nvmlReturn_t)number : -1;
}

const char *text_of_error(nvmlReturn_t error) {
    for (unsigned i = 0; i < ERRORS; i++)
        if (errors[i].error == error)
            return errors[i].text;
    return "Unknown Error";
}

static bool read_number(const char *text, unsigned long long *value) {
    char *end;
    *value = strtoull(text, &end, 0);
    return end != text && !*end;
}

// Bytes, or KiB, MiB, GiB.
static bool read_size(const char *text, unsigned long long *value) {
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    char *end;
    *value = strtoull(text, &end, 10);
    for (unsigned i = 0; end != text && i < 4; i++)
        if (strcasecmp(end, units[i]) == 0) {
            *value <<= 10 * i;
            return true;
        }
    return false;
}

static GpuWorld *gpu_at(unsigned slot) {
    GpuWorld *gpu = &world.gpus[slot];
    if (!gpu->present) {
        *gpu = (GpuWorld){.present = true, .memory = 80ULL << 30, .temperature = 35, .power_w = 60};
        snprintf(gpu->uuid, TEXT, "GPU-00000000-0000-0000-0000-%012u", slot);
        snprintf(gpu->bus, sizeof gpu->bus, "00000000:%02X:00.0", slot + 1);
        snprintf(gpu->name, TEXT, "NVIDIA Stand-in 80GB");
    }
    return gpu;
}

static bool read_rule(int slot, const char *verb, char *words) {
    char function[TEXT] = "", what[TEXT] = "";
    if (world.rule_count == MOST_RULES || sscanf(words, "%95s %95s", function, what) != 2)
        return false;
    Rule rule = {.slot = slot};
    memcpy(rule.function, function, TEXT);
    if (strcmp(verb, "hang") == 0)
        rule.hang_ms = (unsigned)atoi(what);
    else if ((rule.error = error_of_name(what)) < 0)
        return false;
    world.rules[world.rule_count++] = rule;
    return true;
}

static bool read_event(unsigned slot, const char *words) {
    Event event = {.slot = slot};
    if (sscanf(words, "xid %llu", &event.data) == 1)
        event.type = NVML_EVENT_XID;
    else if (strcmp(words, "ecc") == 0)
        event.type = NVML_EVENT_DOUBLE_BIT_ECC;
    if (!event.type || world.event_count == MOST_EVENTS)
        return false;
    world.events[world.event_count++] = event;
    return true;
}

static bool read_process(GpuWorld *gpu, Kind kind, const char *words) {
    Process process = {.kind = kind, .memory = NOT_AVAILABLE};
    char size[32] = "";
    if (gpu->process_count == MOST_PROCESSES || sscanf(words, "%u %31s", &process.pid, size) != 2)
        return false;
    if (strcmp(size, "?") != 0 && !read_size(size, &process.memory))
        return false;
    gpu->processes[gpu->process_count++] = process;
    return true;
}

static bool read_text(char *into, size_t size, const char *words) {
    return *words && (size_t)snprintf(into, size, "%s", words) < size;
}

static bool read_reading(GpuWorld *gpu, const char *key, const char *words) {
    unsigned long long number = 0;
    if (strcmp(key, "memory") == 0)
        return read_size(words, &gpu->memory);
    if (strcmp(key, "used") == 0)
        return gpu->used_is_set = read_size(words, &gpu->used);
    if (strcmp(key, "power") == 0)
        return sscanf(words, "%lf", &gpu->power_w) == 1;
    if (strcmp(key, "energy") == 0)
        return sscanf(words, "%lf", &gpu->energy_j) == 1;
    if (strcmp(key, "mig") == 0) {
        gpu->mig = strcmp(words, "on") == 0 ? 1 : strcmp(words, "off") == 0 ? 0 : -1;
        return gpu->mig >= 0 || strcmp(words, "none") == 0;
    }
    if (!read_number(words, &number))
        return false;
    if (strcmp(key, "utilisation") == 0)
        gpu->utilisation = (unsigned)number;
    else if (strcmp(key, "temperature") == 0)
        gpu->temperature = (unsigned)number;
    else if (strcmp(key, "throttle") == 0)
        gpu->throttle = number;
    else if (strcmp(key, "ecc") == 0)
        gpu->ecc = number;
    else if (strcmp(key, "recovery") == 0) {
        gpu->recovery = number;
        gpu->recovery_is_set = true;
    } else
        return false;
    return true;
}

static bool read_gpu(char *words) {
    char key[TEXT] = "";
    int slot = -1, taken = 0;
    if (sscanf(words, "%d %n", &slot, &taken) < 1 || slot < 0 || slot >= MOST_GPUS)
        return false;
    GpuWorld *gpu = gpu_at((unsigned)slot);
    words += taken;
    taken = 0;
    if (sscanf(words, "%95s %n", key, &taken) < 1)
        return true;
    words += taken;
    if (strcmp(key, "fail") == 0 || strcmp(key, "hang") == 0)
        return read_rule(slot, key, words);
    if (strcmp(key, "event") == 0)
        return read_event((unsigned)slot, words);
    if (strcmp(key, "compute") == 0)
        return read_process(gpu, COMPUTE, words);
    if (strcmp(key, "graphics") == 0)
        return read_process(gpu, GRAPHICS, words);
    if (strcmp(key, "mps") == 0)
        return read_process(gpu, MPS, words);
    if (strcmp(key, "uuid") == 0)
        return read_text(gpu->uuid, TEXT, words);
    if (strcmp(key, "name") == 0)
        return read_text(gpu->name, TEXT, words);
    if (strcmp(key, "bus") == 0)
        return read_text(gpu->bus, sizeof gpu->bus, words);
    return read_reading(gpu, key, words);
}

static bool read_line(char *line) {
    char verb[TEXT] = "";
    int taken = 0;
    line[strcspn(line, "#\n")] = '\0';
    for (size_t end = strlen(line); end && strchr(" \t\r", line[end - 1]); end--)
        line[end - 1] = '\0';
    if (sscanf(line, " %95s %n", verb, &taken) < 1)
        return true;
    if (strcmp(verb, "gpu") == 0)
        return read_gpu(line + taken);
    if (strcmp(verb, "driver") == 0)
        return read_text(world.driver, TEXT, line + taken);
    if (strcmp(verb, "fail") == 0 || strcmp(verb, "hang") == 0)
        return read_rule(-1, verb, line + taken);
    return false;
}

// NVML_WORLD, or else the file "world" beside this library.
static const char *world_path(void) {
    static char beside[PATH_MAX];
    const char *told = getenv("NVML_WORLD");
    Dl_info self;
    if (told && *told)
        return told;
    if (!*beside && dladdr((void *)&world, &self) && self.dli_fname) {
        const char *slash = strrchr(self.dli_fname, '/');
        int length = slash ? (int)(slash - self.dli_fname) + 1 : 0;
        snprintf(beside, sizeof beside, "%.*sworld", length, self.dli_fname);
    }
    return beside;
}

// A file changed within the clock's last tick may change again under the same time: it is not trusted yet.
static bool is_parsed(const char *path, const struct stat *now) {
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    long long age_ms =
        (clock.tv_sec - now->st_mtim.tv_sec) * 1000LL + (clock.tv_nsec - now->st_mtim.tv_nsec) / 1000000LL;
    return age_ms > 50 && world.exists && strcmp(path, parsed_path) == 0 && now->st_ino == parsed.st_ino &&
           now->st_dev == parsed.st_dev && now->st_size == parsed.st_size &&
           now->st_mtim.tv_sec == parsed.st_mtim.tv_sec && now->st_mtim.tv_nsec == parsed.st_mtim.tv_nsec;
}

static void parse(FILE *file) {
    char *line = NULL;
    size_t size = 0;
    for (unsigned number = 1; getline(&line, &size, file) >= 0; number++)
        if (!read_line(line))
            fprintf(stderr, "nvml stand-in: cannot understand line %u of %s\n", number, world_path());
    free(line);
}

const World *world_lock(void) {
    struct stat now;
    const char *path = world_path();
    pthread_mutex_lock(&lock);
    if (stat(path, &now) == 0 && is_parsed(path, &now))
        return &world;
    memset(&world, 0, sizeof world);
    snprintf(world.driver, TEXT, "%s", *VERSION ? VERSION : "570.0");
    FILE *file = fopen(path, "re");
    if (file) {
        world.exists = fstat(fileno(file), &parsed) == 0;
        snprintf(parsed_path, sizeof parsed_path, "%s", path);
        parse(file);
        fclose(file);
    }
    return &world;
}

void world_unlock(void) {
    pthread_mutex_unlock(&lock);
}

int world_slot_of(const World *where, unsigned index) {
    for (int slot = 0; slot < MOST_GPUS; slot++)
        if (where->gpus[slot].present && index-- == 0)
            return slot;
    return -1;
}

unsigned world_count(const World *where) {
    unsigned count = 0;
    for (int slot = 0; slot < MOST_GPUS; slot++)
        count += where->gpus[slot].present;
    return count;
}
