// head.c - heads of answers: status texts, fields, the date.
//
// Invariant: nothing a function or a client supplied can end a line of a head: line breaks in
// values become spaces, invalid names are left out.
#include "http/server_impl.h"

#include "base/cleanup.h"
#include "os/time.h"

#include <stdio.h>
#include <time.h>

static const struct {
    int status;
    const char *text;
} texts[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(int status)
{
    unsigned low = 0, high = ARRAY_LEN(texts);

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (texts[middle].status == status)
            return texts[middle].text;
        if (texts[middle].status < status)
            low = middle + 1;
        else
            high = middle;
    }
    return "Unknown";
}

bool http_head_owned(struct str name)
{
    switch (name.len) {
    case 7:
        return str_eq_nocase(name, STR("upgrade")) || str_eq_nocase(name, STR("trailer"));
    case 10:
        return str_eq_nocase(name, STR("connection")) || str_eq_nocase(name, STR("keep-alive"));
    case 14:
        return str_eq_nocase(name, STR("content-length"));
    case 16:
        return str_eq_nocase(name, STR("proxy-connection"));
    case 17:
        return str_eq_nocase(name, STR("transfer-encoding"));
    default:
        return false;
    }
}

// RFC 9110 section 5.6.2: tchar.
bool http_field_name_valid(struct str name)
{
    static const char other[] = "!#$%&'*+-.^_`|~";

    if (name.len == 0)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
            continue;
        if (c == 0 || !strchr(other, c))
            return false;
    }
    return true;
}

void http_head_field(struct buf *b, struct str name, struct str value)
{
    if (http_head_owned(name) || !http_field_name_valid(name) ||
        !buf_reserve(b, name.len + value.len + 4))
        return;
    char *p = b->ptr + b->len;
    memcpy(p, name.ptr, name.len);
    p += name.len;
    *p++ = ':';
    *p++ = ' ';
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        *p++ = (c < 0x20 && c != '\t') || c == 0x7f ? ' ' : (char)c;
    }
    *p++ = '\r';
    *p++ = '\n';
    b->len = (size_t)(p - b->ptr);
}

static void refresh_date(struct http_loop *h)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = (time_t)(os_now_ms() / 1000);
    struct tm tm;

    if (h->date_second == (int64_t)now)
        return;
    h->date_second = (int64_t)now;
    gmtime_r(&now, &tm);
    snprintf(h->date, sizeof h->date, "date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
             days + 3 * tm.tm_wday, tm.tm_mday % 100, months + 3 * tm.tm_mon,
             (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
}

void http_head_date(struct http_loop *h, struct buf *b)
{
    refresh_date(h);
    buf_add(b, (struct str){h->date, 37});
}

const char *http_date_value(struct http_loop *h, size_t *len)
{
    refresh_date(h);
    *len = 29;
    return h->date + 6;
}
