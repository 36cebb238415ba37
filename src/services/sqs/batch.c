// batch.c - what the three batch operations share: the rules for ids, and the list of failures.
#include "services/sqs/sqs_impl.h"

int sqs_batch_check_size(size_t n, const char *type, struct err *err)
{
    if (n == 0)
        return err_aws(err, &SQS_EMPTY_BATCH_REQUEST,
                       "There should be at least one %s in the request.", type);
    if (n > SQS_MAX_BATCH)
        return err_aws(err, &SQS_TOO_MANY_ENTRIES_IN_BATCH_REQUEST,
                       "Maximum number of entries per request are 10. You have sent %zu.", n);
    return 0;
}

int sqs_batch_check_id(struct str id, size_t at, struct str (*id_at)(const void *, size_t),
                       const void *entries, struct err *err)
{
    bool ok = id.len >= 1 && id.len <= 80;
    for (size_t i = 0; ok && i < id.len; i++) {
        char x = id.ptr[i];
        ok = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') ||
             x == '-' || x == '_';
    }
    if (!ok)
        return err_aws(err, &SQS_INVALID_BATCH_ENTRY_ID,
                       "A batch entry id can only contain alphanumeric characters, hyphens and "
                       "underscores. It can be at most 80 letters long.");
    for (size_t i = 0; i < at; i++) {
        if (str_eq(id, id_at(entries, i)))
            return err_aws(err, &SQS_BATCH_ENTRY_IDS_NOT_DISTINCT, "Id %.*s repeated.",
                           STR_ARG(id));
    }
    return 0;
}

void sqs_batch_failed(struct call *c, struct sqs_batch_result_error_entry_list *failed,
                      struct str id, const struct err *why)
{
    struct sqs_batch_result_error_entry *e = &failed->ptr[failed->n++];
    e->id = id;
    WIRE_SET(e, sender_fault, why->aws == NULL || why->aws->client_fault);
    if (why->aws)
        e->code = str_from(why->aws->query_code ? why->aws->query_code : why->aws->code);
    else
        e->code = STR("InternalError");
    e->message = arena_str(c->arena, str_from(why->aws ? why->message : "Internal failure."));
}

void sqs_batch_trim(struct sqs_batch_result_error_entry_list *failed)
{
    if (failed->n == 0)
        failed->ptr = NULL;
}
