// deploy.c - `lambkin deploy DIR|ZIP`: creates the function or brings it up to date.
//
// What is not said by a flag is found in the files for a new function and left as it is for one
// that exists.
#include "cli/deploy.h"

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "cli/verb.h"
#include "os/file.h"
#include "os/time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define API "2015-03-31"
#define MAX_BODY_BYTES ((size_t)400 << 20)
#define ACTIVE_LIMIT_MS 120000

static int read_package(struct deploy *d, const char *path, struct buf *zip, struct err *err)
{
    struct package_counts counts;
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return err_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode)) {
        client_progress(&d->client, "packing %s", path);
        r = package_zip(path, zip, &counts, err);
        if (r == 0)
            r = package_kind_of_dir(&d->client.arena, path, &d->kind, err);
        d->zip = buf_str(zip);
        client_progress(&d->client, "packed %u files, %zu kB", counts.files, zip->len / 1024);
        return r;
    }
    r = read_file(&d->client.arena, path, PACKAGE_MAX_BYTES, &d->zip, err);
    return r < 0 ? r : package_kind_of_zip(&d->client.arena, d->zip, &d->kind, err);
}

const char *deploy_name(struct arena *a, const char *path)
{
    _cleanup_free_ char *real = realpath(path, NULL);
    struct str name = str_from(real ? real : path);
    char *out;

    for (size_t i = name.len; i > 0; i--)
        if (name.ptr[i - 1] == '/') {
            name = str_slice(name, i, name.len);
            break;
        }
    if (str_ends(name, STR(".zip")))
        name.len -= 4;
    out = arena_cstr(a, str_slice(name, 0, 64));
    for (char *p = out; p && *p; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            *p != '_')
            *p = '-';
    return out;
}

static void write_number(struct json_writer *w, const char *key, const char *text)
{
    if (text) {
        jw_key(w, str_from(key));
        jw_raw(w, str_from(text));
    }
}

int deploy_check(const struct deploy *d, struct err *err)
{
    int64_t n;

    if (d->timeout && str_to_i64(str_from(d->timeout), &n) < 0)
        return err_set(err, -EINVAL, "--timeout: seconds, not \"%s\"", d->timeout);
    if (d->memory && str_to_i64(str_from(d->memory), &n) < 0)
        return err_set(err, -EINVAL, "--memory: megabytes, not \"%s\"", d->memory);
    for (unsigned i = 0; i < d->env.n; i++)
        if (!strchr(d->env.values[i], '='))
            return err_set(err, -EINVAL, "--env: NAME=VALUE, not \"%s\"", d->env.values[i]);
    return 0;
}

// The members that CreateFunction and UpdateFunctionConfiguration share.
static void write_configuration(const struct deploy *d, struct json_writer *w, bool create)
{
    if (d->runtime)
        jw_member_str(w, "Runtime", str_from(d->runtime));
    else if (create)
        jw_member_str(w, "Runtime", d->kind.runtime);
    if (d->handler)
        jw_member_str(w, "Handler", str_from(d->handler));
    else if (create)
        jw_member_str(w, "Handler", d->kind.handler);
    if (d->role || create)
        jw_member_str(w, "Role",
                      d->role ? str_from(d->role) : STR("arn:aws:iam::000000000000:role/lambkin"));
    write_number(w, "Timeout", d->timeout);
    write_number(w, "MemorySize", d->memory);
    if (d->env.n == 0)
        return;
    jw_key(w, STR("Environment"));
    jw_object_begin(w);
    jw_key(w, STR("Variables"));
    jw_object_begin(w);
    for (unsigned i = 0; i < d->env.n; i++) {
        struct str value = str_from(d->env.values[i]), name;
        str_next(&value, '=', &name);
        jw_key(w, name);
        jw_str(w, value);
    }
    jw_object_end(w);
    jw_object_end(w);
}

static void write_code(const struct deploy *d, struct json_writer *w, struct buf *out)
{
    if (d->hot) {
        jw_member_str(w, "S3Bucket", STR("hot-reload"));
        jw_member_str(w, "S3Key", str_from(d->hot));
    } else {
        jw_key(w, STR("ZipFile"));
        // Straight into the buffer: a package may be large.
        buf_add_char(out, '"');
        base64_encode(out, d->zip);
        buf_add_char(out, '"');
        w->comma = true;
    }
    if (d->architecture) {
        jw_key(w, STR("Architectures"));
        jw_array_begin(w);
        jw_str(w, str_from(d->architecture));
        jw_array_end(w);
    }
}

