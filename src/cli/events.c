// events.c - `lambkin events`, `lambkin queues`, `lambkin replay`: what waits, what failed, again.
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "os/time.h"

#include <errno.h>
#include <stdio.h>

static int fetch(struct client *c, const char *method, struct str target,
                 struct http_client_response *answer, const struct json_value **out,
                 struct err *err)
{
    const struct client_call call = {.service = "lambda", .method = method, .target = target};
    int r = client_call(c, &call, answer, err);

    return r < 0 ? r : client_parse(c, answer, out, err);
}

// Every member of an object as "name value" on one line.
static void show_members(const struct json_value *object)
{
    json_each(m, object)
    {
        if (m->type == JSON_STRING)
            printf("%.*s=%.*s  ", STR_ARG(m->key), STR_ARG(m->string));
        else
            printf("%.*s=%.*s  ", STR_ARG(m->key), STR_ARG(m->raw));
    }
    putchar('\n');
}

static void show_events(const struct json_value *v)
{
    const struct json_value *functions = json_get(v, "functions"), *failed = json_get(v, "failed");

    printf("waiting and running, by function:%s\n", json_count(functions) ? "" : " nothing");
    json_each(f, functions)
    {
        printf("  ");
        show_members(f);
    }
    printf("failed, newest first:%s\n", json_count(failed) ? "" : " none");
    json_each(f, failed)
    {
        struct str function = json_get_or(f, "function", STR("")),
                   condition = json_get_or(f, "condition", STR("")),
                   type = json_get_or(f, "errorType", STR("")),
                   when = json_get_or(f, "failed", STR(""));
        const struct json_value *payload = json_get(f, "payload");
        printf("  %lld  %.*s  %.*s  %.*s %.*s\n", (long long)json_get_i64_or(f, "id", 0),
               STR_ARG(when), STR_ARG(function), STR_ARG(condition), STR_ARG(type));
        if (payload)
            printf("      %.*s\n", STR_ARG(str_slice(payload->raw, 0, 200)));
    }
    if (json_count(failed))
        printf("call one again: lambkin replay ID\n");
}

static void show_queues(const struct json_value *v)
{
    const struct json_value *queues = json_get(v, "queues");

    if (json_count(queues) == 0)
        printf("no queues\n");
    else
        printf("%-60s %9s %9s %9s  %s\n", "QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED", "OLDEST");
    json_each(q, queues)
    {
        int64_t oldest = json_get_i64_or(q, "oldestSentMs", 0);
        struct str arn = json_get_or(q, "arn", STR(""));
        printf("%-60.*s %9lld %9lld %9lld  ", STR_ARG(arn),
               (long long)json_get_i64_or(q, "visible", 0),
               (long long)json_get_i64_or(q, "inFlight", 0),
               (long long)json_get_i64_or(q, "delayed", 0));
        if (oldest > 0)
            printf("%lld s\n", (long long)(os_now_ms() - oldest) / 1000);
        else
            printf("-\n");
    }
}

static int page(int argc, char **argv, const char *path, void (*show)(const struct json_value *v))
{
    struct client c;
    struct arg_words words;
    struct http_client_response answer = {0};
    const struct json_value *v;
    struct err err = ERR_INIT;
    int code = EXIT_FINE;

    client_init(&c);
    const struct arg table[] = {CLIENT_ARGS(&c)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 0) {
        code = cli_verb_usage(argv[0], EXIT_USAGE);
    } else {
        client_settle(&c);
        if (fetch(&c, "GET", str_from(path), &answer, &v, &err) < 0)
            code = cli_fail(&err);
        else if (c.json)
            printf("%.*s\n", STR_ARG(answer.body));
        else
            show(v);
        http_client_response_finish(&answer);
    }
    client_finish(&c);
    return code;
}

int events_main(int argc, char **argv)
{
    return page(argc, argv, "/_lambkin/events", show_events);
}

int queues_main(int argc, char **argv)
{
    return page(argc, argv, "/_lambkin/queues", show_queues);
}

int replay_main(int argc, char **argv)
{
    struct client c;
    struct arg_words words;
    struct err err = ERR_INIT;
    int64_t id;
    int code = EXIT_FINE;

    client_init(&c);
    const struct arg table[] = {CLIENT_ARGS(&c)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n == 0) {
        code = cli_verb_usage("replay", EXIT_USAGE);
    }
    client_settle(&c);
    for (unsigned i = 0; code != EXIT_USAGE && i < words.n; i++) {
        struct http_client_response answer = {0};
        const struct json_value *v;

        err = (struct err)ERR_INIT;
        if (str_to_i64(str_from(words.words[i]), &id) < 0) {
            err_set(&err, -EINVAL, "\"%s\" is no event's number", words.words[i]);
            code = cli_fail(&err);
            continue;
        }
        if (fetch(&c, "POST", arena_printf(&c.arena, "/_lambkin/replay?id=%lld", (long long)id),
                  &answer, &v, &err) < 0)
            code = cli_fail(&err);
        else if (!c.json)
            printf("event %lld is accepted again\n", (long long)id);
        http_client_response_finish(&answer);
    }
    client_finish(&c);
    return code;
}
