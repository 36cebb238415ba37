// secrets.h - what must not lie in the database in the clear: environment variables.
#ifndef LAMBKIN_SERVICES_LAMBDA_SECRETS_H
#define LAMBKIN_SERVICES_LAMBDA_SECRETS_H

#include "base/arena.h"
#include "base/err.h"

#define SECRET_KEY_BYTES 32

struct secret_key {
    uint8_t bytes[SECRET_KEY_BYTES];
};

// Reads the key file, or makes it (mode 0600, synced) when there is none. -EINVAL: not a key.
int secret_key_open(const char *path, struct secret_key *out, struct err *err);
// AES-256-GCM, a random nonce in front. `context` is authenticated, not kept: the same must be
// given to open it, so that a box cannot be moved to another row. In the arena.
int secret_seal(const struct secret_key *key, struct str context, struct str plain, struct arena *a,
                struct str *box, struct err *err);
// -EBADMSG: the key is another one, or the box was altered.
int secret_open(const struct secret_key *key, struct str context, struct str box, struct arena *a,
                struct str *plain, struct err *err);

#endif
