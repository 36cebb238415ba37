// stream.c - see stream.h. Two readers of libarchive, one feeding the other: the first undoes the
// compression (gzip, zstd or none) and knows nothing of tar, the second reads the tar. Between them
// every byte is counted and digested, so neither a bomb nor another content gets through.
#include "images/stream.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK ((size_t)128 << 10)

struct stream {
    int fd;
    struct archive *plain, *tar;
    struct hash *blob, *diff;
    uint64_t *left;
    bool ended, too_much, unreadable;
    char in[CHUNK], out[CHUNK];
};

static la_ssize_t read_blob(struct archive *a, void *ctx, const void **bytes)
{
    struct stream *s = ctx;
    ssize_t n;

    do
        n = read(s->fd, s->in, sizeof(s->in));
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        s->unreadable = true;
        archive_set_error(a, errno, "cannot be read");
        return -1;
    }
    hash_add(s->blob, (struct str){s->in, (size_t)n});
    *bytes = s->in;
    return n;
}

static la_ssize_t read_plain(struct archive *a, void *ctx, const void **bytes)
{
    struct stream *s = ctx;

    if (s->ended)
        return 0;
    la_ssize_t n = archive_read_data(s->plain, s->out, sizeof(s->out));
    if (n < 0) {
        archive_set_error(a, EIO, "is damaged");
        return -1;
    }
    if ((uint64_t)n > *s->left) {
        s->too_much = true;
        archive_set_error(a, EFBIG, "is too large");
        return -1;
    }
    if (n == 0)
        s->ended = true;
    *s->left -= (uint64_t)n;
    hash_add(s->diff, (struct str){s->out, (size_t)n});
    *bytes = s->out;
    return n;
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    if (s->tar)
        archive_read_free(s->tar);
    if (s->plain)
        archive_read_free(s->plain);
    hash_destroy(s->blob);
    hash_destroy(s->diff);
    free(s);
}

void stream_closep(struct stream **s)
{
    stream_close(*s);
}

const char *stream_why(const struct stream *s, const char *otherwise)
{
    return s->too_much     ? "unpacks to more than 10 GB"
           : s->unreadable ? "cannot be read"
                           : otherwise;
}

int stream_open(int fd, uint64_t *left, struct stream **out, struct err *err)
{
    _cleanup_(stream_closep) struct stream *s = calloc(1, sizeof(*s));
    struct archive_entry *e;

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    s->fd = fd;
    s->left = left;
    s->blob = hash_create(HASH_SHA256);
    s->diff = hash_create(HASH_SHA256);
    s->plain = archive_read_new();
    s->tar = archive_read_new();
    if (!s->blob || !s->diff || !s->plain || !s->tar)
        return err_set(err, -ENOMEM, "out of memory");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(err, errno, "seek in a layer");
    archive_read_support_format_raw(s->plain);
    archive_read_support_filter_gzip(s->plain);
    archive_read_support_filter_zstd(s->plain);
    archive_read_support_format_tar(s->tar);
    archive_read_support_format_empty(s->tar);
    if (archive_read_open(s->plain, s, NULL, read_blob, NULL) != ARCHIVE_OK)
        return image_invalid(err, "A layer of the image %s.", stream_why(s, "is damaged"));
    s->ended = archive_read_next_header(s->plain, &e) != ARCHIVE_OK; // an empty file has none
    if (archive_read_open(s->tar, s, NULL, read_plain, NULL) != ARCHIVE_OK)
        return image_invalid(err, "A layer of the image %s.",
                             stream_why(s, "is neither a tar nor a compressed tar"));
    *out = TAKE_PTR(s);
    return 0;
}

struct archive *stream_tar(struct stream *s)
{
    return s->tar;
}

static bool same(struct hash *h, const char *hex)
{
    uint8_t digest[HASH_MAX_BYTES];
    char text[SHA256_HEX_BYTES];

    hash_result(h, digest);
    hex_encode(digest, SHA256_BYTES, text);
    return !hex || strcmp(text, hex) == 0;
}

int stream_check(struct stream *s, const char *blob_hex, const char *diff_hex, struct err *err)
{
    const void *bytes;
    la_ssize_t n;

    while ((n = read_plain(s->tar, s, &bytes)) > 0) // what lies behind the end of the tar
        ;
    if (n < 0)
        return image_invalid(err, "A layer of the image %s.", stream_why(s, "is damaged"));
    while ((n = read_blob(s->plain, s, &bytes)) > 0)
        ;
    if (n < 0)
        return image_invalid(err, "A layer of the image cannot be read.");
    bool blob_same = same(s->blob, blob_hex), diff_same = same(s->diff, diff_hex);
    if (!blob_same)
        return image_invalid(err, "A layer of the image is not what its digest says: sha256:%s.",
                             blob_hex);
    if (!diff_same)
        return image_invalid(err,
                             "A layer of the image is not what its configuration says: "
                             "sha256:%s.",
                             diff_hex);
    return 0;
}
