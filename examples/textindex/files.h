/* files.h - finding and reading files. */
#ifndef TEXTINDEX_FILES_H
#define TEXTINDEX_FILES_H

#include "memory.h"

typedef struct file_list {
  char **paths;
  uint64_t *sizes;
  uint32_t count, capacity;
} file_list;

/* Adds the regular files below folder (links are not followed); what cannot be read is left out. */
void files_find(file_list *list, const char *folder);
void files_give(file_list *list);

/* At most limit bytes from the start of a file, fresh. *length is 0 when it cannot be read. */
char *file_read(const char *path, uint32_t limit, uint32_t *length);

/* Whether the file begins as text does: no zero byte and few control characters in its first 2 KiB. */
bool file_is_text(const char *path);

/* A fresh "folder/name". */
char *file_join(const char *folder, const char *name);

#endif
