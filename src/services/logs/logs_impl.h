// logs_impl.h - what the files of the log service share.
#ifndef LAMBKIN_LOGS_LOGS_IMPL_H
#define LAMBKIN_LOGS_LOGS_IMPL_H

#include "engine/call.h"
#include "engine/engine.h"
#include "services/logs/log_group.h"
#include "wire/gen/logs_handlers.h"

// The call's group by name or, if that is absent, by identifier (a name or an ARN, with or without
// ":*"). ResourceNotFoundException; InvalidParameterException when both or none are given.
int logs_find_group(struct call *c, struct str name, struct str identifier, struct log_group **out,
                    struct err *err);
int logs_no_group(struct err *err);
int logs_no_stream(struct err *err);
// "log-group:<name>" ARN, without ":*".
struct str logs_group_arn(struct call *c, const struct log_group *g);
// Where a listing goes on: base64url of the last name, checked on the way back.
struct str logs_page_token(struct call *c, struct str last_name);
int logs_page_token_read(struct call *c, struct str token, struct str *last_name, struct err *err);

// Names a group in the tag table; the group's directory.
#define logs_tag_owner(g) str_from((g)->dir)

// Installs the sink of function logs (log_sink.h of the runtime).
void logs_sink_install(void);
void logs_sink_remove(void);

#endif
