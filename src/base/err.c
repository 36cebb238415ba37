// err.c - filling in an error without ever allocating.
//
// Invariant: `message` is always terminated, and cut at the end of a UTF-8 character when it did
// not fit, so that it can go into any protocol as it is.
#include "err.h"

#include <errno.h>
#include <stdio.h>

// Cuts an incomplete UTF-8 sequence off the end of a string that was truncated.
static void cut_clean(char *s)
{
    size_t len = strlen(s), back = 0;
    unsigned char lead;
    size_t need;

    while (back < len && back < 4 && ((unsigned char)s[len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back >= len || back == 4)
        return; // not UTF-8 at all
    lead = (unsigned char)s[len - 1 - back];
    need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (back + 1 < need)
        s[len - 1 - back] = '\0';
}

__attribute__((format(printf, 3, 0))) static void format_cut(char *out, size_t size,
                                                             const char *format, va_list args)
{
    int n = vsnprintf(out, size, format, args);

    if (n < 0)
        out[0] = '\0';
    else if ((size_t)n >= size)
        cut_clean(out);
}

static void begin(struct err *err, int code, const struct aws_error *aws)
{
    err->code = code;
    err->aws = aws;
    err->n_fields = 0;
    err->message[0] = '\0';
}

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    begin(err, code, NULL);
    va_start(args, format);
    format_cut(err->message, sizeof(err->message), format, args);
    va_end(args);
    return code;
}

int err_aws(struct err *err, const struct aws_error *kind, const char *format, ...)
{
    va_list args;

    if (!err)
        return -EBADMSG;
    begin(err, -EBADMSG, kind);
    va_start(args, format);
    format_cut(err->message, sizeof(err->message), format, args);
    va_end(args);
    return -EBADMSG;
}

void err_field(struct err *err, const char *name, const char *format, ...)
{
    struct err_field *f;
    va_list args;

    if (!err || err->n_fields >= ERR_MAX_FIELDS)
        return;
    f = &err->fields[err->n_fields++];
    f->name = name;
    va_start(args, format);
    format_cut(f->value, sizeof(f->value), format, args);
    va_end(args);
}

int err_wrap(struct err *err, const char *format, ...)
{
    char old[ERR_MESSAGE_BYTES];
    va_list args;
    size_t len;

    if (!err)
        return -EIO; // nobody can tell the code any more; callers that pass NULL do not ask
    if (err->aws)
        return err->code;
    memcpy(old, err->message, sizeof(old));
    va_start(args, format);
    format_cut(err->message, sizeof(err->message), format, args);
    va_end(args);
    len = strlen(err->message);
    if ((size_t)snprintf(err->message + len, sizeof(err->message) - len, ": %s", old) >=
        sizeof(err->message) - len)
        cut_clean(err->message);
    return err->code;
}

int err_errno(struct err *err, int positive_errno, const char *format, ...)
{
    char words[96];
    va_list args;
    size_t len;

    if (!err)
        return -positive_errno;
    begin(err, -positive_errno, NULL);
    va_start(args, format);
    format_cut(err->message, sizeof(err->message), format, args);
    va_end(args);
    len = strlen(err->message);
    // The GNU variant, which answers the text; it may ignore `words`.
    if ((size_t)snprintf(err->message + len, sizeof(err->message) - len, ": %s",
                         strerror_r(positive_errno, words, sizeof(words))) >=
        sizeof(err->message) - len)
        cut_clean(err->message);
    return -positive_errno;
}
