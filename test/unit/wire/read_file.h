// read_file.h - a whole file of test data, or NULL when it is not there.
#ifndef LAMBKIN_TEST_READ_FILE_H
#define LAMBKIN_TEST_READ_FILE_H

#include "base/arena.h"

#include <stdio.h>

static inline struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text;
    long size;

    if (!f)
        return STR_NULL;
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    text = size < 0 ? NULL : arena_alloc(a, (size_t)size + 1);
    if (text && fread(text, 1, (size_t)size, f) != (size_t)size)
        text = NULL;
    fclose(f);
    if (!text)
        return STR_NULL;
    text[size] = '\0';
    return (struct str){text, (size_t)size};
}

#endif
