// SPDX-License-Identifier: Apache-2.0
// The calls by which a process looks accounts up (getpwnam_r and its like), in front of those of the C library. The file
// that NSS_WORLD names is read at every call; its lines are
//
//   slow <key> <milliseconds>      a lookup of that name or number (or of any: *) takes so long; the key statvfs is for
//                                  the call of that name, as on a network's file system
//   user <uid> <gid> <name>        there is an account; the name is the rest of the line, any bytes
//   group <gid> <uids> <name>      there is a group of these uids (commas between them, - for none)
//
// What is not in it is asked of the C library. A lookup by the first thread of the process is appended to <file>.main.

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct line {
  char kind[8], first[256], second[256];
  const char *rest;
};

static char *read_world(void) {
  const char *path = getenv("NSS_WORLD");
  FILE *file = path ? fopen(path, "re") : NULL;
  if (!file) return NULL;
  char *text = calloc(1, 65536);
  if (text && fread(text, 1, 65535, file) == 0) text[0] = 0;
  fclose(file);
  return text;
}

// The next line of the text, which is written to; 0 at its end.
static int next(char **at, struct line *line) {
  char *text = strsep(at, "\n");
  if (!text) return 0;
  int used = 0;
  memset(line, 0, sizeof *line);
  sscanf(text, "%7s %255s %255s %n", line->kind, line->first, line->second, &used);
  line->rest = text + used;
  return 1;
}

static void tell(const char *key) {
  const char *path = getenv("NSS_WORLD");
  char name[4096];
  if (!path || syscall(SYS_gettid) != getpid()) return;
  snprintf(name, sizeof name, "%s.main", path);
  FILE *file = fopen(name, "ae");
  if (!file) return;
  fprintf(file, "%s\n", key);
  fclose(file);
}

static void dawdle(const char *key) {
  tell(key);
  long longest = 0;
  char *world = read_world(), *at = world;
  struct line line;
  while (at && next(&at, &line))
    if (!strcmp(line.kind, "slow") && (!strcmp(line.first, key) || (!strcmp(line.first, "*") && strcmp(key, "statvfs"))) && atol(line.second) > longest)
      longest = atol(line.second);
  free(world);
  struct timespec left = {longest / 1000, longest % 1000 * 1000000};
  while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static char *put(const char *text, char **into, size_t *left) {
  size_t size = strlen(text) + 1;
  if (size > *left) return NULL;
  char *there = memcpy(*into, text, size);
  *into += size, *left -= size;
  return there;
}

// 1: found; 0: not in the world; -1: the buffer is too small.
static int find_user(const char *name, uid_t uid, struct passwd *into, char *buffer, size_t size) {
  char *world = read_world(), *at = world;
  struct line line;
  int found = 0;
  while (!found && at && next(&at, &line)) {
    if (strcmp(line.kind, "user") || (name ? strcmp(line.rest, name) : strtoul(line.first, NULL, 10) != uid)) continue;
    found = 1;
    into->pw_uid = strtoul(line.first, NULL, 10), into->pw_gid = strtoul(line.second, NULL, 10);
    into->pw_name = put(line.rest, &buffer, &size);
    into->pw_passwd = into->pw_gecos = put("", &buffer, &size);
    into->pw_dir = put("/nonexistent", &buffer, &size);
    into->pw_shell = put("/bin/sh", &buffer, &size);
    if (!into->pw_shell) found = -1;
  }
  free(world);
  return found;
}

static int find_group(const char *name, gid_t gid, struct group *into, char *buffer, size_t size) {
  static char *nobody[] = {NULL};
  char *world = read_world(), *at = world;
  struct line line;
  int found = 0;
  while (!found && at && next(&at, &line)) {
    if (strcmp(line.kind, "group") || (name ? strcmp(line.rest, name) : strtoul(line.first, NULL, 10) != gid)) continue;
    found = 1;
    into->gr_gid = strtoul(line.first, NULL, 10), into->gr_mem = nobody;
    into->gr_name = put(line.rest, &buffer, &size);
    into->gr_passwd = put("", &buffer, &size);
    if (!into->gr_passwd) found = -1;
  }
  free(world);
  return found;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ANSWER(found, into, result) \
  if (found) {                      \
    *(result) = found > 0 ? (into) : NULL; \
    return found > 0 ? 0 : ERANGE;  \
  }

int getpwnam_r(const char *name, struct passwd *into, char *buffer, size_t size, struct passwd **result) {
  dawdle(name);
  int found = find_user(name, 0, into, buffer, size);
  ANSWER(found, into, result)
  return REAL(getpwnam_r)(name, into, buffer, size, result);
}

int getpwuid_r(uid_t uid, struct passwd *into, char *buffer, size_t size, struct passwd **result) {
  char key[16];
  snprintf(key, sizeof key, "%u", uid);
  dawdle(key);
  int found = find_user(NULL, uid, into, buffer, size);
  ANSWER(found, into, result)
  return REAL(getpwuid_r)(uid, into, buffer, size, result);
}

int getgrnam_r(const char *name, struct group *into, char *buffer, size_t size, struct group **result) {
  dawdle(name);
  int found = find_group(name, 0, into, buffer, size);
  ANSWER(found, into, result)
  return REAL(getgrnam_r)(name, into, buffer, size, result);
}

int getgrgid_r(gid_t gid, struct group *into, char *buffer, size_t size, struct group **result) {
  char key[16];
  snprintf(key, sizeof key, "%u", gid);
  dawdle(key);
  int found = find_group(NULL, gid, into, buffer, size);
  ANSWER(found, into, result)
  return REAL(getgrgid_r)(gid, into, buffer, size, result);
}

int statvfs64(const char *path, struct statvfs64 *into) {
  dawdle("statvfs");
  return REAL(statvfs64)(path, into);
}

int statvfs(const char *path, struct statvfs *into) {
  dawdle("statvfs");
  return REAL(statvfs)(path, into);
}

// Whether a number stands in a list of them.
static int lists(const char *numbers, uid_t wanted) {
  char copy[256], *at = copy, *each;
  snprintf(copy, sizeof copy, "%s", numbers);
  while ((each = strsep(&at, ",")))
    if (*each && *each != '-' && strtoul(each, NULL, 10) == wanted) return 1;
  return 0;
}

int getgrouplist(const char *name, gid_t gid, gid_t *groups, int *count) {
  dawdle(name);
  struct passwd account;
  char buffer[1024];
  if (find_user(name, 0, &account, buffer, sizeof buffer) <= 0) return REAL(getgrouplist)(name, gid, groups, count);
  char *world = read_world(), *at = world;
  struct line line;
  int found = 1, room = *count;
  if (room > 0) groups[0] = gid;
  while (at && next(&at, &line)) {
    if (strcmp(line.kind, "group") || !lists(line.second, account.pw_uid)) continue;
    if (found < room) groups[found] = strtoul(line.first, NULL, 10);
    found++;
  }
  free(world);
  *count = found;
  return found > room ? -1 : found;
}
