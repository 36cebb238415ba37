// top.c - `lambkin top`: what every function does now, from /_lambkin/metrics.
//
// On a terminal the table is drawn anew every second; elsewhere it is printed once.
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROWS 512
#define PERIOD_S 1

struct row {
    struct str function, version;
    double invocations, errors, throttles, cold, idle, busy, frozen, starting, waiting;
    double seconds, count; // of part "total"
};

struct top {
    struct client client;
    bool once;
    struct row rows[MAX_ROWS];
    unsigned n_rows;
    // The rows of the look before, for rates; in `before_arena`.
    struct row before[MAX_ROWS];
    unsigned n_before;
    struct arena before_arena;
};

// The value of label `name` in {a="b",c="d"}; no label of ours holds a quote.
static struct str label(struct str labels, struct str name)
{
    struct str one, key;

    while (str_next(&labels, ',', &one)) {
        str_next(&one, '=', &key);
        if (str_eq(key, name) && one.len >= 2)
            return str_slice(one, 1, one.len - 1);
    }
    return STR_NULL;
}

static struct row *row_for(struct top *t, struct str function, struct str version)
{
    for (unsigned i = 0; i < t->n_rows; i++)
        if (str_eq(t->rows[i].function, function) && str_eq(t->rows[i].version, version))
            return &t->rows[i];
    if (t->n_rows == MAX_ROWS)
        return NULL;
    t->rows[t->n_rows] = (struct row){.function = function, .version = version};
    return &t->rows[t->n_rows++];
}

static void take(struct top *t, struct str metric, struct str labels, double value)
{
    static const struct {
        struct str metric, label, value;
        size_t offset;
    } wanted[] = {
        {STR_INIT("invocations_total"), STR_INIT(""), STR_INIT(""),
         offsetof(struct row, invocations)},
        {STR_INIT("errors_total"), STR_INIT(""), STR_INIT(""), offsetof(struct row, errors)},
        {STR_INIT("throttles_total"), STR_INIT(""), STR_INIT(""), offsetof(struct row, throttles)},
        {STR_INIT("starts_total"), STR_INIT("start"), STR_INIT("cold"), offsetof(struct row, cold)},
        {STR_INIT("starts_total"), STR_INIT("start"), STR_INIT("spare"),
         offsetof(struct row, cold)},
        {STR_INIT("starts_total"), STR_INIT("start"), STR_INIT("restored"),
         offsetof(struct row, cold)},
        {STR_INIT("environments"), STR_INIT("state"), STR_INIT("idle"), offsetof(struct row, idle)},
        {STR_INIT("environments"), STR_INIT("state"), STR_INIT("busy"), offsetof(struct row, busy)},
        {STR_INIT("environments"), STR_INIT("state"), STR_INIT("frozen"),
         offsetof(struct row, frozen)},
        {STR_INIT("environments"), STR_INIT("state"), STR_INIT("starting"),
         offsetof(struct row, starting)},
        {STR_INIT("waiting"), STR_INIT(""), STR_INIT(""), offsetof(struct row, waiting)},
        {STR_INIT("seconds_sum"), STR_INIT("part"), STR_INIT("total"),
         offsetof(struct row, seconds)},
        {STR_INIT("seconds_count"), STR_INIT("part"), STR_INIT("total"),
         offsetof(struct row, count)},
    };
    struct row *row = NULL;

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (!str_eq(metric, wanted[i].metric))
            continue;
        if (wanted[i].label.len && !str_eq(label(labels, wanted[i].label), wanted[i].value))
            continue;
        if (!row)
            row = row_for(t, label(labels, STR("function")), label(labels, STR("version")));
        if (row)
            *(double *)((char *)row + wanted[i].offset) += value;
    }
}

