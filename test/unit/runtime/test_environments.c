// test_environments.c - functions of all kinds on a real keeper: what callers and logs see.
#include "stage.h"

#include "sandbox/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *native;

#define assert_has(s, text)                                                                        \
    do {                                                                                           \
        if (str_find((s), str_from(text)) < 0) {                                                   \
            print_error("not in: %.*s\n", STR_ARG(s));                                             \
            fail_msg("expected %s", text);                                                         \
        }                                                                                          \
    } while (0)

static struct stage_answer *expect(struct function_config *f, const char *payload,
                                   enum invocation_status status, const char *text)
{
    struct stage_answer *a = stage_invoke(f, payload);

    if (a->inv.status != status)
        print_error("status %d, %s, response %.*s\ntail: %.*s\n", a->inv.status, a->inv.err.message,
                    STR_ARG(a->inv.response), STR_ARG(a->inv.log_tail));
    assert_int_equal(a->inv.status, status);
    if (text)
        assert_has(stage_response(a), text);
    return a;
}

#define EXPECT(f, payload, status, text) stage_answer_free(expect(f, payload, status, text))

static const struct stage_function python = {
    .name = "py",
    .runtime = "python3.11",
    .file = "app.py",
    .content = "import os, sys, time\n"
               "n = 0\n"
               "def h(e, c):\n"
               "    global n\n"
               "    n += 1\n"
               "    print('said', e)\n"
               "    if e == 'boom': raise ValueError('boom')\n"
               "    if e == 'exit': os._exit(5)\n"
               "    if e == 'kill': os.kill(os.getpid(), 9)\n"
               "    if e == 'sleep': time.sleep(100)\n"
               "    if e == 'nap': time.sleep(0.3)\n"
               "    if e == 'big': return 'x' * (7 << 20)\n"
               "    if e == 'lines': print('y' * 300000); print('a\\n' * 1000)\n"
               "    if e == 'log':\n"
               "        import logging; logging.getLogger().error('two\\nlines')\n"
               "    return {'n': n, 'id': c.aws_request_id, 'key': os.environ.get('KEY'),\n"
               "            'left': c.get_remaining_time_in_millis() > 0, 'e': e}\n",
    .variable = "KEY",
    .value = "va\"lue",
};

static void test_python(void **state)
{
    struct function_config *f;
    struct stage_answer *a;

    (void)state;
    if (!stage_has(STAGE_PYTHON))
        skip();
    f = stage_make(&python);
    a = expect(f, "\"hello\"", INVOCATION_OK, "\"n\": 1");
    assert_has(stage_response(a), "\"key\": \"va\\\"lue\"");
    assert_has(stage_response(a), "\"left\": true");
    assert_has(a->inv.log_tail, "said hello\n");
    assert_has(a->inv.log_tail, "START RequestId: ");
    assert_has(a->inv.log_tail, "REPORT RequestId: ");
    assert_has(a->inv.log_tail, "Init Duration: ");
    assert_true(a->inv.start == INVOCATION_COLD || a->inv.start == INVOCATION_SPARE);
    assert_true(a->inv.times.init_us > 0);
    stage_answer_free(a);
    a = expect(f, "1", INVOCATION_OK, "\"n\": 2");
    assert_int_equal(a->inv.start, INVOCATION_WARM);
    assert_int_equal(str_find(a->inv.log_tail, STR("Init Duration")), -1);
    stage_answer_free(a);

    a = expect(f, "\"boom\"", INVOCATION_FUNCTION_ERROR, "\"errorType\": \"ValueError\"");
    assert_has(stage_response(a), "\"errorMessage\": \"boom\"");
    assert_has(a->inv.error_type, "ValueError");
    assert_string_equal(a->inv.function_error, "Unhandled");
    stage_answer_free(a);
    EXPECT(f, "\"big\"", INVOCATION_FUNCTION_ERROR, "Function.ResponseSizeTooLarge");
    EXPECT(f, "{bad", INVOCATION_FUNCTION_ERROR, "Runtime.UnmarshalError");
    EXPECT(f, "\"log\"", INVOCATION_OK, NULL);
    assert_true(stage_until_logged("two\nlines\n"));
    stage_log_clear();
    EXPECT(f, "\"lines\"", INVOCATION_OK, NULL);
    assert_true(stage_until_logged("yyyy"));

    a = expect(f, "\"exit\"", INVOCATION_FUNCTION_ERROR, "Runtime.ExitError");
    assert_has(stage_response(a), "exit status 5");
    assert_has(stage_response(a), "RequestId: ");
    stage_answer_free(a);
    EXPECT(f, "1", INVOCATION_OK, "\"n\": 1"); // a new environment
    EXPECT(f, "\"kill\"", INVOCATION_FUNCTION_ERROR, "signal: killed");
    function_config_unref(f);
}

