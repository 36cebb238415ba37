// trace.c - `lambkin trace`: where the time of requests to URLs and APIs went.
#include "base/cleanup.h"
#include "base/percent.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <stdio.h>
#include <time.h>

#define SHOWN 20 // without an id, on the terminal

static void milliseconds(const struct json_value *t, const char *name)
{
    int64_t us = json_get_i64_or(t, name, 0);

    if (us > 0)
        printf(" %9.2f", (double)us / 1000);
    else
        printf(" %9s", "-");
}

static void show(const struct json_value *t)
{
    double seconds = 0;
    char clock[16];
    struct tm tm;

    json_f64(json_get(t, "time"), &seconds);
    time_t whole = (time_t)seconds;
    localtime_r(&whole, &tm);
    strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    printf("%s %6lld", clock, (long long)json_get_i64_or(t, "status", 0));
    milliseconds(t, "totalUs");
    milliseconds(t, "gatewayUs");
    milliseconds(t, "authorizerUs");
    milliseconds(t, "integrationUs");
    milliseconds(t, "functionUs");
    milliseconds(t, "initUs");
    struct str function = json_get_or(t, "function", STR(""));
    printf("  %.*s %.*s%s%.*s%s\n", STR_ARG(json_get_or(t, "method", STR(""))),
           STR_ARG(json_get_or(t, "where", STR(""))), function.len > 0 ? " (" : "",
           STR_ARG(function), function.len > 0 ? ")" : "");
}

static int trace(struct client *c, struct str id, struct err *err)
{
    struct http_client_response answer = {0};
    const struct json_value *v;
    struct str target = STR("/_lambkin/traces");
    unsigned n = 0;
    struct buf b;

    buf_init(&b, 4096);
    if (id.len > 0) {
        buf_add(&b, STR("/_lambkin/traces?id="));
        percent_encode(&b, id);
        target = arena_str(&c->arena, buf_str(&b));
    }
    buf_finish(&b);
    const struct client_call call = {.service = "lambda", .method = "GET", .target = target};
    int r = client_call(c, &call, &answer, err);
    if (r == 0)
        r = client_parse(c, &answer, &v, err);
    if (r == 0 && c->json) {
        printf("%.*s\n", STR_ARG(v->raw));
    } else if (r == 0 && json_count(json_get(v, "requests")) == 0) {
        printf("no request to a function URL or an API%s\n", id.len > 0 ? " with that id" : "");
    } else if (r == 0) {
        printf("%-8s %6s %9s %9s %9s %9s %9s %9s  %s\n", "TIME", "STATUS", "TOTAL ms", "gateway",
               "authorize", "integrate", "function", "init", "REQUEST");
        json_each(t, json_get(v, "requests"))
        {
            if (n++ < SHOWN || id.len > 0)
                show(t);
        }
    }
    http_client_response_finish(&answer);
    return r;
}

int trace_main(int argc, char **argv)
{
    struct client client;
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&client);
    const struct arg table[] = {CLIENT_ARGS(&client)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n > 1) {
        code = cli_verb_usage("trace", EXIT_USAGE);
    } else {
        client_settle(&client);
        struct str id = words.n == 1 ? str_from(words.words[0]) : STR("");
        code = trace(&client, id, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    client_finish(&client);
    return code;
}
