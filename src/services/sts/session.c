// session.c - temporary credentials as sealed boxes.
//
// A token is base64 of: version 1, 12 random bytes, AES-256-GCM ciphertext, 16 bytes of tag. The
// plain text is the expiry (8 bytes) and five strings, each ended by NUL. A token that was altered
// by a bit does not open; one that opens was made here.
#include "services/sts/sts.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "os/file.h"
#include "os/random.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_BYTES 32
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define PLAIN_MAX 1100
#define N_STRINGS 5

static uint8_t box_key[KEY_BYTES]; // written once at start

int sts_keys_open(const char *data_dir, struct err *err)
{
    char dir[4096], path[4096 + 32];
    struct arena a = {0};
    struct str have;
    snprintf(dir, sizeof(dir), "%s/keys", data_dir);
    snprintf(path, sizeof(path), "%s/session.key", dir);
    int r = mkdir_p(dir, 0700, err);
    if (r < 0)
        return r;
    arena_init(&a, 65536);
    if (access(path, F_OK) == 0) {
        r = read_file(&a, path, KEY_BYTES, &have, err);
        if (r == 0 && have.len != KEY_BYTES)
            r = err_set(err, -EUCLEAN, "%s is not a key of %d bytes", path, KEY_BYTES);
        if (r == 0)
            memcpy(box_key, have.ptr, KEY_BYTES);
    } else {
        os_random(box_key, sizeof(box_key));
        r = write_file_atomic(path, (struct str){(char *)box_key, sizeof(box_key)}, 0600, err);
    }
    arena_finish(&a);
    return r;
}

static struct str random_text(struct arena *a, const char *prefix, const char *letters,
                              unsigned n_letters, unsigned n)
{
    char text[64];
    for (unsigned i = 0; i < n; i++)
        text[i] = letters[os_random_below(n_letters)];
    return arena_printf(a, "%s%.*s", prefix, (int)n, text);
}

// --- the box ---

static bool seal(const uint8_t *plain, int n, uint8_t *out, int *out_n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, rest = 0;
    out[0] = 1;
    os_random(out + 1, NONCE_BYTES);
    bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, box_key, out + 1) == 1 &&
              EVP_EncryptUpdate(ctx, out + 1 + NONCE_BYTES, &len, plain, n) == 1 &&
              EVP_EncryptFinal_ex(ctx, out + 1 + NONCE_BYTES + len, &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES,
                                  out + 1 + NONCE_BYTES + len + rest) == 1;
    EVP_CIPHER_CTX_free(ctx);
    *out_n = 1 + NONCE_BYTES + len + rest + TAG_BYTES;
    return ok;
}

static bool unseal(const uint8_t *box, int n, uint8_t *plain, int *plain_n)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int body = n - 1 - NONCE_BYTES - TAG_BYTES, len = 0, rest = 0;
    uint8_t tag[TAG_BYTES];
    if (body > 0)
        memcpy(tag, box + n - TAG_BYTES, TAG_BYTES);
    bool ok = ctx && body > 0 && body <= PLAIN_MAX && box[0] == 1 &&
              EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, box_key, box + 1) == 1 &&
              EVP_DecryptUpdate(ctx, plain, &len, box + 1 + NONCE_BYTES, body) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
              EVP_DecryptFinal_ex(ctx, plain + len, &rest) == 1;
    EVP_CIPHER_CTX_free(ctx);
    *plain_n = len + rest;
    return ok;
}

int sts_session_make(struct arena *arena, struct str account, struct str principal_arn,
                     struct str user_id, int64_t expires_ms, struct sts_session *out,
                     struct err *err)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t plain[PLAIN_MAX], box[PLAIN_MAX + 64];
    int n = 8, box_n;
    struct sts_session s = {
        .access_key_id = random_text(arena, "ASIA", base32, 32, 16),
        .secret_key = random_text(arena, "", base64, 64, 40),
        .expires_ms = expires_ms,
        .account = arena_str(arena, account),
        .principal_arn = arena_str(arena, principal_arn),
        .user_id = arena_str(arena, user_id),
    };
    const struct str strings[N_STRINGS] = {s.access_key_id, s.secret_key, s.account,
                                           s.principal_arn, s.user_id};
    memcpy(plain, &expires_ms, 8);
    for (int i = 0; i < N_STRINGS; i++) {
        if (str_is_null(strings[i]))
            return err_set(err, -ENOMEM, "session: out of memory");
        if (strings[i].len + 1 > sizeof(plain) - (size_t)n)
            return err_set(err, -EINVAL, "session: the names are too long");
        memcpy(plain + n, strings[i].ptr, strings[i].len);
        n += (int)strings[i].len;
        plain[n++] = '\0';
    }
    if (!seal(plain, n, box, &box_n))
        return err_set(err, -ENOMEM, "session: cannot seal the token");
    s.token = base64_arena(arena, (struct str){(char *)box, (size_t)box_n});
    if (str_is_null(s.token))
        return err_set(err, -ENOMEM, "session: out of memory");
    *out = s;
    return 0;
}

int sts_session_open(struct arena *arena, struct str token, struct sts_session *out,
                     struct err *err)
{
    uint8_t plain[PLAIN_MAX + 64];
    struct str box, rest;
    struct str strings[N_STRINGS];
    int n;
    if (token.len > BASE64_ENCODED_LEN(PLAIN_MAX + 64) || base64_decode(arena, token, &box) < 0 ||
        box.len > PLAIN_MAX + 1 + NONCE_BYTES + TAG_BYTES ||
        !unseal((const uint8_t *)box.ptr, (int)box.len, plain, &n) || n < 8)
        return err_set(err, -EBADMSG, "the session token is not valid");
    rest = arena_str(arena, (struct str){(char *)plain + 8, (size_t)n - 8});
    for (int i = 0; i < N_STRINGS; i++) {
        if (!str_next(&rest, '\0', &strings[i]))
            return err_set(err, -EBADMSG, "the session token is not valid");
    }
    *out = (struct sts_session){
        .access_key_id = strings[0],
        .secret_key = strings[1],
        .token = token,
        .account = strings[2],
        .principal_arn = strings[3],
        .user_id = strings[4],
    };
    memcpy(&out->expires_ms, plain, 8);
    return 0;
}
