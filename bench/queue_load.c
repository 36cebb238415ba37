// queue_load.c - load on a queue, and the bare SQLite that it is compared with, for queues.py.
//
//   queue_load sqlite FILE GROUP BYTES SECONDS     rows a second, GROUP rows in each durable commit
//   queue_load sync FILE N                         microseconds of N writes with fdatasync
//   queue_load send PORT URL BATCH CONNS SECONDS   messages a second, BATCH in each request
//   queue_load cycle PORT URL CONNS SECONDS        messages a second sent, received and deleted
//   queue_load fill PORT URL CONNS MESSAGES        as fast as possible; messages a second
//   queue_load cost PORT URL N                     microseconds of N sends, then of N receives,
//                                                  one connection, batches of ten
//
// Requests are signed as an SDK signs them; those that are always the same are signed once.
#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "wire/sigv4.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define ANSWER_BYTES ((size_t)1 << 18)
#define MESSAGE_BYTES 512

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static long number(const char *s)
{
    return strtol(s, NULL, 10);
}

// --- SQLite ---

static void sql(sqlite3 *db, const char *text)
{
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", text, why);
        exit(1);
    }
}

static void run_sqlite(const char *path, long group, long bytes, long seconds)
{
    sqlite3 *db;
    sqlite3_stmt *insert;
    char *body = calloc(1, (size_t)bytes);
    long rows = 0;
    memset(body, 'x', (size_t)bytes);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die("sqlite3_open");
    sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, queue INTEGER,"
            " body TEXT)");
    if (sqlite3_prepare_v2(db, "INSERT INTO message (queue, body) VALUES (1, ?)", -1, &insert,
                           NULL) != SQLITE_OK)
        die("sqlite3_prepare");
    sqlite3_bind_text(insert, 1, body, (int)bytes, SQLITE_STATIC);
    double start = now_us(), end = start + (double)seconds * 1e6;
    while (now_us() < end) {
        sql(db, "BEGIN");
        for (long i = 0; i < group; i++) {
            sqlite3_step(insert);
            sqlite3_reset(insert);
        }
        sql(db, "COMMIT");
        rows += group;
    }
    printf("%.1f\n", (double)rows / ((now_us() - start) / 1e6));
    sqlite3_finalize(insert);
    sqlite3_close(db);
    free(body);
}

static void run_sync(const char *path, long n)
{
    char block[4096] = "x";
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path);
    for (long i = 0; i < n; i++) {
        double start = now_us();
        if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) < 0)
            die("fdatasync");
        printf("%.1f\n", now_us() - start);
    }
    close(fd);
}

// --- requests ---

static int port;
static struct str queue_url;
static struct buf send_request, receive_request; // always the same

