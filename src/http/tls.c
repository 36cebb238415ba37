// tls.c - TLS on the server's side: contexts, and the certificate we make for ourselves.
//
// Invariants: TLS 1.2 at least; the key file is never readable for others, not even while it is
// written.
#include "http/server_impl.h"

#include "os/fd.h"
#include "os/file.h"
#include "os/random.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SELF_MADE_DAYS 3650

struct http_tls {
    SSL_CTX *ctx;
};

static int ssl_error(struct err *err, const char *what)
{
    char text[256] = "unknown";
    unsigned long e = ERR_get_error();

    if (e)
        ERR_error_string_n(e, text, sizeof text);
    ERR_clear_error();
    return err_set(err, -EPROTO, "%s: %s", what, text);
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *unused)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)unused;

    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int http_tls_load(const char *cert_path, const char *key_path, struct http_tls **out,
                  struct err *err)
{
    struct http_tls *t = calloc(1, sizeof *t);

    if (!t)
        return err_set(err, -ENOMEM, "out of memory");
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (!t->ctx) {
        free(t);
        return ssl_error(err, "TLS");
    }
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_id_context(t->ctx, (const unsigned char *)"lambkin", 7);
    SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, NULL);
    const char *failed = NULL;
    if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_path) != 1)
        failed = cert_path;
    else if (SSL_CTX_use_PrivateKey_file(t->ctx, key_path, SSL_FILETYPE_PEM) != 1)
        failed = key_path;
    else if (SSL_CTX_check_private_key(t->ctx) != 1)
        failed = "the key does not belong to the certificate";
    if (failed) {
        http_tls_destroy(t);
        return ssl_error(err, failed);
    }
    *out = t;
    return 0;
}

void http_tls_destroy(struct http_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

SSL *http_tls_accept(struct http_tls *t, int fd)
{
    SSL *ssl = SSL_new(t->ctx);

    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

// ---- our own certificate ----

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;

    X509_EXTENSION_free(e);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    unsigned char serial[16];
    X509_NAME *name;
    BIGNUM *number;

    if (!cert)
        return NULL;
    os_random(serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); // positive, not short
    number = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    name = X509_get_subject_name(cert);
    ok = ok && X509_set_version(cert, 2) && X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
         X509_time_adj_ex(X509_getm_notAfter(cert), SELF_MADE_DAYS, 0, NULL) &&
         X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Lambkin", -1,
                                    -1, 0) &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                    -1, -1, 0) &&
         X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
         add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
         add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
         add_extension(cert, NID_ext_key_usage, "serverAuth") &&
         add_extension(cert, NID_subject_key_identifier, "hash") &&
         add_extension(cert, NID_subject_alt_name,
                       "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1") &&
         X509_sign(cert, key, EVP_sha256()) > 0;
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

static int write_pem(BIO *bio, const char *path, mode_t mode, struct err *err)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);

    return write_file_atomic(path, (struct str){p, (size_t)n}, mode, err);
}

static int make_pair(const char *cert_path, const char *key_path, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    BIO *key_pem = BIO_new(BIO_s_mem()), *cert_pem = BIO_new(BIO_s_mem());
    int r;

    if (!cert || !key_pem || !cert_pem ||
        PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_pem, cert) != 1)
        r = ssl_error(err, "make a certificate");
    else
        r = write_pem(key_pem, key_path, 0600, err);
    if (r == 0)
        r = write_pem(cert_pem, cert_path, 0644, err);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return r;
}

int http_tls_self_made(const char *dir, struct http_tls **out, struct err *err)
{
    char cert_path[PATH_MAX], key_path[PATH_MAX];
    int r;

    if (snprintf(cert_path, sizeof cert_path, "%s/tls-cert.pem", dir) >= (int)sizeof cert_path ||
        snprintf(key_path, sizeof key_path, "%s/tls-key.pem", dir) >= (int)sizeof key_path)
        return err_errno(err, ENAMETOOLONG, "%s", dir);
    if (access(cert_path, F_OK) < 0 || access(key_path, F_OK) < 0) {
        r = make_pair(cert_path, key_path, err);
        if (r < 0)
            return r;
    }
    return http_tls_load(cert_path, key_path, out, err);
}
