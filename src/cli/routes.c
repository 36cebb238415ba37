// routes.c - `lambkin routes`: where functions are reached over plain HTTP.
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>

#define URLS_VERSION "2021-10-31"
#define LIST_VERSION "2015-03-31"

static int ask(struct client *c, const char *method, struct str target, struct str body,
               struct http_client_response *answer, struct err *err)
{
    const struct client_call call = {
        .service = "lambda", .method = method, .target = target, .body = body};

    return client_call(c, &call, answer, err);
}

struct routes {
    struct client client;
    unsigned shown;
};

static void line(struct routes *s, struct str where, struct str what, struct str authorization)
{
    if (s->shown++ == 0)
        printf("%-72s %-32s %s\n", "WHERE", "ANSWERED BY", "AUTHORIZATION");
    printf("%-72.*s %-32.*s %.*s\n", STR_ARG(where), STR_ARG(what), STR_ARG(authorization));
}

// The URLs of one function; there are few.
static int function_urls(struct routes *s, struct str name, struct err *err)
{
    struct client *c = &s->client;
    struct http_client_response answer = {0};
    const struct json_value *v;

    int r =
        ask(c, "GET", client_function_path(c, URLS_VERSION, arena_cstr(&c->arena, name), "/urls"),
            STR_NULL, &answer, err);
    if (r == -EREMOTEIO && answer.status == 404) // it has just been deleted
        r = 0;
    else if (r == 0 && (r = client_parse(c, &answer, &v, err)) == 0)
        json_each(u, json_get(v, "FunctionUrlConfigs"))
        {
            if (c->json)
                printf("%s%.*s", s->shown++ ? "," : "", STR_ARG(u->raw));
            else
                line(s, json_get_or(u, "FunctionUrl", STR("")), name,
                     str_eq(json_get_or(u, "AuthType", STR("")), STR("AWS_IAM")) ? STR("iam")
                                                                                 : STR("none"));
        }
    http_client_response_finish(&answer);
    return r;
}

static int all_function_urls(struct routes *s, struct err *err)
{
    struct client *c = &s->client;
    struct str marker = STR_NULL;
    int r;

    do {
        struct http_client_response answer = {0};
        const struct json_value *v;
        struct str target = arena_printf(&c->arena, "/" LIST_VERSION "/functions?MaxItems=50%s%.*s",
                                         marker.len > 0 ? "&Marker=" : "", STR_ARG(marker));
        r = ask(c, "GET", target, STR_NULL, &answer, err);
        if (r == 0)
            r = client_parse(c, &answer, &v, err);
        if (r == 0) {
            for (const struct json_value *f = json_first(json_get(v, "Functions")); r == 0 && f;
                 f = f->next)
                r = function_urls(s, json_get_or(f, "FunctionName", STR("")), err);
            marker = arena_str(&c->arena, json_get_or(v, "NextMarker", STR_NULL));
        }
        http_client_response_finish(&answer);
    } while (r == 0 && marker.len > 0);
    return r;
}

// "GET /pets": what stands before and after the space; a key without one is all path.
static void split_key(struct str key, struct str *method, struct str *path)
{
    *path = key;
    if (!str_next(path, ' ', method) || !path->ptr) {
        *path = key;
        *method = STR("");
    }
}

static void show_apis(struct routes *s, const struct json_value *v)
{
    json_each(api, json_get(v, "apis")) json_each(stage, json_get(api, "stages"))
        json_each(route, json_get(stage, "routes"))
    {
        struct str name = json_get_or(stage, "name", STR("")), method, path;
        bool root = str_eq(name, STR("$default"));
        split_key(json_get_or(route, "key", STR("")), &method, &path);
        line(s,
             arena_printf(&s->client.arena, "%.*s%s%.*s%s%.*s%s%.*s", STR_ARG(method),
                          method.len ? " " : "", STR_ARG(json_get_or(api, "endpoint", STR(""))),
                          root ? "" : "/", STR_ARG(root ? STR("") : name),
                          path.len > 0 && path.ptr[0] == '/' ? "" : " ", STR_ARG(path)),
             json_get_or(route, "function", json_get_or(route, "target", STR(""))),
             json_get_or(route, "authorization", STR("")));
    }
}

static void show_domains(struct routes *s, const struct json_value *v)
{
    json_each(d, json_get(v, "domains"))
    {
        line(s, json_get_or(d, "url", STR("")),
             arena_printf(&s->client.arena, "API %.*s/%.*s",
                          STR_ARG(json_get_or(d, "api", STR(""))),
                          STR_ARG(json_get_or(d, "stage", STR("")))),
             STR("by route"));
    }
}

static int routes(struct routes *s, struct err *err)
{
    struct client *c = &s->client;
    struct http_client_response answer = {0};
    const struct json_value *v;

    int r = ask(c, "GET", STR("/_lambkin/routes"), STR_NULL, &answer, err);
    if (r == 0)
        r = client_parse(c, &answer, &v, err);
    if (r == 0) {
        if (c->json)
            printf("{\"apis\":%.*s,\"domains\":%.*s,\"functionUrls\":[",
                   STR_ARG(json_get(v, "apis")->raw), STR_ARG(json_get(v, "domains")->raw));
        r = all_function_urls(s, err);
    }
    if (r == 0 && c->json)
        printf("]}\n");
    else if (r == 0)
        show_apis(s, v), show_domains(s, v);
    if (r == 0 && !c->json && s->shown == 0)
        printf("nothing answers over plain HTTP; `lambkin url FUNCTION --create` makes a URL\n");
    http_client_response_finish(&answer);
    return r;
}

int routes_main(int argc, char **argv)
{
    struct routes s = {0};
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&s.client);
    const struct arg table[] = {CLIENT_ARGS(&s.client)};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 0) {
        code = cli_verb_usage("routes", EXIT_USAGE);
    } else {
        client_settle(&s.client);
        code = routes(&s, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    client_finish(&s.client);
    return code;
}
