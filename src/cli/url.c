// url.c - `lambkin url FUNCTION`: the function's URL; --create makes one that anybody may call.
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>

struct url {
    struct client client;
    bool create, iam;
};

static int url(struct url *u, const char *function, struct err *err)
{
    struct http_client_response answer = {0};
    const struct json_value *v;
    struct client_call call = {
        .service = "lambda",
        .method = "GET",
        .target = client_function_path(&u->client, "2021-10-31", function, "/url"),
    };
    int r = client_call(&u->client, &call, &answer, err);

    if (r == -EREMOTEIO && answer.status == 404 && u->create) {
        http_client_response_finish(&answer);
        answer = (struct http_client_response){0};
        call.method = "POST";
        call.body = u->iam ? STR("{\"AuthType\":\"AWS_IAM\"}") : STR("{\"AuthType\":\"NONE\"}");
        call.headers[0] = (struct http_header){STR("content-type"), STR("application/json")};
        call.n_headers = 1;
        r = client_call(&u->client, &call, &answer, err);
    }
    if (r == 0)
        r = client_parse(&u->client, &answer, &v, err);
    if (r == 0 && u->client.json)
        printf("%.*s\n", STR_ARG(answer.body));
    else if (r == 0)
        printf("%.*s\n", STR_ARG(json_get_or(v, "FunctionUrl", STR(""))));
    http_client_response_finish(&answer);
    return r;
}

int url_main(int argc, char **argv)
{
    struct url u = {0};
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&u.client);
    const struct arg table[] = {
        CLIENT_ARGS(&u.client),
        {.name = "--create", .flag = &u.create},
        {.name = "--iam", .flag = &u.iam},
    };
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 1) {
        code = cli_verb_usage("url", EXIT_USAGE);
    } else {
        client_settle(&u.client);
        code = url(&u, words.words[0], &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    client_finish(&u.client);
    return code;
}