static struct keeper_status isolation(void)
{
    struct keeper_status status = {0};

    keeper_degree(runtime_keeper(), &status);
    return status;
}

static void test_misbehaviour(void **state)
{
    static const struct stage_function spec = {
        .name = "rogue",
        .runtime = "python3.11",
        .timeout_ms = 20000,
        .memory_mb = 1024,
        .file = "app.py",
        .content =
            "import os, sys, time, threading\n"
            "def h(e, c):\n"
            "    if e == 'eat':\n"
            "        x = []\n"
            "        while True: x.append(bytearray(8 << 20))\n"
            "    if e == 'close': os.closerange(0, 64)\n"
            "    if e == 'flood':\n"
            "        for i in range(20000): print('z' * 500)\n"
            "    if e == 'forks':\n"
            "        for i in range(3000):\n"
            "            try:\n"
            "                if os.fork() == 0: time.sleep(1000)\n"
            "            except OSError: return 'enough'\n"
            "    if e == 'answer':\n"
            "        os.write(3, b'\\x02\\0\\0\\0' + bytes([18, 0, 0, 0]) +\n"
            "                 (999).to_bytes(8, 'little') + b'{}')\n"
            "    if e == 'junk': os.write(3, b'\\xff' * 64); time.sleep(100)\n"
            "    if e == 'thread': threading.Thread(target=lambda: time.sleep(1000)).start()\n"
            "    return 'fine'\n",
    };
    struct function_config *f;

    (void)state;
    if (!stage_has(STAGE_PYTHON))
        skip();
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_OK, "fine");
    if (isolation().cgroup_memory)
        EXPECT(f, "\"eat\"", INVOCATION_FUNCTION_ERROR, "Runtime.OutOfMemory");
    EXPECT(f, "1", INVOCATION_OK, "fine");
    EXPECT(f, "\"close\"", INVOCATION_FUNCTION_ERROR, "Runtime.ExitError");
    EXPECT(f, "\"flood\"", INVOCATION_OK, "fine");
    EXPECT(f, "\"answer\"", INVOCATION_OK, "fine"); // a forged answer is stale
    EXPECT(f, "\"junk\"", INVOCATION_FUNCTION_ERROR, "Runtime.ExitError");
    EXPECT(f, "\"thread\"", INVOCATION_OK, "fine");
    if (isolation().cgroup_pids)
        EXPECT(f, "\"forks\"", INVOCATION_OK, "enough");
    EXPECT(f, "1", INVOCATION_OK, "fine");
    function_config_unref(f);
}

static void test_timeout(void **state)
{
    struct stage_function spec = python;
    struct function_config *f;
    struct stage_answer *a;

    (void)state;
    if (!stage_has(STAGE_PYTHON))
        skip();
    spec.name = "late";
    spec.timeout_ms = 1000;
    f = stage_make(&spec);
    a = expect(f, "\"sleep\"", INVOCATION_FUNCTION_ERROR, "Task timed out after 1.00 seconds");
    assert_has(stage_response(a), "Sandbox.Timedout");
    assert_has(a->inv.log_tail, "Task timed out after 1.00 seconds");
    assert_has(a->inv.log_tail, "Status: timeout");
    stage_answer_free(a);
    EXPECT(f, "1", INVOCATION_OK, "\"n\": 1");
    function_config_unref(f);
}

