// migrations.c - bringing a database file up to the schema that this program knows.
//
// Invariant: PRAGMA user_version is the number of migrations that were applied; each is applied
// together with its number in one transaction, so a crash leaves a file between two of them.
#include "base/buf.h"
#include "store_impl.h"

#include <errno.h>

#define MIGRATION_MAX_BYTES ((size_t)1 << 20)

// What the two databases spell differently.
static const struct {
    struct str token, sqlite;
} tokens[] = {
    {STR_INIT("{id}"), STR_INIT("INTEGER PRIMARY KEY AUTOINCREMENT")},
    {STR_INIT("{clustered}"), STR_INIT("WITHOUT ROWID")},
};

static void expand(struct buf *out, struct str sql)
{
    while (sql.len > 0) {
        size_t skip = 1;
        struct str put = str_slice(sql, 0, 1);
        for (size_t i = 0; sql.ptr[0] == '{' && i < ARRAY_LEN(tokens); i++) {
            if (str_starts(sql, tokens[i].token)) {
                skip = tokens[i].token.len;
                put = tokens[i].sqlite;
            }
        }
        buf_add(out, put);
        sql = str_slice(sql, skip, sql.len);
    }
}

static int apply(struct store_conn *c, const struct store_migration *m, unsigned number,
                 struct err *err)
{
    _cleanup_(buf_finishp) struct buf script = {0};
    struct err ignored;
    int r;

    buf_init(&script, MIGRATION_MAX_BYTES);
    buf_add(&script, STR("BEGIN IMMEDIATE;"));
    expand(&script, str_from(m->sql));
    buf_addf(&script, ";PRAGMA user_version = %u;COMMIT;", number);
    buf_add_char(&script, '\0');
    if (script.failed)
        return err_set(err, -ENOMEM, "migration %u (%s) is too large", number, m->name);
    r = conn_script(c, script.ptr, err);
    if (r < 0) {
        if (!conn_lost_transaction(c))
            conn_script(c, "ROLLBACK", &ignored);
        err_wrap(err, "migration %u (%s)", number, m->name);
    }
    return r;
}

static int read_version(struct store_conn *c, int64_t *version, struct err *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(c->db, "PRAGMA user_version", -1, &s, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        *version = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return code == SQLITE_ROW ? 0 : conn_error(c, code, err);
}

int migrations_apply(struct store_conn *c, const struct store_migration *m, unsigned n,
                     struct err *err)
{
    int64_t version = 0;
    int r;

    r = read_version(c, &version, err);
    if (r < 0)
        return r;
    if (version < 0 || version > n)
        return err_set(err, -ENOTSUP,
                       "database %s was written by a newer version (schema %lld, known %u)",
                       c->tx.store->path, (long long)version, n);
    for (unsigned i = (unsigned)version; i < n; i++) {
        r = apply(c, &m[i], i + 1, err);
        if (r < 0)
            return r;
    }
    return 0;
}
