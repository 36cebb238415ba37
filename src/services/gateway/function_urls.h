// function_urls.h - http://<id>.lambda-url.<region>.localhost:4566/ and /_url/<function>/…
#ifndef LAMBKIN_SERVICES_GATEWAY_FUNCTION_URLS_H
#define LAMBKIN_SERVICES_GATEWAY_FUNCTION_URLS_H

#include "base/err.h"

struct engine;
// While services start: adds the site.
int function_urls_register(struct engine *e, struct err *err);

#endif