static void test_init_failures(void **state)
{
    static const struct {
        const char *content, *handler, *error;
    } cases[] = {
        {"import nothing_like_this\n", "app.h", "Runtime.ImportModuleError"},
        {"def h(:\n", "app.h", "Runtime.UserCodeSyntaxError"},
        {"x = 1\n", "app.h", "Runtime.HandlerNotFound"},
        {"x = 1\n", "app", "Runtime.MalformedHandlerName"},
        {"import os\nos._exit(4)\n", "app.h", "exit status 4"},
        {"raise KeyError('k')\n", "app.h", "KeyError"},
        {"import time\ntime.sleep(60)\n", "app.h", "Sandbox.Timedout"},
    };

    (void)state;
    if (!stage_has(STAGE_PYTHON))
        skip();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stage_function spec = {.name = "bad", .runtime = "python3.11", .file = "app.py"};
        struct function_config *f;
        char name[16];

        snprintf(name, sizeof(name), "bad%zu", i);
        spec.name = name;
        spec.content = cases[i].content;
        spec.handler = cases[i].handler;
        f = stage_make(&spec);
        EXPECT(f, "1", INVOCATION_FUNCTION_ERROR, cases[i].error);
        function_config_unref(f);
    }
}

static void test_node(void **state)
{
    static const struct stage_function spec = {
        .name = "js",
        .runtime = "nodejs20.x",
        .file = "app.js",
        .content = "let n = 0;\n"
                   "exports.h = async (e, c) => { n++; console.log('said', e);\n"
                   "  if (e === 'boom') throw new RangeError('boom');\n"
                   "  if (e === 'reject') { Promise.reject(new Error('lost'));\n"
                   "    await new Promise(r => setTimeout(r, 1000)); }\n"
                   "  return {n, name: c.functionName, e}; };\n"
                   "exports.s = awslambda.streamifyResponse(async (e, s) => {\n"
                   "  for (let i = 0; i < 20; i++) s.write(Buffer.alloc(100000, 97));\n"
                   "  s.end(); });\n",
    };
    struct stage_function streaming = spec;
    struct function_config *f;
    struct stage_answer *a;

    (void)state;
    if (!stage_has(STAGE_NODE))
        skip();
    f = stage_make(&spec);
    a = expect(f, "\"x\"", INVOCATION_OK, "\"n\":1");
    assert_has(stage_response(a), "\"name\":\"js\"");
    assert_has(a->inv.log_tail, "\tINFO\tsaid x");
    stage_answer_free(a);
    EXPECT(f, "\"boom\"", INVOCATION_FUNCTION_ERROR, "\"errorType\":\"RangeError\"");
    EXPECT(f, "1", INVOCATION_OK, "\"n\":3");
    EXPECT(f, "\"reject\"", INVOCATION_FUNCTION_ERROR, "Runtime.UnhandledPromiseRejection");
    EXPECT(f, "1", INVOCATION_OK, "\"n\":1");
    function_config_unref(f);

    streaming.name = "jss";
    streaming.handler = "app.s";
    f = stage_make(&streaming);
    for (int i = 0; i < 3; i++) {
        a = stage_begin(f, "1", true);
        stage_wait(a);
        assert_int_equal(a->inv.status, INVOCATION_OK);
        assert_int_equal(a->begins, 1);
        assert_int_equal(a->streamed.len, 2000000);
        stage_answer_free(a);
    }
    a = expect(f, "1", INVOCATION_OK, NULL); // buffered
    assert_int_equal(stage_response(a).len, 2000000);
    stage_answer_free(a);
    function_config_unref(f);
}

