// http2_client.c - see http2_client.h.
#include "http2_client.h"

#include "os/fd.h"
#include "os/file.h"

#include <signal.h>
#include <unistd.h>

static struct http_tls *tls;
static struct str tls_dir;
static struct arena tls_arena;
static SSL_CTX *client_ctx;
static void (*further)(struct http_listener_config *config);

static void with_tls(struct http_listener_config *config)
{
    config->tls = tls;
    config->limits.body_bytes = 16 << 20;
    if (further)
        further(config);
}

int http2_setup_with(void (*change)(struct http_listener_config *config))
{
    struct err err = ERR_INIT;

    signal(SIGPIPE, SIG_IGN); // the client's SSL_write
    arena_init(&tls_arena, 1 << 20);
    if (make_temp_dir(&tls_arena, "lambkin-tls-", &tls_dir, &err) < 0 ||
        http_tls_self_made(tls_dir.ptr, &tls, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    further = change;
    return fixture_start(2, with_tls);
}

int http2_setup(void **state)
{
    (void)state;
    return http2_setup_with(NULL);
}

int http2_teardown(void **state)
{
    struct err err = ERR_INIT;
    (void)state;

    int r = fixture_stop();
    SSL_CTX_free(client_ctx);
    client_ctx = NULL;
    http_tls_destroy(tls);
    rm_rf(tls_dir.ptr, &err);
    arena_finish(&tls_arena);
    return r;
}

const char *http2_ca_file(void)
{
    return arena_printf(&fx.arena, "%s/tls-cert.pem", tls_dir.ptr).ptr;
}

SSL *http2_open(int *fd)
{
    if (!client_ctx)
        client_ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(client_ctx);
    *fd = client_open();
    SSL_set_fd(ssl, *fd);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 24);
    return ssl;
}

void http2_close(SSL *ssl, int fd)
{
    SSL_free(ssl);
    close(fd);
}

void http2_put(struct buf *b, unsigned type, unsigned flags, unsigned id, struct str data)
{
    const char head[9] = {
        (char)(data.len >> 16), (char)(data.len >> 8), (char)data.len,  (char)type, (char)flags,
        (char)(id >> 24),       (char)(id >> 16),      (char)(id >> 8), (char)id};

    buf_add(b, (struct str){head, 9});
    buf_add(b, data);
}

static bool read_all(SSL *ssl, void *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        int got = SSL_read(ssl, (char *)to + at, (int)(n - at));
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

int http2_read(SSL *ssl, unsigned *id, struct str *data)
{
    unsigned char head[9];

    if (!read_all(ssl, head, sizeof head))
        return -1;
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    char *p = arena_zalloc(&fx.arena, len + 1);
    if (!read_all(ssl, p, len))
        return -1;
    *id = (unsigned)(head[5] & 0x7f) << 24 | (unsigned)head[6] << 16 | (unsigned)head[7] << 8 |
          head[8];
    *data = (struct str){p, len};
    return head[3];
}

bool http2_next(SSL *ssl, unsigned type, struct str *data)
{
    unsigned id;

    for (;;) {
        int got = http2_read(ssl, &id, data);
        if (got < 0 || (unsigned)got == type)
            return got >= 0;
    }
}
