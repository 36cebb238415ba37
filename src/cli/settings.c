// settings.c - the table of settings, and its forms: help, Markdown, text for our own processes.
#include "cli/settings.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

#define HOUR_MS ((int64_t)3600 * 1000)

// Those without help are what main tells its children; nobody else sets them.
static const struct config_setting table[] = {
    {"listen", CONFIG_STRING, "127.0.0.1", 0, 0, NULL,
     "address to listen on; any but loopback needs root credentials of your own first"},
    {"port", CONFIG_INT, "4566", 0, 65535, NULL, "TCP port; 0 takes any free one"},
    {"tls-port", CONFIG_INT, NULL, 0, 65535, NULL,
     "also answers HTTPS here; 0 takes any free one; without it there is no HTTPS"},
    {"tls-cert", CONFIG_STRING, NULL, 0, 0, NULL,
     "PEM file with the certificate; without it a self-signed one is made"},
    {"tls-key", CONFIG_STRING, NULL, 0, 0, NULL, "PEM file with its key"},
    {"data-dir", CONFIG_STRING, NULL, 0, 0, NULL,
     "where everything is kept; default /var/lib/lambkin for root, else ~/.local/share/lambkin"},
    {"ephemeral", CONFIG_BOOL, "false", 0, 0, NULL,
     "keep everything in a temporary directory that goes when the daemon ends"},
    {"config", CONFIG_STRING, NULL, 0, 0, NULL, "file with lines of the form NAME = VALUE"},
    {"isolation", CONFIG_ENUM, "strict", 0, 0, "strict|best-effort|none",
     "strict refuses to run when a protection is missing on this host (see lambkin doctor)"},
    {"user", CONFIG_STRING, NULL, 0, 0, NULL,
     "user that the server runs as when started as root; default lambkin if there is one, else "
     "the number 61000"},
    {"auth", CONFIG_BOOL, "true", 0, 0, NULL,
     "verify signatures; --no-auth accepts any key and no key"},
    {"access-key", CONFIG_STRING, "test", 0, 0, NULL, "access key id of the root user"},
    {"secret-key", CONFIG_STRING, "test", 0, 0, NULL,
     "its secret; better in the configuration file or the environment than as a flag"},
    {"account", CONFIG_STRING, "000000000000", 0, 0, NULL, "account number, 12 digits"},
    {"region", CONFIG_STRING, "us-east-1", 0, 0, NULL, "region of requests that name none"},
    {"concurrency", CONFIG_INT, "1000", 1, 100000, NULL,
     "concurrent invocations of the whole account"},
    {"scaling-rate", CONFIG_INT, "1000", 1, 100000, NULL,
     "environments that one function may start in ten seconds; what needs more is throttled"},
    {"memory-budget", CONFIG_BYTES, NULL, 0, 0, NULL,
     "memory for all environments together; default three quarters of the machine's"},
    {"cpu", CONFIG_ENUM, "burst", 0, 0, "burst|proportional",
     "burst: memory decides the share while others want the processor too, and nobody else's is "
     "left idle; proportional: never more than memory's share of 1,769 MB, but in INIT, as on AWS"},
    {"io-bandwidth", CONFIG_BYTES, "0", 0, 0, NULL,
     "bytes per second that one environment may read from each disk; 0 is no limit"},
    {"io-operations", CONFIG_INT, "0", 0, 10000000, NULL,
     "read operations per second of one environment on each disk; 0 is no limit"},
    {"outbound-networks", CONFIG_STRING, NULL, 0, 0, NULL,
     "networks that functions with VpcConfig subnets may reach: "
     "10.0.0.0/8,192.0.2.7:443,[2001:db8::/32]:443; default "
     "none"},
    {"hot-reload", CONFIG_STRING, NULL, 0, 0, NULL,
     "folders, FOLDER:FOLDER, whose code functions of the bucket hot-reload run from where it "
     "lies; "
     "default none"},
    {"prewarm", CONFIG_BOOL, "false", 0, 0, NULL,
     "start an environment shortly before a function that is called in a rhythm is called again"},
    {"idle-after", CONFIG_DURATION, "5m", 100, 24 * HOUR_MS, NULL,
     "an environment that was not used for so long ends"},
    {"freeze-after", CONFIG_DURATION, "2s", 0, 24 * HOUR_MS, NULL,
     "an idle environment is frozen after so long; 0 never"},
    {"init-timeout", CONFIG_DURATION, "10s", 100, HOUR_MS, NULL, "time limit of INIT, as on AWS"},
    {"spares", CONFIG_INT, "2", 0, 64, NULL,
     "ready sandboxes kept on each loop for each runtime in use, for quicker cold starts; more "
     "after "
     "a second that needed more; 0 none"},
    {"drain", CONFIG_DURATION, "20s", 0, HOUR_MS, NULL,
     "at SIGTERM running invocations may go on for so long"},
    {"loops", CONFIG_INT, "0", 0, 8, NULL, "event loops; 0 is one per core"},
    {"workers", CONFIG_INT, "8", 1, 256, NULL, "threads that run operations other than Invoke"},
    {"time-scale", CONFIG_STRING, "1", 0, 0, NULL,
     "makes the platform's own waits shorter, such as 0.01 for retries in tests"},
    {"log-level", CONFIG_ENUM, "info", 0, 0, "debug|info|warn|error",
     "least level of the daemon's own log on standard error"},
    {"ready-fd", CONFIG_INT, NULL, 0, 1000000, NULL,
     "also writes the ready line to this descriptor, and closes it"},
    {"run-version", CONFIG_STRING, NULL, 0, 0, NULL, NULL},
    {"run-uid", CONFIG_INT, NULL, 0, 0, NULL, NULL},
    {"run-gid", CONFIG_INT, NULL, 0, 0, NULL, NULL},
    {"run-main-pid", CONFIG_INT, NULL, 0, 0, NULL, NULL},
    {"run-interpreters", CONFIG_STRING, NULL, 0, 0, NULL, NULL},
    {"run-has-tls", CONFIG_BOOL, "false", 0, 0, NULL, NULL},
};

