// sts.h - temporary credentials: made here, verified here, stored nowhere.
//
// A session token is an AES-256-GCM box around who the caller is, until when, and the secret key;
// the key of the box is data-dir/keys/session.key (mode 0600), so tokens outlive a restart.
// Thread-safe after sts_keys_open().
#ifndef LAMBKIN_SERVICES_STS_H
#define LAMBKIN_SERVICES_STS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct engine_service;
extern const struct engine_service sts_service;

// Who a session is. Strings live in the arena that was given.
struct sts_session {
    struct str access_key_id; // ASIA…
    struct str secret_key;
    struct str token;
    int64_t expires_ms;
    struct str account;       // 12 digits
    struct str principal_arn; // arn:aws:sts::…:assumed-role/role/session, or an IAM user's
    struct str user_id;       // AROA…:session
};

// Opens or makes the key. Called once, before any other; sts_service's start does it.
int sts_keys_open(const char *data_dir, struct err *err);

// New credentials for a principal, valid until expires_ms. No I/O. -ENOMEM; -EINVAL when the
// strings exceed 1 KiB together.
int sts_session_make(struct arena *arena, struct str account, struct str principal_arn,
                     struct str user_id, int64_t expires_ms, struct sts_session *out,
                     struct err *err);

// Opens a token. -EBADMSG: not ours or altered. The expiry is the caller's to compare.
int sts_session_open(struct arena *arena, struct str token, struct sts_session *out,
                     struct err *err);

#endif