static void test_native(void **state)
{
    struct stage_function spec = {
        .name = "c", .runtime = "provided.al2023", .copy = native, .timeout_ms = 2000};
    struct function_config *f = stage_make(&spec);
    struct stage_answer *a;

    (void)state;
    EXPECT(f, "{\"a\":1}", INVOCATION_OK, "\"echo\":{\"a\":1}");
    EXPECT(f, "2", INVOCATION_OK, "\"echo\":2");
    EXPECT(f, "\"fail\"", INVOCATION_FUNCTION_ERROR, "\"errorType\":\"Bad\"");
    EXPECT(f, "\"forged\"", INVOCATION_OK, "{\"forged\":400,\"stale\":400}");
    EXPECT(f, "\"twice\"", INVOCATION_OK, "1");
    EXPECT(f, "\"huge\"", INVOCATION_FUNCTION_ERROR, "Function.ResponseSizeTooLarge");
    EXPECT(f, "3", INVOCATION_OK, "\"echo\":3");
    assert_true(stage_until_logged("twice 403"));
    assert_true(stage_until_logged("huge 413"));
    a = stage_begin(f, "\"stream\"", true);
    stage_wait(a);
    assert_int_equal(a->inv.status, INVOCATION_OK);
    assert_has(buf_str(&a->streamed), "chunkchunkchunk");
    stage_answer_free(a);
    a = stage_begin(f, "\"stream error\"", true);
    stage_wait(a);
    assert_int_equal(a->inv.status, INVOCATION_FUNCTION_ERROR);
    assert_has(a->inv.error_type, "Function.Mid");
    assert_has(stage_response(a), "\"mid\"");
    stage_answer_free(a);
    EXPECT(f, "\"stream\"", INVOCATION_OK, "chunkchunkchunk");
    a = stage_begin(f, "\"stream broken\"", true);
    stage_wait(a);
    assert_int_equal(a->inv.status, INVOCATION_FUNCTION_ERROR);
    stage_answer_free(a);
    EXPECT(f, "\"exit\"", INVOCATION_FUNCTION_ERROR, "exit status 3");
    EXPECT(f, "\"sleep\"", INVOCATION_FUNCTION_ERROR, "Task timed out after 2.00 seconds");
    EXPECT(f, "4", INVOCATION_OK, "\"echo\":4");
    function_config_unref(f);

    spec.name = "cfail";
    spec.variable = "FAIL_INIT";
    spec.value = "1";
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_FUNCTION_ERROR, "Runtime.Mine");
    function_config_unref(f);

    spec = (struct stage_function){
        .name = "nothing", .runtime = "provided.al2", .file = "x", .content = "x"};
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_FUNCTION_ERROR, "Runtime.InvalidEntrypoint");
    function_config_unref(f);

    spec.name = "junk";
    spec.file = "bootstrap";
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_FUNCTION_ERROR, "Runtime.InvalidEntrypoint");
    function_config_unref(f);
}

static void test_unknown_runtime(void **state)
{
    static const struct stage_function spec = {
        .name = "odd", .runtime = "go1.x", .file = "x", .content = "x"};
    struct function_config *f = stage_make(&spec);
    struct stage_answer *a = stage_invoke(f, "1");

    (void)state;
    assert_int_equal(a->inv.status, INVOCATION_FAILED);
    assert_string_equal(a->inv.err.aws->code, "InvalidRuntimeException");
    stage_answer_free(a);
    function_config_unref(f);
}

static void test_concurrency(void **state)
{
    struct stage_function spec = {
        .name = "many", .runtime = "provided.al2023", .copy = native, .timeout_ms = 30000};
    struct function_config *f = stage_make(&spec);
    struct stage_answer *a[40];
    struct err err = ERR_INIT;
    unsigned throttled = 0;

    (void)state;
    for (int i = 0; i < 40; i++)
        a[i] = stage_begin(f, "1", false);
    for (int i = 0; i < 40; i++) {
        stage_wait(a[i]);
        assert_int_equal(a[i]->inv.status, INVOCATION_OK);
        stage_answer_free(a[i]);
    }
    assert_int_equal(runtime_reserve(f->account, f->region, f->name, 3, &err), 0);
    for (int i = 0; i < 40; i++)
        a[i] = stage_begin(f, "1", false);
    for (int i = 0; i < 40; i++) {
        stage_wait(a[i]);
        if (a[i]->inv.status == INVOCATION_THROTTLED) {
            throttled++;
            assert_string_equal(a[i]->inv.err.fields[0].value, RUNTIME_REASON_RESERVED);
        }
        stage_answer_free(a[i]);
    }
    assert_true(throttled > 0);
    runtime_reserve(f->account, f->region, f->name, 0, &err);
    a[0] = stage_invoke(f, "1");
    assert_int_equal(a[0]->inv.status, INVOCATION_THROTTLED);
    stage_answer_free(a[0]);
    runtime_reserve(f->account, f->region, f->name, -1, &err);
    EXPECT(f, "1", INVOCATION_OK, NULL);
    function_config_unref(f);
}