static void sign(struct buf *out, const char *target, struct str body)
{
    struct arena a = {0};
    struct wire_header headers[3], added[4];
    struct timespec t;
    struct str host, full_target;
    clock_gettime(CLOCK_REALTIME, &t);
    arena_init(&a, (size_t)8 << 20);
    host = arena_printf(&a, "127.0.0.1:%d", port);
    full_target = arena_printf(&a, "AmazonSQS.%s", target);
    headers[0] = (struct wire_header){STR("host"), host};
    headers[1] = (struct wire_header){STR("content-type"), STR("application/x-amz-json-1.0")};
    headers[2] = (struct wire_header){STR("x-amz-target"), full_target};
    const struct wire_http_in in = {
        .method = STR("POST"), .path = STR("/"), .headers = headers, .n_headers = 3, .body = body};
    const struct sigv4_signer signer = {
        .access_key = STR("test"),
        .secret_key = STR("test"),
        .region = STR("us-east-1"),
        .service = STR("sqs"),
        .now_ms = (int64_t)t.tv_sec * 1000,
    };
    int n = sigv4_sign(&signer, &in, &a, added, NULL);
    if (n < 0)
        die("sign");
    buf_addf(out, "POST / HTTP/1.1\r\n");
    for (int i = 0; i < 3; i++)
        buf_addf(out, "%.*s: %.*s\r\n", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    for (int i = 0; i < n; i++)
        buf_addf(out, "%.*s: %.*s\r\n", STR_ARG(added[i].name), STR_ARG(added[i].value));
    buf_addf(out, "content-length: %zu\r\n\r\n", body.len);
    buf_add(out, body);
    arena_finish(&a);
}

static void make_requests(long batch)
{
    static char text[MESSAGE_BYTES];
    struct buf body;
    memset(text, 'x', sizeof(text));
    buf_init(&body, (size_t)1 << 20);
    buf_init(&send_request, (size_t)1 << 20);
    buf_init(&receive_request, (size_t)1 << 20);
    if (batch == 1) {
        buf_addf(&body, "{\"QueueUrl\":\"%.*s\",\"MessageBody\":\"%.*s\"}", STR_ARG(queue_url),
                 (int)sizeof(text), text);
    } else {
        buf_addf(&body, "{\"QueueUrl\":\"%.*s\",\"Entries\":[", STR_ARG(queue_url));
        for (long i = 0; i < batch; i++)
            buf_addf(&body, "%s{\"Id\":\"%ld\",\"MessageBody\":\"%.*s\"}", i ? "," : "", i,
                     (int)sizeof(text), text);
        buf_addf(&body, "]}");
    }
    sign(&send_request, batch == 1 ? "SendMessage" : "SendMessageBatch", buf_str(&body));
    buf_reset(&body);
    buf_addf(&body, "{\"QueueUrl\":\"%.*s\",\"MaxNumberOfMessages\":10}", STR_ARG(queue_url));
    sign(&receive_request, "ReceiveMessage", buf_str(&body));
    buf_finish(&body);
}

// --- connections ---

struct connection {
    int fd;
    char *answer;
    size_t len;
    struct str body; // of a complete answer
    int step;        // of a cycle
    struct buf own;  // a request of its own
};

static void connect_to(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->answer = malloc(ANSWER_BYTES);
    buf_init(&c->own, (size_t)1 << 20);
    if (!c->answer)
        die("malloc");
}

static void write_request(struct connection *c, const struct buf *b)
{
    size_t at = 0;
    c->len = 0;
    while (at < b->len) {
        ssize_t n = write(c->fd, b->ptr + at, b->len - at);
        if (n < 0)
            die("write");
        at += (size_t)n;
    }
}

// Reads what is there; true when an answer is complete.
static bool read_answer(struct connection *c)
{
    ssize_t n = read(c->fd, c->answer + c->len, ANSWER_BYTES - c->len);
    struct str all;
    ptrdiff_t head, length;
    int64_t body;
    if (n <= 0)
        die("read");
    c->len += (size_t)n;
    all = (struct str){c->answer, c->len};
    head = str_find(all, STR("\r\n\r\n"));
    if (head < 0)
        return false;
    length = str_find(all, STR("ontent-length: "));
    if (length < 0)
        length = str_find(all, STR("ontent-Length: "));
    struct str digits = str_slice(all, (size_t)length + 15, (size_t)head), line;
    if (length < 0 || !str_next(&digits, '\r', &line) || str_to_i64(line, &body) < 0) {
        fprintf(stderr, "an answer without a length: %.*s\n", (int)head, c->answer);
        exit(1);
    }
    if (c->len < (size_t)head + 4 + (size_t)body)
        return false;
    c->body = str_slice(all, (size_t)head + 4, c->len);
    if (!str_starts(all, STR("HTTP/1.1 200"))) {
        fprintf(stderr, "%.*s\n", (int)c->len, c->answer);
        exit(1);
    }
    return true;
}

// --- loads ---

// Builds the DeleteMessageBatch for what was received; how many messages it deletes.
static int make_delete(struct connection *c)
{
    struct arena a = {0};
    const struct json_value *answer;
    struct buf body;
    int n = 0;
    arena_init(&a, (size_t)8 << 20);
    buf_init(&body, (size_t)1 << 20);
    if (json_parse(&a, c->body, &answer, NULL) < 0)
        die("answer");
    buf_addf(&body, "{\"QueueUrl\":\"%.*s\",\"Entries\":[", STR_ARG(queue_url));
    json_each(m, json_get(answer, "Messages"))
    {
        struct str handle = json_get_or(m, "ReceiptHandle", STR(""));
        buf_addf(&body, "%s{\"Id\":\"%d\",\"ReceiptHandle\":\"%.*s\"}", n ? "," : "", n,
                 STR_ARG(handle));
        n++;
    }
    buf_addf(&body, "]}");
    buf_reset(&c->own);
    if (n > 0)
        sign(&c->own, "DeleteMessageBatch", buf_str(&body));
    buf_finish(&body);
    arena_finish(&a);
    return n;
}

static long deleting[MAX_CONNECTIONS];

// What an answer leads to; how many messages are done with it.
static long next_step(struct connection *c, long i, long batch, bool cycle)
{
    if (!cycle) {
        write_request(c, &send_request);
        return batch;
    }
    if (c->step == 0) { // sent
        c->step = 1;
        write_request(c, &receive_request);
        return 0;
    }
    if (c->step == 1) { // received
        deleting[i] = make_delete(c);
        c->step = deleting[i] > 0 ? 2 : 0;
        write_request(c, deleting[i] > 0 ? &c->own : &send_request);
        return 0;
    }
    c->step = 0;
    write_request(c, &send_request);
    return deleting[i];
}

static void run_load(long batch, long n, double seconds, long messages, bool cycle)
{
    struct connection c[MAX_CONNECTIONS] = {0};
    struct pollfd p[MAX_CONNECTIONS];
    long done = 0;
    if (n < 1 || n > MAX_CONNECTIONS)
        die("connections");
    for (long i = 0; i < n; i++) {
        connect_to(&c[i]);
        p[i] = (struct pollfd){c[i].fd, POLLIN, 0};
        write_request(&c[i], &send_request);
    }
    double start = now_us(), end = start + seconds * 1e6;
    while (now_us() < end && (messages == 0 || done < messages)) {
        if (poll(p, (nfds_t)n, 1000) < 0)
            die("poll");
        for (long i = 0; i < n; i++) {
            if (p[i].revents && read_answer(&c[i]))
                done += next_step(&c[i], i, batch, cycle);
        }
    }
    printf("%.1f\n", (double)done / ((now_us() - start) / 1e6));
    for (long i = 0; i < n; i++) {
        close(c[i].fd);
        free(c[i].answer);
        buf_finish(&c[i].own);
    }
}

static void run_cost(long n)
{
    struct connection c = {0};
    const struct buf *requests[] = {&send_request, &receive_request};
    connect_to(&c);
    for (int kind = 0; kind < 2; kind++) {
        for (long i = 0; i < n; i++) {
            double start = now_us();
            write_request(&c, requests[kind]);
            while (!read_answer(&c))
                ;
            printf("%.1f\n", now_us() - start);
        }
    }
    close(c.fd);
    free(c.answer);
    buf_finish(&c.own);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sqlite") == 0 && argc == 6) {
        run_sqlite(argv[2], number(argv[3]), number(argv[4]), number(argv[5]));
    } else if (strcmp(what, "sync") == 0 && argc == 4) {
        run_sync(argv[2], number(argv[3]));
    } else if (argc >= 5) {
        port = (int)number(argv[2]);
        queue_url = str_from(argv[3]);
        make_requests(strcmp(what, "send") == 0 ? number(argv[4]) : 10);
        if (strcmp(what, "send") == 0 && argc == 7)
            run_load(number(argv[4]), number(argv[5]), (double)number(argv[6]), 0, false);
        else if (strcmp(what, "cycle") == 0 && argc == 6)
            run_load(10, number(argv[4]), (double)number(argv[5]), 0, true);
        else if (strcmp(what, "fill") == 0 && argc == 6)
            run_load(10, number(argv[4]), 3600, number(argv[5]), false);
        else if (strcmp(what, "cost") == 0 && argc == 5)
            run_cost(number(argv[4]));
        else
            return 2;
        buf_finish(&send_request);
        buf_finish(&receive_request);
    } else {
        return 2;
    }
    return 0;
}
