// doctor.c - `lambkin doctor`: what this host offers, what is missing, and what mends it.
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/args.h"
#include "cli/verb.h"
#include "sandbox/host_facts.h"
#include "sandbox/interpreters.h"

#include <stdio.h>
#include <unistd.h>

static void show_facts(const struct host_facts *h, bool colour)
{
    const char *good = colour ? "\033[32m" : "", *bad = colour ? "\033[31m" : "",
               *so_so = colour ? "\033[33m" : "", *end = colour ? "\033[0m" : "";

    for (unsigned i = 0; i < h->n; i++) {
        const struct host_fact *f = &h->facts[i];
        printf("%s%-7s%s %-22s %s\n",
               f->ok       ? good
               : f->needed ? bad
                           : so_so,
               f->ok       ? "ok"
               : f->needed ? "MISSING"
                           : "without",
               end, f->name, f->detail);
        if (!f->ok && f->mend[0])
            printf("        mend: %s\n", f->mend);
    }
}

static void show_interpreters(const struct interpreters *in)
{
    for (unsigned i = 0; i < in->n; i++)
        printf("ok      %-22s %s\n", in->list[i].version, in->list[i].path);
}

static void write_json(const struct host_facts *h, const struct interpreters *in)
{
    struct buf b;
    struct json_writer w;

    buf_init(&b, 1 << 20);
    w = json_writer(&b);
    jw_object_begin(&w);
    jw_member_str(&w, "version", STR(LAMBKIN_VERSION));
    jw_member_bool(&w, "root", h->root);
    jw_member_bool(&w, "strict_possible", h->strict_possible);
    jw_key(&w, STR("facts"));
    jw_array_begin(&w);
    for (unsigned i = 0; i < h->n; i++) {
        jw_object_begin(&w);
        jw_member_str(&w, "name", str_from(h->facts[i].name));
        jw_member_bool(&w, "ok", h->facts[i].ok);
        jw_member_bool(&w, "needed", h->facts[i].needed);
        jw_member_str(&w, "detail", str_from(h->facts[i].detail));
        jw_member_str(&w, "mend", str_from(h->facts[i].mend));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_key(&w, STR("interpreters"));
    jw_array_begin(&w);
    for (unsigned i = 0; i < in->n; i++) {
        jw_object_begin(&w);
        jw_member_str(&w, "path", str_from(in->list[i].path));
        jw_member_str(&w, "version", str_from(in->list[i].version));
        jw_object_end(&w);
    }
    jw_array_end(&w);
    jw_object_end(&w);
    printf("%.*s\n", STR_ARG(buf_str(&b)));
    buf_finish(&b);
}

int doctor_main(int argc, char **argv)
{
    bool json = false;
    const struct arg table[] = {{.name = "--json", .flag = &json}};
    struct arg_words words;
    struct err err = ERR_INIT;
    struct host_facts facts;
    struct interpreters interpreters;

    if (args_parse(argc, argv, table, ARRAY_LEN(table), &words, &err) < 0) {
        cli_fail(&err);
        return EXIT_USAGE;
    }
    if (words.n != 0)
        return cli_verb_usage("doctor", EXIT_USAGE);
    host_facts_probe(&facts);
    interpreters_find(&interpreters);
    if (json || !isatty(STDOUT_FILENO)) {
        write_json(&facts, &interpreters);
    } else {
        show_facts(&facts, true);
        show_interpreters(&interpreters);
        printf("\n%s\n", facts.strict_possible
                             ? "strict isolation is to be had: `lambkin serve`"
                             : "strict isolation is not to be had; `lambkin serve --isolation "
                               "best-effort` runs with what there is");
    }
    return facts.strict_possible ? EXIT_FINE : EXIT_FAILED;
}
