/* files.c - walks folders with a list of those still to visit, and reads files with plain system calls. */
#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder still to be visited. */
typedef struct visit {
  struct visit *next;
  char *folder;
} visit;
TRI_TYPE(visit, next, folder);

char *file_join(const char *folder, const char *name) {
  size_t size = strlen(folder) + strlen(name) + 2;
  char *path = memory_text(size);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

static void add(file_list *list, char *path, uint64_t size) {
  if (list->count == list->capacity) {
    uint32_t capacity = list->capacity == 0 ? 1024 : 2 * list->capacity;
    char **paths = memory_array(char *, capacity);
    if (list->count != 0) memcpy(paths, list->paths, list->count * sizeof *paths);
    memory_give(list->paths);
    list->paths = paths;
    list->sizes = memory_grow(list->sizes, list->count * sizeof *list->sizes, capacity * sizeof *list->sizes);
    list->capacity = capacity;
  }
  list->paths[list->count] = path;
  list->sizes[list->count++] = size;
}

static visit *visit_push(visit *rest, char *folder) {
  visit *first = memory_new(visit);
  first->folder = folder;
  first->next = rest;
  return first;
}

/* Reads one folder: its files into the list, its folders in front of those still to visit. */
static visit *read_folder(file_list *list, const char *folder, visit *rest) {
  DIR *dir = opendir(folder);
  if (dir == NULL) return rest;
  for (struct dirent *item; (item = readdir(dir)) != NULL;) {
    if (item->d_name[0] == '.') continue;
    char *path = file_join(folder, item->d_name);
    struct stat info = {0};
    if (fstatat(dirfd(dir), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode)) {
      rest = visit_push(rest, path);
    } else if (S_ISREG(info.st_mode) && info.st_size > 0) {
      add(list, path, (uint64_t)info.st_size);
    } else {
      memory_give(path);
    }
  }
  closedir(dir);
  return rest;
}

void files_find(file_list *list, const char *folder) {
  visit *rest = visit_push(NULL, strcpy(memory_text(strlen(folder) + 1), folder));
  while (rest != NULL) {
    visit *first = rest;
    rest = read_folder(list, first->folder, first->next);
    memory_give(first->folder);
    memory_give(first);
  }
}

void files_give(file_list *list) {
  for (uint32_t i = 0; i < list->count; i++) memory_give(list->paths[i]);
  memory_give(list->paths);
  memory_give(list->sizes);
}

static uint32_t read_start(const char *path, char *text, uint32_t limit) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return 0;
  uint32_t length = 0;
  while (length < limit) {
    ssize_t got = read(file, text + length, limit - length);
    if (got <= 0) break;
    length += (uint32_t)got;
  }
  close(file);
  return length;
}

char *file_read(const char *path, uint32_t limit, uint32_t *length) {
  char *text = memory_text(limit);
  *length = read_start(path, text, limit);
  return text;
}

bool file_is_text(const char *path) {
  char start[2048];
  uint32_t length = read_start(path, start, sizeof start);
  uint32_t control = 0;
  for (uint32_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)start[i];
    if (c == 0) return false;
    if (c < 32 && c != '\n' && c != '\t' && c != '\r' && c != '\f') control++;
  }
  return length > 0 && control <= length / 64;
}