static int default_data_dir(struct config *c, struct err *err)
{
    char path[4096];
    const char *home = getenv("HOME"), *xdg = getenv("XDG_DATA_HOME");
    int n;

    if (config_cstr(c, "data-dir"))
        return 0;
    if (geteuid() == 0)
        n = snprintf(path, sizeof(path), "/var/lib/lambkin");
    else if (xdg && xdg[0] == '/')
        n = snprintf(path, sizeof(path), "%s/lambkin", xdg);
    else if (home && home[0] == '/')
        n = snprintf(path, sizeof(path), "%s/.local/share/lambkin", home);
    else
        return err_set(err, -EINVAL, "there is no HOME; say where to keep data with --data-dir");
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, -ENAMETOOLONG, "the path of the home directory is too long");
    return config_set(c, "data-dir", str_from(path), CONFIG_DEFAULT, err);
}

int settings_load(int argc, char **argv, struct config **out, struct err *err)
{
    _cleanup_(config_destroyp) struct config *c = NULL;
    int r, rest = 0;

    r = config_create(table, ARRAY_LEN(table), &c, err);
    if (r < 0)
        return r;
    r = config_load_env(c, environ, err);
    if (r < 0)
        return r;
    r = config_load_args(c, argc, argv, &rest, err);
    if (r < 0)
        return r;
    if (rest > 0)
        return err_set(err, -EINVAL, "unexpected argument \"%s\"", argv[0]);
    if (config_cstr(c, "config")) {
        r = config_load_file(c, config_cstr(c, "config"), err);
        if (r < 0)
            return r;
    }
    r = default_data_dir(c, err);
    if (r < 0)
        return r;
    *out = TAKE_PTR(c);
    return 0;
}

int settings_load_text(struct str text, struct config **out, struct err *err)
{
    _cleanup_(config_destroyp) struct config *c = NULL;
    int r;

    r = config_create(table, ARRAY_LEN(table), &c, err);
    if (r < 0)
        return r;
    r = config_load_text(c, "settings of main", text, err);
    if (r < 0)
        return r;
    *out = TAKE_PTR(c);
    return 0;
}

void settings_dump_one(struct buf *out, const char *name, const char *value)
{
    // The reader takes a value in quotes as it is; one with a quote inside goes without.
    if (strchr(value, '"'))
        buf_addf(out, "%s = %s\n", name, value);
    else
        buf_addf(out, "%s = \"%s\"\n", name, value);
}

void settings_dump(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *value = config_cstr(c, table[i].name);
        if (value && config_source_of(c, table[i].name) != CONFIG_DEFAULT)
            settings_dump_one(out, table[i].name, value);
        else if (value && strcmp(table[i].name, "data-dir") == 0)
            settings_dump_one(out, table[i].name, value);
    }
}

static const char *kind_word(const struct config_setting *s)
{
    switch (s->kind) {
    case CONFIG_STRING:
        return "TEXT";
    case CONFIG_BOOL:
        return "";
    case CONFIG_INT:
        return "N";
    case CONFIG_BYTES:
        return "SIZE";
    case CONFIG_DURATION:
        return "TIME";
    case CONFIG_ENUM:
        return s->choices;
    }
    return "";
}

// `text` in lines of at most `width` characters, each after `indent` spaces.
static void add_wrapped(struct buf *out, const char *text, unsigned indent, size_t width)
{
    while (*text) {
        size_t n = strlen(text);
        if (n > width) {
            n = width;
            while (n > 0 && text[n] != ' ')
                n--;
            if (n == 0)
                n = width;
        }
        buf_addf(out, "%*s%.*s\n", (int)indent, "", (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
    }
}

void settings_help(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct config_setting *s = &table[i];
        bool on = s->kind == CONFIG_BOOL && s->fallback && strcmp(s->fallback, "true") == 0;

        if (!s->help)
            continue;
        buf_addf(out, "  --%s%s %s", on ? "no-" : "", s->name, kind_word(s));
        if (s->fallback && s->kind != CONFIG_BOOL)
            buf_addf(out, " (%s)", s->fallback);
        buf_add_char(out, '\n');
        add_wrapped(out, s->help, 6, 90);
    }
}

void settings_markdown(struct buf *out)
{
    buf_add(out, STR("| setting | variable | values | default | what it does |\n"
                     "|---|---|---|---|---|\n"));
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct config_setting *s = &table[i];

        if (!s->help)
            continue;
        buf_addf(out, "| `%s` | `LAMBKIN_", s->name);
        for (const char *p = s->name; *p; p++)
            buf_add_char(out, *p == '-' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
        buf_add(out, STR("` | "));
        const char *values = s->kind == CONFIG_BOOL ? "true or false" : kind_word(s);
        for (const char *p = values; *p; p++) {
            if (*p == '|')
                buf_add(out, STR(", "));
            else
                buf_add_char(out, *p);
        }
        if (s->fallback)
            buf_addf(out, " | `%s`", s->fallback);
        else
            buf_add(out, STR(" | "));
        buf_addf(out, " | %s |\n", s->help);
    }
}