static void burst(const char *event, unsigned n)
{
    struct stage_function spec = python;
    struct function_config *f;
    struct stage_answer **a = calloc(n, sizeof(struct stage_answer *));

    spec.name = event[1] == 'n' ? "nappers" : "burst";
    spec.timeout_ms = 60000;
    f = stage_make(&spec);
    for (unsigned i = 0; i < n; i++)
        a[i] = stage_begin(f, event, false);
    for (unsigned i = 0; i < n; i++) {
        stage_wait(a[i]);
        if (a[i]->inv.status != INVOCATION_OK)
            print_error("%.*s\n", STR_ARG(stage_response(a[i])));
        assert_int_equal(a[i]->inv.status, INVOCATION_OK);
        stage_answer_free(a[i]);
    }
    free(a);
    runtime_forget(f->account, f->region, f->name, STR_NULL);
    function_config_unref(f);
}

static void test_burst(void **state)
{
    (void)state;
    if (!stage_has(STAGE_PYTHON))
        skip();
    burst("1", 300);
    burst("\"nap\"", 20);
}

static struct function_config *provisioned;

static bool is_provisioned(void)
{
    return runtime_provisioned_get(provisioned).status == RUNTIME_PROVISION_READY;
}

static void test_provisioned(void **state)
{
    struct stage_function spec = {
        .name = "ready", .runtime = "provided.al2023", .copy = native, .version = "1"};
    struct err err = ERR_INIT;
    struct stage_answer *a;

    (void)state;
    provisioned = stage_make(&spec);
    assert_int_equal(runtime_provision(provisioned, 2, &err), 0);
    assert_true(stage_until(is_provisioned));
    assert_int_equal(runtime_provisioned_get(provisioned).available, 2);
    a = expect(provisioned, "1", INVOCATION_OK, NULL);
    assert_true(a->inv.start <= INVOCATION_THAWED);
    stage_answer_free(a);
    EXPECT(provisioned, "\"exit\"", INVOCATION_FUNCTION_ERROR, NULL);
    assert_true(stage_until(is_provisioned)); // what died is replaced
    runtime_provision(provisioned, 0, &err);
    function_config_unref(provisioned);
}

static void test_update(void **state)
{
    struct stage_function spec = python;
    struct function_config *f, *g;
    struct err err = ERR_INIT;

    (void)state;
    (void)err;
    if (!stage_has(STAGE_PYTHON))
        skip();
    spec.name = "changing";
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_OK, "va\\\"lue");
    spec.value = "newer";
    g = stage_make(&spec);
    runtime_update(g);
    EXPECT(g, "1", INVOCATION_OK, "newer");
    EXPECT(g, "1", INVOCATION_OK, "\"n\": 2");
    runtime_forget(g->account, g->region, g->name, STR_NULL);
    function_config_unref(f);
    function_config_unref(g);
}

static struct stage_function frozen_spec;

static unsigned frozen_count;

static void count_frozen(void *ctx, const struct runtime_function_metrics *m)
{
    (void)ctx;
    if (str_eq(m->name, STR("cold")))
        frozen_count = m->frozen;
}

static bool is_frozen(void)
{
    frozen_count = 0;
    runtime_metrics(count_frozen, NULL);
    return frozen_count > 0;
}

static void test_freeze(void **state)
{
    struct function_config *f;
    struct stage_answer *a;

    (void)state;
    frozen_spec =
        (struct stage_function){.name = "cold", .runtime = "provided.al2023", .copy = native};
    f = stage_make(&frozen_spec);
    EXPECT(f, "1", INVOCATION_OK, NULL);
    assert_true(stage_until(is_frozen));
    a = expect(f, "2", INVOCATION_OK, "\"echo\":2");
    assert_int_equal(a->inv.start, INVOCATION_THAWED);
    stage_answer_free(a);
    function_config_unref(f);
}

