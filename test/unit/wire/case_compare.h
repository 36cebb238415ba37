// case_compare.h - structures against the plain JSON of a case, and bodies against bodies.
#ifndef LAMBKIN_TEST_CASE_COMPARE_H
#define LAMBKIN_TEST_CASE_COMPARE_H

#include "base/json.h"
#include "base/xml.h"
#include "wire/wire.h"

// Fills a zeroed structure from a case's parameters: blobs are plain text there, timestamps epoch
// seconds, documents any JSON.
void case_fill(const struct wire_service *s, unsigned shape, const struct json_value *v,
               struct arena *a, void *out);
// Is the structure what the parameters say? Otherwise `why` names the place. Absent and empty
// lists and maps are the same where no protocol can tell them apart (loose).
bool case_same(const struct wire_service *s, unsigned shape, const struct json_value *v,
               const void *at, bool loose, char why[static 256]);
bool case_json_same(const struct json_value *a, const struct json_value *b);
// Children in any order between different names; white space around text does not count.
bool case_xml_same(const struct xml_node *a, const struct xml_node *b);

#endif
