// test_sqs_model.c - the queue service against a simple model: random sends, receives, deletes and
// releases on a FIFO and on a standard queue, every answer checked; MD5 and receipt vectors.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "os/file.h"
#include "services/sqs/sqs_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUPS 5
#define MAX_MESSAGES 4000

static char dir[64];
static struct engine *engine;

static int begin(void **state)
{
    static const struct engine_service *const services[] = {&sqs_service};
    struct err err = ERR_INIT;
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/lambkin-sqs-XXXXXX");
    assert_non_null(mkdtemp(dir));
    const struct engine_config config = {
        .data_dir = dir,
        .region = "us-east-1",
        .account = "000000000000",
        .root_access_key = "test",
        .root_secret = "test",
        .version = "test",
        .time_scale = 1.0,
        .services = services,
        .n_services = 1,
    };
    if (engine_create(&config, &engine, &err) < 0 || sqs_service.start(engine, &err) < 0)
        fail_msg("%s", err.message);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sqs_service.stop(engine);
    engine_destroy(engine);
    return rm_rf(dir, NULL);
}

static void make_queue(const char *name, struct str dead_letter, int64_t max_receives)
{
    struct store_tx *tx;
    struct sqs_queue q = {
        .account = STR("000000000000"),
        .region = STR("us-east-1"),
        .name = str_from(name),
        .fifo = str_ends(str_from(name), STR(".fifo")),
        .visibility_s = 600,
        .retention_s = 345600,
        .max_bytes = SQS_MAX_MESSAGE_BYTES,
        .deduplication_scope = STR("queue"),
        .dead_letter = dead_letter,
        .max_receives = max_receives,
    };
    assert_int_equal(store_begin(sqs.store, STORE_WRITE, &tx, NULL), 0);
    assert_int_equal(sqs_queue_insert(tx, &q, NULL), 0);
    assert_int_equal(store_commit(&tx, NULL), 0);
}

struct message {
    int group;
    bool in_flight, gone;
    char receipt[64], id[64];
};

struct model {
    struct message messages[MAX_MESSAGES];
    int n;
};

static struct str text(char *to, size_t bytes, const char *format, int n)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = snprintf(to, bytes, format, n);
#pragma GCC diagnostic pop
    return (struct str){to, (size_t)len};
}

static void send_one(struct model *m, struct str arn, bool fifo, struct arena *a)
{
    char body[32], group[32], deduplication[32];
    struct str id;
    bool again = fifo && m->n > 0 && rand() % 8 == 0;
    int which = again ? rand() % m->n : m->n;
    struct message *x = &m->messages[which];
    if (!again) {
        if (m->n == MAX_MESSAGES)
            return;
        *x = (struct message){.group = rand() % GROUPS};
        m->n++;
    }
    const struct sqs_internal_message message = {
        .body = text(body, sizeof(body), "%d", which),
        .group_id = fifo ? text(group, sizeof(group), "g%d", x->group) : STR_NULL,
        .deduplication_id =
            fifo ? text(deduplication, sizeof(deduplication), "d%d", which) : STR_NULL,
    };
    assert_int_equal(sqs_internal_send(arn, &message, a, &id, NULL), 0);
    if (again)
        assert_true(str_eq(id, str_from(x->id))); // answered as the first time, and not sent
    else
        snprintf(x->id, sizeof(x->id), "%.*s", STR_ARG(id));
}

static bool group_busy(const struct model *m, int group)
{
    for (int i = 0; i < m->n; i++) {
        if (m->messages[i].group == group && m->messages[i].in_flight)
            return true;
    }
    return false;
}

static int first_of(const struct model *m, int group)
{
    for (int i = 0; i < m->n; i++) {
        if (m->messages[i].group == group && !m->messages[i].gone && !m->messages[i].in_flight)
            return i;
    }
    return -1;
}

