// xml.h - a small bounded XML reader to a tree, and escaping for writers.
//
// Well-formed documents without DTD; the five named entities and character references only.
// Name-space prefixes are cut off names. Comments, processing instructions and the declaration
// are skipped. The tree lives in the arena and may borrow from the text.
#ifndef LAMBKIN_BASE_XML_H
#define LAMBKIN_BASE_XML_H

#include "arena.h"
#include "buf.h"
#include "err.h"

#define XML_MAX_DEPTH 64

struct xml_attribute {
    struct str name, value; // the name without its prefix; name spaces (xmlns…) are left out
    struct xml_attribute *next;
};

struct xml_node {
    struct str name; // without its prefix
    struct str text; // all character data directly inside, white space kept
    struct xml_attribute *attributes;
    struct xml_node *children, *next;
};

// -EINVAL malformed (err says where), -E2BIG too deep, -ENOMEM.
int xml_parse(struct arena *a, struct str text, struct xml_node **root, struct err *err);
// The first child of that name, or NULL; accepts NULL.
struct xml_node *xml_child(const struct xml_node *n, struct str name);
// Absent when there is none.
struct str xml_attribute_get(const struct xml_node *n, struct str name);
// Escaped for character data and for attribute values; control characters as references.
void xml_escape(struct buf *out, struct str s);

#endif
