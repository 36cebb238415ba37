// secrets.c - authenticated encryption of what the database keeps for others.
//
// A box: one byte that says the form (1), 12 bytes of nonce, the ciphertext, 16 bytes of tag.
#include "services/lambda/secrets.h"

#include "base/cleanup.h"
#include "os/file.h"
#include "os/random.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { FORM = 1, NONCE_BYTES = 12, TAG_BYTES = 16, HEAD_BYTES = 1 + NONCE_BYTES };

static void cipher_freep(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}

int secret_key_open(const char *path, struct secret_key *out, struct err *err)
{
    _cleanup_(arena_finish) struct arena a = {0};
    struct str content;
    int r;

    arena_init(&a, 64 * 1024);
    r = read_file(&a, path, 4096, &content, err);
    if (r == -ENOENT) {
        struct secret_key key;
        os_random(key.bytes, sizeof(key.bytes));
        r = write_file_atomic(path, (struct str){(const char *)key.bytes, sizeof(key.bytes)}, 0600,
                              err);
        if (r < 0)
            return err_wrap(err, "make the key of environment variables");
        *out = key;
        OPENSSL_cleanse(&key, sizeof(key));
        if (err)
            *err = (struct err)ERR_INIT;
        return 0;
    }
    if (r < 0)
        return err_wrap(err, "read the key of environment variables");
    if (content.len != SECRET_KEY_BYTES)
        return err_set(err, -EINVAL, "%s is not a key of %d bytes", path, SECRET_KEY_BYTES);
    memcpy(out->bytes, content.ptr, SECRET_KEY_BYTES);
    OPENSSL_cleanse((char *)content.ptr, content.len);
    return 0;
}

int secret_seal(const struct secret_key *key, struct str context, struct str plain, struct arena *a,
                struct str *box, struct err *err)
{
    _cleanup_(cipher_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t *out = arena_alloc(a, HEAD_BYTES + plain.len + TAG_BYTES);
    int n = 0;

    if (!c || !out || plain.len > INT32_MAX / 2 || context.len > INT32_MAX / 2)
        return err_set(err, -ENOMEM, "out of memory");
    out[0] = FORM;
    os_random(out + 1, NONCE_BYTES);
    if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->bytes, out + 1) != 1 ||
        EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)context.ptr, (int)context.len) != 1 ||
        EVP_EncryptUpdate(c, out + HEAD_BYTES, &n, (const uint8_t *)plain.ptr, (int)plain.len) !=
            1 ||
        EVP_EncryptFinal_ex(c, out + HEAD_BYTES + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + HEAD_BYTES + plain.len) != 1)
        return err_set(err, -EIO, "encrypting environment variables failed");
    *box = (struct str){(const char *)out, HEAD_BYTES + plain.len + TAG_BYTES};
    return 0;
}

int secret_open(const struct secret_key *key, struct str context, struct str box, struct arena *a,
                struct str *plain, struct err *err)
{
    _cleanup_(cipher_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    const uint8_t *in = (const uint8_t *)box.ptr;
    uint8_t tag[TAG_BYTES];
    int n = 0, last = 0;

    if (box.len < HEAD_BYTES + TAG_BYTES || in[0] != FORM || box.len > INT32_MAX / 2)
        return err_set(err, -EBADMSG, "not an encrypted value");
    size_t len = box.len - HEAD_BYTES - TAG_BYTES;
    uint8_t *out = arena_alloc(a, len + 1);
    if (!c || !out)
        return err_set(err, -ENOMEM, "out of memory");
    memcpy(tag, in + HEAD_BYTES + len, TAG_BYTES);
    if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key->bytes, in + 1) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)context.ptr, (int)context.len) != 1 ||
        EVP_DecryptUpdate(c, out, &n, in + HEAD_BYTES, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1 ||
        EVP_DecryptFinal_ex(c, out + n, &last) != 1)
        return err_set(err, -EBADMSG, "the key of environment variables does not fit");
    out[len] = 0;
    *plain = (struct str){(const char *)out, len};
    return 0;
}
