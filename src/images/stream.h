// stream.h - the tar stream inside a layer's blob: decompressed, counted, digested.
#ifndef LAMBKIN_IMAGES_STREAM_H
#define LAMBKIN_IMAGES_STREAM_H

#include "images/images_impl.h"

#include <archive.h>
#include <archive_entry.h>

struct stream;
// `fd` is read from its beginning and stays the caller's. *left is what the stream may still have;
// it is lowered as it goes.
int stream_open(int fd, uint64_t *left, struct stream **out, struct err *err);
// The entries of the tar archive.
struct archive *stream_tar(struct stream *s);
// Reads to the end and compares; NULL: not compared.
int stream_check(struct stream *s, const char *blob_hex, const char *diff_hex, struct err *err);
// What went wrong below the tar reader, or `otherwise`.
const char *stream_why(const struct stream *s, const char *otherwise);
void stream_close(struct stream *s);
void stream_closep(struct stream **s);

#endif