static void test_extensions(void **state)
{
    struct stage_function spec = {.name = "ext",
                                  .runtime = "provided.al2023",
                                  .copy = native,
                                  .extension = native,
                                  .timeout_ms = 5000};
    struct stage_function managed = python;
    struct function_config *f = stage_make(&spec);

    (void)state;
    EXPECT(f, "1", INVOCATION_OK, "\"echo\":1");
    EXPECT(f, "2", INVOCATION_OK, "\"echo\":2");
    assert_true(stage_until_logged("ext registered {\"functionName\":\"ext\""));
    assert_true(stage_until_logged("ext heard {\"eventType\":\"INVOKE\""));
    runtime_forget(f->account, f->region, f->name, STR_NULL);
    assert_true(stage_until_logged("\"shutdownReason\":\"spindown\""));
    function_config_unref(f);

    spec.name = "extcrash";
    spec.variable = "EXT";
    spec.value = "crash";
    f = stage_make(&spec);
    for (int i = 0; i < 3; i++) // the answer may come before the crash
        stage_answer_free(stage_invoke(f, "1"));
    function_config_unref(f);

    spec.name = "extsilent";
    spec.value = "silent";
    f = stage_make(&spec);
    EXPECT(f, "1", INVOCATION_FUNCTION_ERROR, "Sandbox.Timedout");
    function_config_unref(f);

    if (!stage_has(STAGE_PYTHON))
        return;
    managed.name = "pyext";
    managed.extension = native;
    f = stage_make(&managed);
    EXPECT(f, "1", INVOCATION_OK, "\"n\": 1");
    EXPECT(f, "1", INVOCATION_OK, "\"n\": 2");
    function_config_unref(f);
}

static unsigned busy_count;

static void count_busy(void *ctx, const struct runtime_function_metrics *m)
{
    (void)ctx;
    if (str_eq(m->name, STR("lost")))
        busy_count = m->busy;
}

static bool is_busy(void)
{
    busy_count = 0;
    runtime_metrics(count_busy, NULL);
    return busy_count > 0;
}

static void test_keeper_dies(void **state)
{
    struct stage_function spec = {
        .name = "lost", .runtime = "provided.al2023", .copy = native, .timeout_ms = 30000};
    struct function_config *f = stage_make(&spec);
    struct stage_answer *a;

    (void)state;
    EXPECT(f, "1", INVOCATION_OK, NULL);
    a = stage_begin(f, "\"sleep\"", false);
    assert_true(stage_until(is_busy));
    stage_restart_keeper();
    stage_wait(a);
    assert_int_equal(a->inv.status, INVOCATION_FAILED);
    assert_string_equal(a->inv.err.aws->code, "ServiceException");
    stage_answer_free(a);
    EXPECT(f, "5", INVOCATION_OK, "\"echo\":5");
    function_config_unref(f);
}

static void test_json_log(void **state)
{
    struct stage_function spec = {
        .name = "json", .runtime = "provided.al2023", .copy = native, .log_json = true};
    struct function_config *f = stage_make(&spec);

    (void)state;
    stage_log_clear();
    EXPECT(f, "1", INVOCATION_OK, NULL);
    assert_true(stage_until_logged("\"type\":\"platform.initStart\""));
    assert_true(stage_until_logged("\"type\":\"platform.start\""));
    assert_true(stage_until_logged("\"type\":\"platform.report\""));
    assert_true(stage_until_logged("\"initDurationMs\":"));
    function_config_unref(f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_misbehaviour),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_init_failures),
        cmocka_unit_test(test_node),
        cmocka_unit_test(test_native),
        cmocka_unit_test(test_unknown_runtime),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_provisioned),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_json_log),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_keeper_dies),
    };
    const struct runtime_config config = {
        .freeze_after_ms = 300, .init_timeout_ms = 3000, .spares = 1, .keeper_fd = -1};
    int failed;

    native = argc > 1 ? argv[1] : "native";
    stage_open(&config);
    failed = cmocka_run_group_tests_name("environments", tests, NULL, NULL);
    stage_close();
    if (runtime_environments() != 0) {
        print_error("%u environments are left\n", runtime_environments());
        failed++;
    }
    return failed;
}