static void receive_some(struct model *m, struct str arn, bool fifo, struct arena *a)
{
    struct sqs_message_view views[SQS_MAX_BATCH];
    bool busy[GROUPS];
    int64_t next_ms;
    unsigned n, max = 1 + (unsigned)rand() % SQS_MAX_BATCH;
    int available = 0;
    for (int g = 0; g < GROUPS; g++)
        busy[g] = fifo && group_busy(m, g);
    for (int i = 0; i < m->n; i++)
        available +=
            !m->messages[i].gone && !m->messages[i].in_flight && !busy[m->messages[i].group];
    assert_int_equal(sqs_internal_receive(arn, max, -1, a, views, &n, &next_ms, NULL), 0);
    assert_int_equal(n, available < (int)max ? available : (int)max);
    for (unsigned i = 0; i < n; i++) {
        int64_t which;
        assert_int_equal(str_to_i64(views[i].body, &which), 0);
        struct message *x = &m->messages[which];
        assert_false(x->gone);
        assert_false(x->in_flight);
        if (fifo) {
            assert_false(busy[x->group]);
            assert_int_equal(which, first_of(m, x->group));
        }
        x->in_flight = true;
        snprintf(x->receipt, sizeof(x->receipt), "%.*s", STR_ARG(views[i].receipt_handle));
    }
}

// Deletes one in flight, or makes it visible again.
static void let_go(struct model *m, struct str arn)
{
    for (int tries = 0; tries < 20 && m->n > 0; tries++) {
        struct message *x = &m->messages[rand() % m->n];
        struct str receipt = str_from(x->receipt);
        if (!x->in_flight)
            continue;
        x->in_flight = false;
        if (rand() % 3 == 0) {
            assert_int_equal(sqs_internal_change_visibility(arn, &receipt, 1, 0, NULL), 0);
        } else {
            x->gone = true;
            assert_int_equal(sqs_internal_delete(arn, &receipt, 1, NULL), 0);
        }
        return;
    }
}

static void check_counts(const struct model *m, struct str arn, struct arena *a)
{
    struct sqs_queue_info info;
    int64_t visible = 0, in_flight = 0;
    for (int i = 0; i < m->n; i++) {
        in_flight += m->messages[i].in_flight;
        visible += !m->messages[i].in_flight && !m->messages[i].gone;
    }
    assert_int_equal(sqs_internal_info(arn, a, &info, NULL), 0);
    assert_int_equal(info.visible, visible);
    assert_int_equal(info.in_flight, in_flight);
    assert_int_equal(info.delayed, 0);
}

static void run_model(const char *name, unsigned seed, int steps)
{
    bool fifo = str_ends(str_from(name), STR(".fifo"));
    struct model *m = calloc(1, sizeof(*m));
    struct arena a = {0};
    char arn_text[128];
    snprintf(arn_text, sizeof(arn_text), "arn:aws:sqs:us-east-1:000000000000:%s", name);
    struct str arn = str_from(arn_text);
    assert_non_null(m);
    arena_init(&a, (size_t)64 << 20);
    make_queue(name, STR_NULL, 0);
    srand(seed);
    for (int i = 0; i < steps; i++) {
        int what = rand() % 10;
        if (what < 4)
            send_one(m, arn, fifo, &a);
        else if (what < 6)
            receive_some(m, arn, fifo, &a);
        else
            let_go(m, arn);
        if (i % 50 == 0)
            check_counts(m, arn, &a);
        arena_reset(&a);
    }
    check_counts(m, arn, &a);
    arena_finish(&a);
    free(m);
}

static void test_fifo_model(void **state)
{
    (void)state;
    run_model("a.fifo", 1, 700);
    run_model("b.fifo", 2, 700);
}

static void test_standard_model(void **state)
{
    (void)state;
    run_model("standard", 3, 700);
}

