// auth.h - who signed a request: credentials and where they come from.
//
// Signatures are always verified (unless the daemon runs with --no-auth). An access key is looked
// up with each provider in the order they were added: first the root credentials of the
// configuration, then what services register (IAM's access keys, STS's sessions, the credentials
// of execution environments).
#ifndef LAMBKIN_ENGINE_AUTH_H
#define LAMBKIN_ENGINE_AUTH_H

#include "engine/call.h"

struct credential {
    struct str secret;
    struct str session_token; // absent for long-term keys; must then be absent in the request too
    int64_t expires_ms;       // 0: never
    struct str environment;   // issued to this one: no other may use it. Absent: anybody's
    bool inactive;            // known but switched off: AWS's InvalidClientTokenId
    struct principal principal;
};

struct auth_provider {
    // Called on a loop thread with every request: must not block (an in-memory table behind a
    // mutex is right). `session_token` is what the request carried (absent without one), for tokens
    // that hold the credentials themselves. Fills *out with copies in the arena and answers true,
    // or answers false when the key is not its own.
    bool (*find)(void *ctx, struct arena *arena, struct str access_key, struct str session_token,
                 struct credential *out);
    void *ctx;
};

// At most ENGINE_MAX_PROVIDERS; only while services start (not locked afterwards).
#define ENGINE_MAX_PROVIDERS 8
int engine_add_auth_provider(struct engine *e, struct auth_provider provider, struct err *err);

// Verifies the request's signature (header or query) for sites that ask for it themselves, such
// as function URLs of AuthType AWS_IAM, and fills c->principal, c->account and c->region.
// `service` is the scope's service name that is accepted; NULL accepts any. Errors are AWS's own:
// err->aws says which. -ENOENT with err->aws MissingAuthenticationToken: there is no signature.
int engine_authenticate(struct call *c, const char *service, struct err *err);

#endif
