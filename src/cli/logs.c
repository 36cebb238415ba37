// logs.c - `lambkin logs FUNCTION [-f]`: FilterLogEvents over all streams, oldest first.
//
// Following asks again for what is newer than the newest event seen, and for the second before it:
// streams are written independently, so an event may come after another that is newer. Which of
// them were shown is known by their ids, kept for as long as they can be asked for.
#include "cli/logs.h"

#include "base/cleanup.h"
#include "base/timefmt.h"
#include "cli/verb.h"
#include "os/time.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define FOLLOW_MS 400
#define MAX_SHOWN_BYTES ((size_t)64 << 20)
#define LATE_MS 1000 // how much later than a newer one an event may come

// "90s", "10m", "2h", "1d" before now.
static int parse_since(const char *text, int64_t *ms, struct err *err)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    struct str s = str_from(text);
    int64_t n;

    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (s.len > 1 && s.ptr[s.len - 1] == units[i].unit &&
            str_to_i64(str_slice(s, 0, s.len - 1), &n) == 0 && n >= 0 && n < 1000000) {
            *ms = os_now_ms() - n * units[i].ms;
            return 0;
        }
    return err_set(err, -EINVAL, "--since: such as 90s, 10m, 2h, 1d, not \"%s\"", text);
}

// Two stretches of at least LATE_MS each hold every id that a look can see again.
static void turn(struct logs *l)
{
    struct logs_shown old = l->shown[1];

    l->shown[1] = l->shown[0];
    l->shown[0] = old;
    l->turned_ms = l->newest_ms;
    map_clear(&l->shown[0].ids);
    arena_reset(&l->shown[0].arena);
}

static bool is_new(struct logs *l, struct str id, int64_t ms)
{
    if (map_get(&l->shown[0].ids, id) || map_get(&l->shown[1].ids, id))
        return false;
    if (ms > l->newest_ms)
        l->newest_ms = ms;
    if (l->newest_ms > l->turned_ms + 2 * LATE_MS)
        turn(l);
    // Without memory for it the event may be shown twice: better than not at all.
    id = arena_str(&l->shown[0].arena, id);
    if (l->follow && !str_is_null(id))
        map_set(&l->shown[0].ids, id, l, NULL);
    return true;
}

void logs_init(struct logs *l)
{
    *l = (struct logs){0};
    client_init(&l->client);
    for (unsigned i = 0; i < ARRAY_LEN(l->shown); i++)
        arena_init(&l->shown[i].arena, MAX_SHOWN_BYTES);
}

void logs_finish(struct logs *l)
{
    for (unsigned i = 0; i < ARRAY_LEN(l->shown); i++) {
        map_finish(&l->shown[i].ids);
        arena_finish(&l->shown[i].arena);
    }
    client_finish(&l->client);
}

static void show(struct logs *l, const struct json_value *event)
{
    char time[TIMEFMT_BYTES];
    int64_t ms = json_get_i64_or(event, "timestamp", 0);
    struct str message = json_get_or(event, "message", STR(""));

    if (!is_new(l, json_get_or(event, "eventId", STR("")), ms))
        return;
    if (l->client.json) {
        printf("%.*s\n", STR_ARG(event->raw));
        return;
    }
    while (message.len > 0 && message.ptr[message.len - 1] == '\n')
        message.len--;
    printf("%.*s  %.*s\n", STR_ARG(timefmt_iso(ms, time)), STR_ARG(message));
}

static void write_request(const struct logs *l, struct buf *body, int64_t from_ms, struct str token)
{
    struct json_writer w = json_writer(body);

    jw_object_begin(&w);
    jw_key(&w, STR("logGroupName"));
    jw_strf(&w, "%s%s", l->function[0] == '/' ? "" : "/aws/lambda/", l->function);
    if (from_ms > 0)
        jw_member_i64(&w, "startTime", from_ms);
    if (l->filter)
        jw_member_str(&w, "filterPattern", str_from(l->filter));
    if (token.len > 0)
        jw_member_str(&w, "nextToken", token);
    jw_object_end(&w);
}

int logs_look(struct logs *l, struct err *err)
{
    struct arena tokens;
    struct str token = STR_NULL;
    int64_t late_ms = l->newest_ms - LATE_MS,
            from_ms = late_ms > l->begin_ms ? late_ms : l->begin_ms;
    int r;

    arena_init(&tokens, 1 << 20);
    do {
        struct http_client_response answer = {0};
        const struct json_value *v, *events;
        struct buf body;

        buf_init(&body, 1 << 20);
        write_request(l, &body, from_ms, token);
        r = client_call_json(&l->client, "logs", "Logs_20140328.FilterLogEvents", buf_str(&body),
                             &answer, err);
        buf_finish(&body);
        if (r == 0)
            r = client_parse(&l->client, &answer, &v, err);
        else if (strstr(err->message, "ResourceNotFoundException"))
            r = -ENOENT;
        if (r == 0) {
            events = json_get(v, "events");
            json_each(event, events) show(l, event);
            token = arena_str(&tokens, json_get_or(v, "nextToken", STR_NULL));
        }
        http_client_response_finish(&answer);
        arena_reset(&l->client.arena);
    } while (r == 0 && token.len > 0);
    arena_finish(&tokens);
    fflush(stdout);
    return r;
}

static int logs(struct logs *l, struct err *err)
{
    const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
    int r = 0;

    if (l->since)
        r = parse_since(l->since, &l->begin_ms, err);
    while (r == 0) {
        r = logs_look(l, err);
        if (r == -ENOENT && l->follow)
            r = 0; // it has not been called yet
        if (!l->follow || r < 0 || ferror(stdout))
            break;
        nanosleep(&pause, NULL);
    }
    return r;
}

int logs_main(int argc, char **argv)
{
    struct logs l;
    struct arg_words words;
    struct err err = ERR_INIT;
    int code;

    logs_init(&l);
    const struct arg table[] = {
        CLIENT_ARGS(&l.client),
        {.name = "--follow", .brief = "-f", .flag = &l.follow},
        {.name = "--since", .value = &l.since},
        {.name = "--filter", .value = &l.filter},
    };
    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        code = EXIT_USAGE;
    } else if (words.n != 1) {
        code = cli_verb_usage("logs", EXIT_USAGE);
    } else {
        bool json = l.client.json;
        client_settle(&l.client);
        l.client.json = json; // lines are for people and for grep alike
        l.function = words.words[0];
        code = logs(&l, &err) < 0 ? cli_fail(&err) : EXIT_FINE;
    }
    logs_finish(&l);
    return code;
}
