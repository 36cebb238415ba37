// host.c - what a Host header says: label, service and region.
//
// Pure. Only names under .localhost, .amazonaws.com and .on.aws say anything, and .localhost ones
// only when a word in them is a service we know: anything else is a plain address.
#include "engine/sites.h"

// The first word of a service's host name, where it differs from nothing else.
static const char *const services[] = {
    "lambda-url",
    "execute-api",
    "lambda",
    "logs",
    "sqs",
    "queue",
    "sts",
    "iam",
    "sns",
    "events",
    "s3",
    "s3-website",
    "dynamodb",
    "kinesis",
    "monitoring",
    "apigateway",
    "scheduler",
    "states",
    "kms",
    "ssm",
    "secretsmanager",
    "cloudformation",
    "xray",
    "tagging",
    "pipes",
    "ses",
    "email",
};

static bool is_service(struct str word)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (str_eq_nocase(word, str_from(services[i])))
            return true;
    return false;
}

// "us-east-1", "eu-west-3", "us-gov-west-1": letters, letters, …, digits.
static bool is_region(struct str word)
{
    unsigned dashes = 0;

    if (word.len < 8 || word.len > 20)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        if (c == '-')
            dashes++;
        else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    char last = word.ptr[word.len - 1];
    return dashes >= 2 && last >= '0' && last <= '9' && word.ptr[word.len - 2] == '-';
}

static struct str without_port(struct str host)
{
    ptrdiff_t colon = str_find_char(host, ':');

    return colon < 0 ? host : str_slice(host, 0, (size_t)colon);
}

static bool cut_suffix(struct str *host, struct str suffix)
{
    if (host->len <= suffix.len)
        return false;
    struct str end = str_slice(*host, host->len - suffix.len, host->len);
    if (!str_eq_nocase(end, suffix))
        return false;
    host->len -= suffix.len;
    return true;
}

bool host_name_parse(struct str host, struct host_name *out)
{
    struct host_name h = {0};
    struct str rest, word, label_end = STR_NULL;
    bool known = false;

    host = without_port(host);
    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.ptr[0] == '[')
        return false;
    if (!cut_suffix(&host, STR(".localhost.localstack.cloud")) &&
        !cut_suffix(&host, STR(".localhost")) && !cut_suffix(&host, STR(".amazonaws.com")) &&
        !cut_suffix(&host, STR(".on.aws")))
        return false;

    rest = host;
    while (str_next(&rest, '.', &word)) {
        if (word.len == 0)
            return false;
        if (str_is_null(h.service) && is_service(word)) {
            h.service = word;
            known = true;
        } else if (str_is_null(h.region) && is_region(word)) {
            h.region = word;
        } else if (str_is_null(h.service) && str_is_null(h.region)) {
            label_end = word; // a bucket's name may have dots: the label runs on
        } else {
            return false;
        }
    }
    if (!known)
        return false;
    if (!str_is_null(label_end))
        h.label = (struct str){host.ptr, (size_t)(label_end.ptr + label_end.len - host.ptr)};
    *out = h;
    return true;
}
