// main.c - `lambkin VERB …`: the table of verbs and their help.
//
// The same executable is every process of the daemon; `keeper` and `server` are started by `serve`
// only, with descriptors that nobody else has.
#include "cli/verb.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "cli/link.h"
#include "cli/settings.h"
#include "os/random.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define CLIENT_FLAGS "--endpoint --region --json"
#define CLIENT_HELP                                                                                \
    "  --endpoint URL    the daemon; default $AWS_ENDPOINT_URL or http://127.0.0.1:4566\n"         \
    "  --region NAME     default $AWS_REGION, $AWS_DEFAULT_REGION or us-east-1\n"                  \
    "  --json            answers as JSON; the default when standard output is no terminal\n"       \
    "Credentials are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or test/test.\n"

const struct cli_verb cli_verbs[] = {
    {"serve", serve_main, "[SETTING…]", "run the daemon", "", NULL},
    {"deploy", deploy_main, "DIR|ZIP", "create or update a function from a folder or a zip",
     CLIENT_FLAGS " --name --runtime --handler --timeout --memory --env --role --architecture",
     "  --name NAME       default: the name of the folder or zip\n"
     "  --runtime NAME    default: found from the files\n"
     "  --handler NAME    default: found from the files\n"
     "  --timeout S       seconds, 1 to 900\n"
     "  --memory MB       128 to 10240\n"
     "  --env NAME=VALUE  may be given again\n"
     "  --role ARN        default: a role of the account\n" CLIENT_HELP},
    {"dev", dev_main, "DIR", "deploy a folder again whenever it changes, and show its log",
     CLIENT_FLAGS " --name --runtime --handler --timeout --memory --env --role --architecture",
     "The flags are those of deploy. Ctrl-C ends it; the function stays.\n" CLIENT_HELP},
    {"init", init_main, "LANGUAGE [DIR]", "write a function to start from", "",
     "LANGUAGE is python, nodejs, typescript, go, rust, java, ruby or c; a runtime's name, such "
     "as\n"
     "python3.12, does as well. DIR is the current folder by default and must be empty.\n"},
    {"invoke", invoke_main, "FUNCTION [EVENT|@FILE|-]", "call a function and show what it answers",
     CLIENT_FLAGS " --qualifier --async --dry-run --tail --times --debug",
     "EVENT is JSON; @FILE reads a file, - standard input; without it the event is {}.\n"
     "  --qualifier Q     a version or an alias\n"
     "  --async           InvocationType Event\n"
     "  --dry-run         InvocationType DryRun\n"
     "  --tail            also show the log of this invocation, on standard error\n"
     "  --times           also show where the time went, on standard error\n"
     "  --debug [PORT]    wait for a debugger before the function is loaded (Python, "
     "Node.js)\n" CLIENT_HELP "The exit code is 1 when the function failed.\n"},
    {"logs", logs_main, "FUNCTION", "show a function's log", CLIENT_FLAGS " -f --since --filter",
     "  -f, --follow      go on as lines are written\n"
     "  --since TIME      such as 10m, 2h, 1d; default: everything\n"
     "  --filter PATTERN  CloudWatch Logs filter pattern\n" CLIENT_HELP},
    {"ls", ls_main, "", "list functions", CLIENT_FLAGS, CLIENT_HELP},
    {"rm", rm_main, "FUNCTION…", "delete functions", CLIENT_FLAGS, CLIENT_HELP},
    {"url", url_main, "FUNCTION", "print a function's URL", CLIENT_FLAGS " --create --iam",
     "  --create          make one when there is none; anybody who reaches the daemon may call it\n"
     "  --iam             with --create: callers must sign\n" CLIENT_HELP},
    {"top", top_main, "", "what every function does now", CLIENT_FLAGS " --once",
     "  --once            print once, also on a terminal\n" CLIENT_HELP},
    {"routes", routes_main, "", "what answers where: function URLs, APIs, domains", CLIENT_FLAGS,
     CLIENT_HELP},
    {"trace", trace_main, "[REQUEST-ID]", "where the time of requests to URLs and APIs went",
     CLIENT_FLAGS,
     "The newest 20 requests, or the one whose answer had this apigw-requestid or\n"
     "x-amzn-requestid. Gateway, authorizer and integration add up to the total; function and\n"
     "init are parts of the integration.\n" CLIENT_HELP},
    {"events", events_main, "", "asynchronous events that wait, and those that failed",
     CLIENT_FLAGS, CLIENT_HELP},
    {"replay", replay_main, "ID…", "call failed events again", CLIENT_FLAGS, CLIENT_HELP},
    {"queues", queues_main, "", "queues, how deep and how old", CLIENT_FLAGS, CLIENT_HELP},
    {"doctor", doctor_main, "", "say what this host offers and how to mend what is missing",
     "--json",
     "  --json            as JSON\nThe exit code is 1 when strict isolation is not to be had.\n"},
    {"runtime", runtime_main, "install python|nodejs|java",
     "fetch boto3, the AWS SDK or Java's client", "--data-dir",
     "Fetches what functions find without bringing it along, as on AWS: boto3 by pip, the clients\n"
     "of @aws-sdk v3 by npm, AWS's runtime interface client for Java by Maven. They go to\n"
     "DATA-DIR/runtime and are seen by every function.\n"
     "  --data-dir DIR    the daemon's; default as for serve\n"},
    {"completion", completion_main, "bash|zsh", "print completion for a shell", "",
     "Use it with: eval \"$(lambkin completion bash)\"\n"},
    {"version", version_main, "", "print the version", "", NULL},
    {"help", help_main, "[VERB]", "this, or about one verb", "", NULL},
    {"keeper", keeper_child_main, "", NULL, "", NULL},
    {"server", server_child_main, "", NULL, "", NULL},
};
const unsigned cli_n_verbs = ARRAY_LEN(cli_verbs);

