// functions.c - `lambkin ls` and `lambkin rm`.
#include "base/cleanup.h"
#include "base/percent.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>

struct ls {
    struct client client;
    bool names;
    unsigned shown;
};

static void show(struct ls *l, const struct json_value *f)
{
    struct str name = json_get_or(f, "FunctionName", STR("")),
               runtime = json_get_or(f, "Runtime", STR("-")),
               handler = json_get_or(f, "Handler", STR("-")),
               modified = json_get_or(f, "LastModified", STR(""));

    if (l->names) {
        printf("%.*s\n", STR_ARG(name));
        return;
    }
    if (l->client.json) {
        printf("%s%.*s", l->shown++ ? ",\n" : "", STR_ARG(f->raw));
        return;
    }
    if (l->shown++ == 0)
        printf("%-32s %-16s %-24s %6s %7s  %s\n", "FUNCTION", "RUNTIME", "HANDLER", "MEMORY",
               "TIMEOUT", "MODIFIED");
    printf("%-32.*s %-16.*s %-24.*s %3lld MB %5lld s  %.*s\n", STR_ARG(name), STR_ARG(runtime),
           STR_ARG(handler), (long long)json_get_i64_or(f, "MemorySize", 128),
           (long long)json_get_i64_or(f, "Timeout", 3), STR_ARG(str_slice(modified, 0, 19)));
}

static struct str list_path(struct client *c, struct str marker)
{
    struct buf b;
    struct str path;

    buf_init(&b, 64 * 1024);
    buf_add(&b, STR("/2015-03-31/functions?MaxItems=50"));
    if (marker.len > 0) {
        buf_add(&b, STR("&Marker="));
        percent_encode(&b, marker);
    }
    path = arena_str(&c->arena, buf_str(&b));
    buf_finish(&b);
    return path;
}

static int ls(struct ls *l, struct err *err)
{
    struct str marker = STR_NULL;
    int r;

    if (l->client.json && !l->names)
        printf("[");
    do {
        const struct client_call call = {
            .service = "lambda", .method = "GET", .target = list_path(&l->client, marker)};
        struct http_client_response answer = {0};
        const struct json_value *v;

        r = client_call(&l->client, &call, &answer, err);
        if (r == 0)
            r = client_parse(&l->client, &answer, &v, err);
        if (r == 0) {
            json_each(f, json_get(v, "Functions")) show(l, f);
            marker = arena_str(&l->client.arena, json_get_or(v, "NextMarker", STR_NULL));
        }
        http_client_response_finish(&answer);
    } while (r == 0 && marker.len > 0);
    if (l->client.json && !l->names)
        printf("]\n");
    else if (r == 0 && l->shown == 0 && !l->names)
        printf("no functions in %s; `lambkin deploy DIR` makes one\n", l->client.region);
    return r;
}

int ls_main(int argc, char **argv)
{
    struct ls l = {0};
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&l.client);
    const struct arg table[] = {
        CLIENT_ARGS(&l.client),
        {.name = "--names", .flag = &l.names},
    };
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 0) {
        code = cli_verb_usage("ls", EXIT_USAGE);
    } else {
        client_settle(&l.client);
        code = ls(&l, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    client_finish(&l.client);
    return code;
}

static int rm(struct client *c, const char *name, struct err *err)
{
    const struct client_call call = {
        .service = "lambda",
        .method = "DELETE",
        .target = client_function_path(c, "2015-03-31", name, ""),
    };
    struct http_client_response answer = {0};
    int r = client_call(c, &call, &answer, err);

    http_client_response_finish(&answer);
    return r;
}

int rm_main(int argc, char **argv)
{
    struct client c;
    struct arg_words words;
    struct err err = ERR_INIT;
    int code = EXIT_FINE;

    client_init(&c);
    const struct arg table[] = {CLIENT_ARGS(&c)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        client_finish(&c);
        return EXIT_USAGE;
    }
    if (words.n == 0) {
        client_finish(&c);
        return cli_verb_usage("rm", EXIT_USAGE);
    }
    client_settle(&c);
    for (unsigned i = 0; i < words.n; i++) {
        err = (struct err)ERR_INIT;
        if (rm(&c, words.words[i], &err) < 0)
            code = cli_fail(&err);
        else if (!c.json)
            printf("deleted %s\n", words.words[i]);
    }
    client_finish(&c);
    return code;
}
