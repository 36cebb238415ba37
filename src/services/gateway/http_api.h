// http_api.h - http://<id>.execute-api.<region>.localhost:4566/<stage>/…, /_api/<id>/<stage>/…, and
// custom domain names.
#ifndef LAMBKIN_SERVICES_GATEWAY_HTTP_API_H
#define LAMBKIN_SERVICES_GATEWAY_HTTP_API_H

#include "base/err.h"

struct engine;
// While services start: adds the site.
int http_api_register(struct engine *e, struct err *err);

#endif