static int send_json(struct deploy *d, const char *method, struct str target,
                     const struct buf *body, struct err *err)
{
    const struct client_call call = {
        .service = "lambda",
        .method = method,
        .target = target,
        .body = body ? buf_str(body) : STR_NULL,
        .headers = {{STR("content-type"), STR("application/json")}},
        .n_headers = body ? 1 : 0,
    };
    struct http_client_response answer = {0};
    int r;

    if (body && body->failed)
        return err_set(err, -EFBIG, "the package is too large");
    r = client_call(&d->client, &call, &answer, err);
    if (r == -EREMOTEIO && answer.status == 404)
        r = -ENOENT;
    http_client_response_finish(&answer);
    return r;
}

static int create(struct deploy *d, struct err *err)
{
    struct buf body;
    struct json_writer w;
    int r;

    if (!d->runtime && d->kind.runtime.len == 0)
        return err_set(err, -EINVAL,
                       "no handler found at the top of the package: say --runtime and --handler");
    if (!d->handler && d->kind.handler.len == 0)
        return err_set(err, -EINVAL, "no handler found: say --handler");
    buf_init(&body, MAX_BODY_BYTES);
    w = json_writer(&body);
    jw_object_begin(&w);
    jw_member_str(&w, "FunctionName", str_from(d->name));
    write_configuration(d, &w, true);
    // Architectures stand beside Code here, and inside the request of UpdateFunctionCode.
    jw_key(&w, STR("Code"));
    jw_object_begin(&w);
    const char *architecture = d->architecture;
    d->architecture = NULL;
    write_code(d, &w, &body);
    d->architecture = architecture;
    jw_object_end(&w);
    if (architecture) {
        jw_key(&w, STR("Architectures"));
        jw_array_begin(&w);
        jw_str(&w, str_from(architecture));
        jw_array_end(&w);
    }
    jw_object_end(&w);
    d->created = true;
    r = send_json(d, "POST", STR("/" API "/functions"), &body, err);
    buf_finish(&body);
    return r;
}

// Answers 1 when the function is in place, 0 when not yet; *out is its configuration.
static int look(struct deploy *d, struct http_client_response *answer,
                const struct json_value **out, struct err *err)
{
    const struct client_call call = {
        .service = "lambda",
        .method = "GET",
        .target = client_function_path(&d->client, API, d->name, "/configuration"),
    };
    struct str state, update;
    int r;

    r = client_call(&d->client, &call, answer, err);
    if (r == 0)
        r = client_parse(&d->client, answer, out, err);
    if (r < 0)
        return r;
    state = json_get_or(*out, "State", STR("Active"));
    update = json_get_or(*out, "LastUpdateStatus", STR("Successful"));
    if (str_eq(state, STR("Failed")) || str_eq(update, STR("Failed"))) {
        struct str why = json_get_or(*out, "StateReason", STR("no reason given"));
        why = json_get_or(*out, "LastUpdateStatusReason", why);
        return err_set(err, -EIO, "the function failed to deploy: %.*s", STR_ARG(why));
    }
    return str_eq(state, STR("Active")) && str_eq(update, STR("Successful"));
}

// Looks until it is in place; the configuration as text is in the client's arena.
static int wait_active(struct deploy *d, struct str *configuration, struct err *err)
{
    int64_t until_ms = os_mono_ms() + ACTIVE_LIMIT_MS;
    struct timespec pause = {.tv_nsec = 2000000};

    for (;;) {
        struct http_client_response answer = {0};
        const struct json_value *v;
        int r = look(d, &answer, &v, err);

        if (r == 1)
            *configuration = arena_str(&d->client.arena, answer.body);
        http_client_response_finish(&answer);
        if (r != 0)
            return r < 0 ? r : 0;
        if (os_mono_ms() > until_ms)
            return err_set(err, -ETIMEDOUT, "the function did not become active");
        client_progress(&d->client, "waiting for %s", d->name);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 200000000)
            pause.tv_nsec *= 2;
    }
}

static int send_code(struct deploy *d, struct err *err)
{
    struct buf body;
    struct json_writer w;
    int r;

    buf_init(&body, MAX_BODY_BYTES);
    w = json_writer(&body);
    jw_object_begin(&w);
    write_code(d, &w, &body);
    jw_object_end(&w);
    r = send_json(d, "PUT", client_function_path(&d->client, API, d->name, "/code"), &body, err);
    buf_finish(&body);
    return r;
}

static int update(struct deploy *d, struct err *err)
{
    struct buf body;
    struct json_writer w;
    struct str ignored;
    int r = send_code(d, err);

    if (r < 0 || !(d->runtime || d->handler || d->timeout || d->memory || d->role || d->env.n))
        return r;
    r = wait_active(d, &ignored, err);
    if (r < 0)
        return r;
    buf_init(&body, 1 << 20);
    w = json_writer(&body);
    jw_object_begin(&w);
    write_configuration(d, &w, false);
    jw_object_end(&w);
    r = send_json(d, "PUT", client_function_path(&d->client, API, d->name, "/configuration"), &body,
                  err);
    buf_finish(&body);
    return r;
}

