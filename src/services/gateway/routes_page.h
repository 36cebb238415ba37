// routes_page.h - GET /_lambkin/routes: what answers where, for `lambkin routes`. Signed, any
// service.
#ifndef LAMBKIN_SERVICES_GATEWAY_ROUTES_PAGE_H
#define LAMBKIN_SERVICES_GATEWAY_ROUTES_PAGE_H

#include "base/err.h"

struct engine;
// While services start: adds the site.
int routes_page_register(struct engine *e, struct err *err);

#endif
