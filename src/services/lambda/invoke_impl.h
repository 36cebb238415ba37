// invoke_impl.h - an Invoke on its way, shared by the buffered and the streamed form.
#ifndef LAMBKIN_SERVICES_LAMBDA_INVOKE_IMPL_H
#define LAMBKIN_SERVICES_LAMBDA_INVOKE_IMPL_H

#include "services/lambda/lambda_impl.h"

enum invoke_type { INVOKE_SYNC, INVOKE_EVENT, INVOKE_DRY_RUN };

// In the request's arena.
struct invoke {
    struct call *call;
    struct invocation inv;
    enum invoke_type type;
    bool streaming;
    struct str qualifier;
    // streamed
    bool begun, waiting;
    struct buf frame;
};

// Adds X-Amz-Executed-Version and its like to the call.
void invoke_result_headers(struct invoke *i);
// streams.c: sets the sink and done.
void invoke_stream_prepare(struct invoke *i);

#endif
