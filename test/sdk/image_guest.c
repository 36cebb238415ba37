// image_guest.c - the program inside the images of test_images.py: answers, through the Runtime
// API, questions about what it sees. An event is one JSON string, "verb argument", without escapes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;
static char room[1 << 20], out[1 << 20];
static size_t out_len;

static void add(const char *text)
{
    size_t n = strlen(text);
    if (out_len + n < sizeof(out)) {
        memcpy(out + out_len, text, n + 1);
        out_len += n;
    }
}

static void add_string(const char *text, size_t n)
{
    char one[8];
    add("\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        snprintf(one, sizeof(one), c < 0x20 || c == '"' || c == '\\' || c > 126 ? "\\u%04x" : "%c",
                 c);
        add(one);
    }
    add("\"");
}

static void add_list(char **words)
{
    add("[");
    for (int i = 0; words[i]; i++) {
        add(i ? "," : "");
        add_string(words[i], strlen(words[i]));
    }
    add("]");
}

static void add_error(void)
{
    add("{\"error\":");
    add_string(strerrorname_np(errno), strlen(strerrorname_np(errno)));
    add("}");
}

static void about(char **argv)
{
    char cwd[4096] = "", id[64];
    add("{\"argv\":");
    add_list(argv);
    add(",\"env\":");
    add_list(environ);
    add(",\"cwd\":");
    add_string(cwd, getcwd(cwd, sizeof(cwd)) ? strlen(cwd) : 0);
    snprintf(id, sizeof(id), ",\"uid\":%u,\"pid\":%d}", (unsigned)getuid(), (int)getpid());
    add(id);
}

static void contents(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n < 0)
        add_error();
    else
        add_string(text, (size_t)n);
    if (fd >= 0)
        close(fd);
}

static void names(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    const char *comma = "";
    if (!d) {
        add_error();
        return;
    }
    add("[");
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            add(comma);
            add_string(e->d_name, strlen(e->d_name));
            comma = ",";
        }
    add("]");
    closedir(d);
}

static void status(const char *path)
{
    struct stat st;
    char text[200];
    if (lstat(path, &st) < 0) {
        add_error();
        return;
    }
    snprintf(text, sizeof(text), "{\"mode\":%u,\"links\":%u,\"inode\":%llu}", (unsigned)st.st_mode,
             (unsigned)st.st_nlink, (unsigned long long)st.st_ino);
    add(text);
}

static void create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1)
        add_error();
    else
        add("true");
    if (fd >= 0)
        close(fd);
}

static void answer(char *event, char **argv)
{
    char *verb = event, *argument;
    if (*verb == '"')
        verb++;
    verb[strcspn(verb, "\"")] = '\0';
    argument = strchr(verb, ' ');
    if (argument)
        *argument++ = '\0';
    out_len = 0;
    if (strcmp(verb, "read") == 0 && argument)
        contents(argument);
    else if (strcmp(verb, "list") == 0 && argument)
        names(argument);
    else if (strcmp(verb, "stat") == 0 && argument)
        status(argument);
    else if (strcmp(verb, "create") == 0 && argument)
        create(argument);
    else
        about(argv);
}

// One request, one answer with Content-Length; the body is left at *body.
static size_t exchange(int api, const char *request, char **body)
{
    size_t filled = 0, want = 0;
    char *end = NULL, *length;
    if (write(api, request, strlen(request)) != (ssize_t)strlen(request))
        exit(1);
    while (!end || filled < want) {
        ssize_t n = read(api, room + filled, sizeof(room) - 1 - filled);
        if (n <= 0)
            exit(0);
        filled += (size_t)n;
        room[filled] = '\0';
        if (!end && (end = strstr(room, "\r\n\r\n"))) {
            length = strcasestr(room, "\r\ncontent-length:");
            want = (size_t)(end - room) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
        }
    }
    *body = end + 4;
    return want;
}

int main(int argc, char **argv)
{
    const char *where = getenv("AWS_LAMBDA_RUNTIME_API");
    struct sockaddr_in to = {.sin_family = AF_INET};
    char name[64], *body;
    (void)argc;
    snprintf(name, sizeof(name), "%s", where ? where : "");
    char *port = strrchr(name, ':');
    if (!port)
        return 1;
    *port++ = '\0';
    to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    inet_pton(AF_INET, name, &to.sin_addr);
    int api = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(api, (struct sockaddr *)&to, sizeof(to)) < 0)
        return 1;
    for (;;) {
        static char request[(1 << 20) + 1024], id[128];
        exchange(api, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n",
                 &body);
        char *at = strcasestr(room, "\r\nlambda-runtime-aws-request-id:");
        if (!at || sscanf(at + 32, " %100[^\r]", id) != 1)
            return 1;
        answer(body, argv);
        snprintf(request, sizeof(request),
                 "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: api\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 id, out_len, out);
        exchange(api, request, &body);
    }
}