static void parse(struct top *t, struct str text)
{
    struct str line, prefix = STR("lambkin_function_");

    t->n_rows = 0;
    while (str_next(&text, '\n', &line)) {
        ptrdiff_t open = str_find_char(line, '{'), close = str_find_char(line, '}');
        char number[40];

        if (!str_starts(line, prefix) || open < 0 || close < open)
            continue;
        struct str value = str_trim(str_slice(line, (size_t)close + 1, line.len));
        snprintf(number, sizeof(number), "%.*s", STR_ARG(value));
        take(t, str_slice(line, prefix.len, (size_t)open),
             str_slice(line, (size_t)open + 1, (size_t)close), strtod(number, NULL));
    }
}

// What happened since the look before; everything, when there was none.
static struct row since(const struct top *t, const struct row *now)
{
    struct row d = *now;

    for (unsigned i = 0; i < t->n_before; i++) {
        const struct row *b = &t->before[i];
        if (!str_eq(b->function, now->function) || !str_eq(b->version, now->version))
            continue;
        d.invocations -= b->invocations;
        d.seconds -= b->seconds;
        d.count -= b->count;
    }
    return d;
}

static void show(struct top *t, bool again)
{
    if (again)
        printf("\033[H\033[2J");
    printf("%-32s %-8s %9s %8s %8s %7s %7s %7s %5s %5s %6s %5s\n", "FUNCTION", "VERSION", "TOTAL",
           again ? "PER S" : "", "MEAN MS", "ERRORS", "THROTTL", "COLD", "BUSY", "IDLE", "FROZEN",
           "WAIT");
    for (unsigned i = 0; i < t->n_rows; i++) {
        const struct row *r = &t->rows[i];
        struct row d = since(t, r);
        char rate[32] = "", mean[32] = "-";

        if (again)
            snprintf(rate, sizeof(rate), "%.0f", d.invocations / PERIOD_S);
        if (d.count > 0)
            snprintf(mean, sizeof(mean), "%.2f", d.seconds / d.count * 1000);
        printf("%-32.*s %-8.*s %9.0f %8s %8s %7.0f %7.0f %7.0f %5.0f %5.0f %6.0f %5.0f\n",
               STR_ARG(r->function), STR_ARG(r->version), r->invocations, rate, mean, r->errors,
               r->throttles, r->cold, r->busy + r->starting, r->idle, r->frozen, r->waiting);
    }
    if (t->n_rows == 0)
        printf("no function was called yet\n");
    fflush(stdout);
}

static void remember(struct top *t)
{
    arena_reset(&t->before_arena);
    t->n_before = t->n_rows;
    for (unsigned i = 0; i < t->n_rows; i++) {
        t->before[i] = t->rows[i];
        t->before[i].function = arena_str(&t->before_arena, t->rows[i].function);
        t->before[i].version = arena_str(&t->before_arena, t->rows[i].version);
    }
}

static int top(struct top *t, struct err *err)
{
    const struct timespec pause = {.tv_sec = PERIOD_S};
    bool again = !t->once && isatty(STDOUT_FILENO);

    do {
        const struct client_call call = {
            .service = "lambda", .method = "GET", .target = STR("/_lambkin/metrics")};
        struct http_client_response answer = {0};
        int r = client_call(&t->client, &call, &answer, err);

        if (r == 0) {
            parse(t, answer.body);
            show(t, again);
            remember(t);
        }
        http_client_response_finish(&answer);
        arena_reset(&t->client.arena);
        if (r < 0)
            return r;
        if (again)
            nanosleep(&pause, NULL);
    } while (again && !ferror(stdout));
    return 0;
}

int top_main(int argc, char **argv)
{
    static struct top t; // too large for a stack
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    client_init(&t.client);
    arena_init(&t.before_arena, 1 << 20);
    const struct arg table[] = {CLIENT_ARGS(&t.client), {.name = "--once", .flag = &t.once}};
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 0) {
        code = cli_verb_usage("top", EXIT_USAGE);
    } else {
        client_settle(&t.client);
        code = top(&t, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    arena_finish(&t.before_arena);
    client_finish(&t.client);
    return code;
}
