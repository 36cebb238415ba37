// err.h - why something failed: filled in on the way up, owned by the caller, never allocates.
//
// Functions that fail answer a negative errno and fill `err`, their last argument. An error that
// an AWS client should see carries a `struct aws_error` (what kind) and the message; everything
// else reaches the client as an internal failure and our own log in full.
#ifndef LAMBKIN_BASE_ERR_H
#define LAMBKIN_BASE_ERR_H

#include "str.h"

#include <stdarg.h>

#define ERR_MESSAGE_BYTES 512
#define ERR_MAX_FIELDS 4

// One error shape of AWS, in constant tables (generated from the models, or by hand).
struct aws_error {
    const char *code;       // "ResourceNotFoundException": x-amzn-ErrorType, __type, <Code>
    const char *query_code; // the older spelling where the protocol has one, or NULL
    int status;             // HTTP
    bool client_fault;      // "Type": "User" / Sender, else Server
};

// A further member of the error's body: {"Reason": "…"}.
struct err_field {
    const char *name; // constant
    char value[96];
};

struct err {
    int code;                    // negative errno; 0 when nothing failed
    const struct aws_error *aws; // constant, or NULL
    char message[ERR_MESSAGE_BYTES];
    struct err_field fields[ERR_MAX_FIELDS];
    unsigned n_fields;
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

// Both answer the code, so that `return err_set(err, -ENOENT, "…")` reads well. err may be NULL.
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// What the client did wrong; answers -EBADMSG, also the code. The message is for the client.
int err_aws(struct err *err, const struct aws_error *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Adds a member to the error's body; `name` must be a constant. Too many are dropped.
void err_field(struct err *err, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Puts "context: " in front of the message; answers err->code. AWS errors keep their message.
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The errno in words after the context: "open /x: No such file or directory".
int err_errno(struct err *err, int positive_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
