// invoke.c - `lambkin invoke FUNCTION [EVENT]`: the answer on standard output, all else on error.
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/percent.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "os/fd.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define DEBUG_MS ((int64_t)7 * 24 * 3600 * 1000) // somebody thinks
#define MAX_EVENT_BYTES ((size_t)16 << 20)

struct invoke {
    struct client client;
    const char *qualifier;
    bool async, dry_run, tail, times, debug;
    const char *debug_port;
};

static int read_event(struct invoke *v, const char *word, struct str *out, struct err *err)
{
    struct buf b;
    int r;

    if (!word) {
        *out = STR("{}");
        return 0;
    }
    if (word[0] == '@')
        return read_file(&v->client.arena, word + 1, MAX_EVENT_BYTES, out, err);
    if (strcmp(word, "-") != 0) {
        *out = str_from(word);
        return 0;
    }
    buf_init(&b, MAX_EVENT_BYTES);
    r = fd_read_all(STDIN_FILENO, &b);
    *out = arena_str(&v->client.arena, buf_str(&b));
    buf_finish(&b);
    return r < 0 ? err_errno(err, -r, "read standard input") : 0;
}

// Server-Timing: "name;dur=1.2, …" as lines.
static void show_times(const struct http_client_response *answer)
{
    struct str all = http_client_header(answer, STR("server-timing")), one, name;

    while (str_next(&all, ',', &one)) {
        one = str_trim(one);
        str_next(&one, ';', &name);
        struct str value = one;
        if (str_starts(value, STR("dur=")))
            fprintf(stderr, "  %-12.*s %10.*s ms\n", STR_ARG(name),
                    STR_ARG(str_slice(value, 4, value.len)));
        else if (str_starts(value, STR("desc=")))
            fprintf(stderr, "  %-12.*s %10.*s\n", STR_ARG(name),
                    STR_ARG(str_slice(value, 6, value.len - 1)));
    }
}

static void show_tail(struct invoke *v, const struct http_client_response *answer)
{
    struct str encoded = http_client_header(answer, STR("x-amz-log-result")), text;

    if (encoded.len > 0 && base64_decode(&v->client.arena, encoded, &text) == 0)
        fprintf(stderr, "%.*s%s", STR_ARG(text), str_ends(text, STR("\n")) ? "" : "\n");
}

static struct str invocation_path(struct invoke *v, const char *function)
{
    struct buf b;
    struct str path;

    if (!v->qualifier)
        return client_function_path(&v->client, "2015-03-31", function, "/invocations");
    buf_init(&b, 4096);
    buf_add(&b,
            client_function_path(&v->client, "2015-03-31", function, "/invocations?Qualifier="));
    percent_encode(&b, str_from(v->qualifier));
    path = arena_str(&v->client.arena, buf_str(&b));
    buf_finish(&b);
    return path;
}

// Which port, and how to attach to it.
static int prepare_debug(struct invoke *v, const char *function, struct err *err)
{
    struct http_client_response answer = {0};
    const struct json_value *config = NULL;
    const struct client_call call = {
        .service = "lambda",
        .method = "GET",
        .target = client_function_path(&v->client, "2015-03-31", function, "/configuration"),
    };
    struct str runtime = STR("");
    int r = client_call(&v->client, &call, &answer, err);

    if (r == 0)
        r = client_parse(&v->client, &answer, &config, err);
    if (r == 0)
        runtime = arena_str(&v->client.arena, json_get_or(config, "Runtime", STR("")));
    http_client_response_finish(&answer);
    if (r < 0)
        return r;
    bool python = str_starts(runtime, STR("python"));
    if (!python && !str_starts(runtime, STR("nodejs")))
        return err_set(err, -EINVAL,
                       "%s is not a Python or Node.js function: only these can be "
                       "debugged",
                       function);
    if (!v->debug_port)
        v->debug_port = python ? "5678" : "9229";
    fprintf(stderr, "%s waits for a debugger at 127.0.0.1:%s; no time limit runs.\n", function,
            v->debug_port);
    if (python)
        fprintf(stderr,
                "VS Code, in launch.json: {\"name\": \"lambkin\", \"type\": \"debugpy\", "
                "\"request\": \"attach\", \"connect\": {\"host\": \"127.0.0.1\", \"port\": %s}, "
                "\"pathMappings\": [{\"localRoot\": \"${workspaceFolder}\", \"remoteRoot\": "
                "\"/var/task\"}]}\n",
                v->debug_port);
    else
        fprintf(stderr,
                "VS Code, in launch.json: {\"name\": \"lambkin\", \"type\": \"node\", \"request\": "
                "\"attach\", \"address\": \"127.0.0.1\", \"port\": %s, \"localRoot\": "
                "\"${workspaceFolder}\", \"remoteRoot\": \"/var/task\"}\n"
                "Chrome: chrome://inspect; in a terminal: node inspect 127.0.0.1:%s\n",
                v->debug_port, v->debug_port);
    return 0;
}