const struct cli_verb *cli_verb_find(const char *name)
{
    for (unsigned i = 0; i < cli_n_verbs; i++)
        if (strcmp(cli_verbs[i].name, name) == 0)
            return &cli_verbs[i];
    return NULL;
}

int cli_fail(const struct err *err)
{
    fflush(stdout);
    fprintf(stderr, "lambkin: %s\n", err->message[0] ? err->message : "failed");
    return EXIT_FAILED;
}

static void show_settings(FILE *to)
{
    struct buf text;

    buf_init(&text, 64 * 1024);
    settings_help(&text);
    fprintf(to,
            "\nEvery setting is a flag, a variable (LAMBKIN_DATA_DIR for --data-dir) and a line\n"
            "of the configuration file (data-dir = DIR); the later overrides: file, variable, "
            "flag.\n\n%.*s",
            STR_ARG(buf_str(&text)));
    buf_finish(&text);
}

int cli_verb_usage(const char *name, int code)
{
    const struct cli_verb *v = cli_verb_find(name);
    FILE *to = code == EXIT_FINE ? stdout : stderr;

    fprintf(to, "usage: lambkin %s %s\n%s.\n", v->name, v->arguments, v->summary);
    if (v->help)
        fprintf(to, "\n%s", v->help);
    if (v->run == serve_main)
        show_settings(to);
    return code;
}

static void overview(FILE *to)
{
    fprintf(to, "lambkin %s - runs AWS Lambda functions on this machine\n\n", LAMBKIN_VERSION);
    for (unsigned i = 0; i < cli_n_verbs; i++) {
        const struct cli_verb *v = &cli_verbs[i];
        if (v->summary)
            fprintf(to, "  %-10s %-26s %s\n", v->name, v->arguments, v->summary);
    }
    fprintf(
        to,
        "\nFirst steps: `lambkin serve` in one terminal, `lambkin deploy examples/python-hello`\n"
        "and `lambkin invoke python-hello` in another. The AWS CLI and SDKs need only\n"
        "AWS_ENDPOINT_URL=http://127.0.0.1:4566 and the credentials test/test.\n");
}

int help_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--settings-markdown") == 0) {
        struct buf text;
        buf_init(&text, 64 * 1024);
        settings_markdown(&text);
        fwrite(text.ptr, 1, text.len, stdout);
        buf_finish(&text);
        return EXIT_FINE;
    }
    if (argc > 1) {
        const struct cli_verb *v = cli_verb_find(argv[1]);
        if (v && v->summary)
            return cli_verb_usage(v->name, EXIT_FINE);
        fprintf(stderr, "lambkin: there is no verb \"%s\"\n", argv[1]);
        return EXIT_USAGE;
    }
    overview(stdout);
    return EXIT_FINE;
}

int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("lambkin %s\n", LAMBKIN_VERSION);
    return EXIT_FINE;
}

int main(int argc, char **argv)
{
    const struct cli_verb *v;

    hash_seed(os_random_u64(), os_random_u64()); // nobody can send keys that all collide
    if (argc < 2) {
        overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_main(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        return version_main(1, argv);
    v = cli_verb_find(argv[1]);
    if (!v) {
        fprintf(stderr, "lambkin: there is no verb \"%s\"; `lambkin help` lists them\n", argv[1]);
        return EXIT_USAGE;
    }
    for (int i = 2; i < argc && v->summary && v->run != help_main; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_verb_usage(v->name, EXIT_FINE);
    return v->run(argc - 1, argv + 1);
}