static void test_dead_letters(void **state)
{
    (void)state;
    const struct str dead = STR("arn:aws:sqs:us-east-1:000000000000:dead.fifo");
    const struct str source = STR("arn:aws:sqs:us-east-1:000000000000:source.fifo");
    struct sqs_message_view views[SQS_MAX_BATCH];
    struct arena a = {0};
    unsigned n;
    int64_t next_ms;
    arena_init(&a, 1 << 20);
    make_queue("dead.fifo", STR_NULL, 0);
    make_queue("source.fifo", dead, 2);
    for (int i = 0; i < 3; i++) {
        char body[16], id[16];
        const struct sqs_internal_message m = {.body = text(body, sizeof(body), "%d", i),
                                               .deduplication_id = text(id, sizeof(id), "%d", i),
                                               .group_id = STR("g")};
        assert_int_equal(sqs_internal_send(source, &m, &a, NULL, NULL), 0);
    }
    for (int round = 0; round < 2; round++) { // the first one is received twice
        assert_int_equal(sqs_internal_receive(source, 1, 0, &a, views, &n, &next_ms, NULL), 0);
        assert_int_equal(n, 1);
        assert_true(str_eq(views[0].body, STR("0")));
    }
    assert_int_equal(sqs_internal_receive(source, 1, -1, &a, views, &n, &next_ms, NULL), 0);
    assert_int_equal(n, 1);
    assert_true(str_eq(views[0].body, STR("1"))); // and gave way to the next
    assert_int_equal(sqs_internal_receive(dead, 10, -1, &a, views, &n, &next_ms, NULL), 0);
    assert_int_equal(n, 1);
    assert_true(str_eq(views[0].body, STR("0")));
    assert_true(str_eq(views[0].dead_letter_source_arn, source));
    arena_finish(&a);
}

// Worked out with another implementation of what AWS documents.
static void test_md5_vectors(void **state)
{
    (void)state;
    struct arena a = {0};
    struct str encoded;
    struct sqs_attribute *back;
    size_t n;
    const struct sqs_attribute attributes[] = {
        {STR_INIT("zeta"), STR_INIT("String"), STR_INIT("last")},
        {STR_INIT("alpha"), STR_INIT("Number"), STR_INIT("42")},
        {STR_INIT("bin"), STR_INIT("Binary"), {"\0\1\xff", 3}},
    };
    arena_init(&a, 1 << 20);
    assert_true(str_eq(sqs_md5(&a, STR("This is a test message")),
                       STR("fafb00f5732ab283681e124bf8747ed1")));
    assert_int_equal(sqs_attributes_encode(&a, attributes, 3, &encoded), 0);
    assert_true(str_eq(sqs_md5(&a, encoded), STR("11e98646d89f3cb48c389761a3fa28d4")));
    assert_int_equal(sqs_attributes_decode(&a, encoded, &back, &n), 0);
    assert_int_equal(n, 3);
    assert_true(str_eq(back[0].name, STR("alpha")));
    assert_true(str_eq(back[1].value, attributes[2].value));
    // Cut anywhere: refused, never read beyond.
    for (size_t cut = 1; cut < encoded.len; cut++)
        sqs_attributes_decode(&a, str_slice(encoded, 0, cut), &back, &n);
    arena_finish(&a);
}

static void test_receipts(void **state)
{
    (void)state;
    struct arena a = {0};
    const struct sqs_receipt r = {7, INT64_C(1) << 60, 3};
    struct sqs_receipt back;
    arena_init(&a, 1 << 20);
    struct str handle = sqs_receipt_make(&a, &r);
    assert_true(sqs_receipt_parse(&a, handle, &back));
    assert_int_equal(back.queue, 7);
    assert_int_equal(back.seq, r.seq);
    assert_int_equal(back.received, 3);
    for (size_t i = 0; i < handle.len; i++) {
        char copy[128];
        memcpy(copy, handle.ptr, handle.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        assert_false(sqs_receipt_parse(&a, (struct str){copy, handle.len}, &back));
    }
    assert_false(sqs_receipt_parse(&a, STR(""), &back));
    arena_finish(&a);
}

static void test_allowed_text(void **state)
{
    (void)state;
    assert_true(sqs_text_allowed(STR("tab\t line\r\n \xc3\xa4 \xf0\x9f\x98\x80 \xef\xbf\xbd")));
    assert_false(sqs_text_allowed(STR("\x01")));
    assert_false(sqs_text_allowed(STR("\xef\xbf\xbe"))); // U+FFFE
    assert_false(sqs_text_allowed(STR("\xff")));
    assert_false(sqs_text_allowed(STR("cut \xc3")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fifo_model, begin, end),
        cmocka_unit_test_setup_teardown(test_standard_model, begin, end),
        cmocka_unit_test_setup_teardown(test_dead_letters, begin, end),
        cmocka_unit_test(test_md5_vectors),
        cmocka_unit_test(test_receipts),
        cmocka_unit_test(test_allowed_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