struct str deploy_url(struct deploy *d)
{
    const struct client_call call = {
        .service = "lambda",
        .method = "GET",
        .target = client_function_path(&d->client, "2021-10-31", d->name, "/url"),
    };
    struct http_client_response answer = {0};
    const struct json_value *v;
    struct err ignored = ERR_INIT;
    struct str url = STR_NULL;

    if (client_call(&d->client, &call, &answer, &ignored) == 0 &&
        client_parse(&d->client, &answer, &v, &ignored) == 0)
        url = arena_str(&d->client.arena, json_get_or(v, "FunctionUrl", STR_NULL));
    http_client_response_finish(&answer);
    return url;
}

int deploy_run(struct deploy *d, const char *path, struct str *configuration, struct err *err)
{
    struct buf zip;
    struct http_client_response answer = {0};
    const struct json_value *v = NULL;
    int r;

    buf_init(&zip, PACKAGE_MAX_BYTES);
    r = read_package(d, path, &zip, err);
    if (!d->name)
        d->name = deploy_name(&d->client.arena, path);
    if (r == 0) {
        client_progress(&d->client, "sending %zu kB", d->zip.len / 1024);
        r = look(d, &answer, &v, err);
        if (r == -EREMOTEIO && answer.status == 404)
            r = create(d, err);
        else if (r >= 0 || answer.status == 200) // a failed one is mended by an update
            r = update(d, err);
        http_client_response_finish(&answer);
        d->sent = d->hot ? 0 : hash_table(d->zip);
    }
    buf_finish(&zip);
    d->zip = STR_NULL;
    if (r == 0)
        r = wait_active(d, configuration, err);
    client_progress_end(&d->client);
    return r;
}

// Hot code needs nothing but its function.
static int is_there(struct deploy *d, struct err *err)
{
    struct http_client_response answer = {0};
    const struct json_value *v;
    int r = look(d, &answer, &v, err);

    if (r == -EREMOTEIO && answer.status == 404)
        r = -ENOENT;
    http_client_response_finish(&answer);
    return r < 0 ? r : 1;
}

int deploy_code(struct deploy *d, const char *path, struct err *err)
{
    struct str configuration;
    struct buf zip;
    int r;

    if (d->hot)
        return is_there(d, err);
    buf_init(&zip, PACKAGE_MAX_BYTES);
    r = read_package(d, path, &zip, err);
    if (r == 0 && hash_table(d->zip) != d->sent) {
        d->sent = 0;
        r = send_code(d, err);
        if (r == 0)
            r = wait_active(d, &configuration, err);
        if (r == 0) {
            d->sent = hash_table(d->zip);
            r = 1;
        }
    }
    buf_finish(&zip);
    d->zip = STR_NULL;
    client_progress_end(&d->client);
    return r;
}

static int deploy(struct deploy *d, const char *path, struct err *err)
{
    const struct json_value *v = NULL;
    struct str configuration = STR_NULL, url;
    int64_t started_ms = os_mono_ms();
    int r = deploy_run(d, path, &configuration, err);

    if (r < 0)
        return r;
    if (d->client.json) {
        printf("%.*s\n", STR_ARG(configuration));
        return 0;
    }
    url = deploy_url(d);
    r = json_parse(&d->client.arena, configuration, &v, err);
    if (r < 0)
        return r;
    struct str arn = json_get_or(v, "FunctionArn", STR("")),
               runtime = json_get_or(v, "Runtime", STR("")),
               handler = json_get_or(v, "Handler", STR(""));
    printf("%s %s in %lld ms\n  %.*s\n  %.*s, %.*s\n", d->created ? "created" : "updated", d->name,
           (long long)(os_mono_ms() - started_ms), STR_ARG(arn), STR_ARG(runtime),
           STR_ARG(handler));
    if (url.len)
        printf("  %.*s\n", STR_ARG(url));
    printf("call it: lambkin invoke %s\n", d->name);
    return 0;
}

int deploy_main(int argc, char **argv)
{
    struct deploy d = {0};
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&d.client);
    const struct arg table[] = {
        CLIENT_ARGS(&d.client),
        DEPLOY_ARGS(&d),
    };
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0 ||
        deploy_check(&d, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 1) {
        code = cli_verb_usage("deploy", EXIT_USAGE);
    } else {
        client_settle(&d.client);
        code = deploy(&d, words.words[0], &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    client_finish(&d.client);
    return code;
}