static int invoke(struct invoke *v, const char *function, const char *event, struct err *err)
{
    struct http_client_response answer = {0};
    struct str body;
    bool failed;
    int r;

    r = read_event(v, event, &body, err);
    if (r == 0 && v->debug)
        r = prepare_debug(v, function, err);
    if (r < 0)
        return r;
    const struct client_call call = {
        .service = "lambda",
        .method = "POST",
        .target = invocation_path(v, function),
        .body = body,
        .headers = {{STR("x-amz-invocation-type"), v->async     ? STR("Event")
                                                   : v->dry_run ? STR("DryRun")
                                                                : STR("RequestResponse")},
                    {STR("x-amz-log-type"), v->tail ? STR("Tail") : STR("None")},
                    {STR("content-type"), STR("application/json")},
                    {STR("x-lambkin-debug"), str_from(v->debug ? v->debug_port : "")}},
        .n_headers = v->debug ? 4 : 3,
        .timeout_ms = v->debug ? DEBUG_MS : 0,
    };
    client_progress(&v->client, "running %s", function);
    r = client_call(&v->client, &call, &answer, err);
    client_progress_end(&v->client);
    if (r < 0) {
        http_client_response_finish(&answer);
        return r;
    }
    if (v->tail)
        show_tail(v, &answer);
    if (v->times)
        show_times(&answer);
    fwrite(answer.body.ptr, 1, answer.body.len, stdout);
    if (answer.body.len > 0 && !str_ends(answer.body, STR("\n")))
        putchar('\n');
    if (v->async || v->dry_run)
        fprintf(stderr, "%s\n", v->async ? "accepted" : "would run");
    failed = http_client_header(&answer, STR("x-amz-function-error")).len > 0;
    http_client_response_finish(&answer);
    return failed ? 1 : 0;
}

int invoke_main(int argc, char **argv)
{
    struct invoke v = {0};
    struct arg_words words;
    struct err err = ERR_INIT;
    int r, code;

    client_init(&v.client);
    const struct arg table[] = {
        CLIENT_ARGS(&v.client),
        {.name = "--qualifier", .value = &v.qualifier},
        {.name = "--async", .flag = &v.async},
        {.name = "--dry-run", .flag = &v.dry_run},
        {.name = "--tail", .flag = &v.tail},
        {.name = "--times", .flag = &v.times},
        {.name = "--debug", .flag = &v.debug, .value = &v.debug_port},
    };
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n < 1 || words.n > 2) {
        code = cli_verb_usage("invoke", EXIT_USAGE);
    } else if (v.debug && (v.async || v.dry_run)) {
        err_set(&err, -EINVAL, "--debug is for an invocation that is waited for");
        cli_fail(&err);
        code = EXIT_USAGE;
    } else {
        client_settle(&v.client);
        r = invoke(&v, words.words[0], words.n > 1 ? words.words[1] : NULL, &err);
        code = r < 0 ? cli_fail(&err) : r > 0 ? EXIT_FAILED : EXIT_FINE;
    }
    client_finish(&v.client);
    return code;
}
