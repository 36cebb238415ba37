// http2_client.h - the fixture's server with TLS, and a client that frames HTTP/2 as it likes.
#ifndef LAMBKIN_TEST_HTTP_HTTP2_CLIENT_H
#define LAMBKIN_TEST_HTTP_HTTP2_CLIENT_H

#include "fixture.h"

#include <openssl/ssl.h>

enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST = 3,
    SETTINGS = 4,
    PUSH = 5,
    PING = 6,
    GOAWAY = 7,
    WINDOW = 8,
    CONT = 9
};

// Of cmocka: the server with its usual limits. http2_setup_with takes others.
int http2_setup(void **state);
int http2_setup_with(void (*change)(struct http_listener_config *config));
int http2_teardown(void **state);
const char *http2_ca_file(void);

// A connection that has said the client's preface (its magic, no frame yet).
SSL *http2_open(int *fd);
void http2_put(struct buf *b, unsigned type, unsigned flags, unsigned id, struct str data);
// What comes next, whatever it is; its payload is in the fixture's arena. Its type, or -1 at the
// end.
int http2_read(SSL *ssl, unsigned *id, struct str *data);
// What comes next that is of this type. False at the end.
bool http2_next(SSL *ssl, unsigned type, struct str *data);
void http2_close(SSL *ssl, int fd);

#endif
