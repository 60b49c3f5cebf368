/* The best server that we can write in C: the bound that `tcptool serve` is measured against.
 * `serve_best PORT BODY_FILE` serves that body on 127.0.0.1 until a signal.
 *
 * Clients are found by descriptor.  They are edge-triggered, and a read that gave less than it was
 * offered was the last one, so a request takes two system calls.  All requests of one read are
 * answered by one send.  A quiet client is 16 bytes; input is kept only while a head is incomplete.
 *
 * It reads no more of HTTP than where a head ends and whether the client wants to close: a bound,
 * not a web server.  Only bench/serve.py is meant to run it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MOST_EVENTS = 1024,
    READ_BYTES = 64 << 10,
    MOST_HEAD_BYTES = 16 << 10,
    COPIES = 64, /* of the answer in a row, so that a send holds many */
    ENDED = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
};

struct client {
    char *head; /* the beginning of one, or NULL */
    unsigned head_bytes : 31;
    unsigned closing : 1;
    unsigned unsent_bytes; /* of answers */
};

static struct client *clients; /* by descriptor */
static char *answers;
static size_t answer_bytes;
static char input[MOST_HEAD_BYTES + READ_BYTES];

static long check(long result, const char *doing)
{
    if (result < 0) {
        fprintf(stderr, "serve_best: %s: %s\n", doing, strerror(errno));
        exit(1);
    }
    return result;
}

static void drop(int fd)
{
    free(clients[fd].head);
    clients[fd] = (struct client){0};
    close(fd);
}

/* True when all is sent; false when the client has no room, or is gone. */
static bool send_answers(int fd)
{
    struct client *client = &clients[fd];
    while (client->unsent_bytes) {
        /* What is left ends where an answer ends. */
        size_t start = (answer_bytes - client->unsent_bytes % answer_bytes) % answer_bytes;
        size_t size = COPIES * answer_bytes - start;
        size = client->unsent_bytes < size ? client->unsent_bytes : size;
        ssize_t sent = send(fd, answers + start, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN)
                drop(fd);
            return false;
        }
        client->unsent_bytes -= sent;
    }
    if (client->closing)
        drop(fd);
    return !client->closing;
}

/* Takes the whole heads from the input; returns where the rest begins, or NULL if it is no good. */
static char *take_heads(struct client *client, char *from, const char *stop)
{
    const char *blank;
    while (!client->closing && (blank = memmem(from, stop - from, "\r\n\r\n", 4))) {
        if (memcmp(from, "GET /", 5))
            return NULL;
        client->closing = memmem(from, blank - from, "\r\nConnection: close", 19) != NULL;
        client->unsent_bytes += answer_bytes;
        from = (char *)blank + 4;
    }
    return from;
}

/* False if the rest is too long for a head. */
static bool keep_rest(struct client *client, const char *from, size_t size)
{
    if (size > MOST_HEAD_BYTES)
        return false;
    client->head = size ? malloc(size) : NULL;
    if (client->head)
        memcpy(client->head, from, size);
    client->head_bytes = size;
    return true;
}

/* ``ended``: the client sends no more, and no other event will tell. */
static void attend(int fd, bool ended)
{
    struct client *client = &clients[fd];
    ssize_t got = READ_BYTES;
    if (client->unsent_bytes && !send_answers(fd))
        return;
    while (got == READ_BYTES || ended) {
        size_t before = client->head_bytes;
        if (client->head) {
            memcpy(input, client->head, before);
            free(client->head);
            client->head = NULL;
            client->head_bytes = 0;
        }
        got = recv(fd, input + before, READ_BYTES, 0);
        if (got < 0 && errno == EAGAIN) {
            keep_rest(client, input, before);
            return;
        }
        if (got <= 0) {
            drop(fd);
            return;
        }
        char *stop = input + before + got, *rest = take_heads(client, input, stop);
        if (!rest || !keep_rest(client, rest, stop - rest)) {
            drop(fd);
            return;
        }
        if (!send_answers(fd))
            return; /* EPOLLOUT brings it back here, to what is unread */
    }
}

static void accept_all(int poller, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                    .data.fd = fd};
        check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "watching a client");
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        check(-1, "accepting");
}

static int new_listener(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "a socket");
    check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
    /* Clients inherit it. */
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), "TCP_NODELAY");
    check(bind(fd, (struct sockaddr *)&name, sizeof name), "binding");
    check(listen(fd, SOMAXCONN), "listening");
    return fd;
}

static void make_answers(const char *path)
{
    static char body[1 << 16];
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(body, 1, sizeof body, file) : 0;
    check(size ? 0 : -1, path);
    fclose(file);
    answers = malloc(COPIES * (size + 256));
    answer_bytes = sprintf(answers,
                           "HTTP/1.1 200 OK\r\n"
                           "Content-Type: text/html\r\n"
                           "Content-Length: %zu\r\n"
                           "\r\n",
                           size);
    memcpy(answers + answer_bytes, body, size);
    answer_bytes += size;
    for (int at = 1; at < COPIES; at++)
        memcpy(answers + at * answer_bytes, answers, answer_bytes);
}

int main(int argc, char **argv)
{
    struct epoll_event events[MOST_EVENTS];
    struct rlimit descriptors;
    if (argc != 3) {
        fprintf(stderr, "usage: serve_best PORT BODY_FILE\n");
        return 1;
    }
    make_answers(argv[2]);
    check(getrlimit(RLIMIT_NOFILE, &descriptors), "asking for the limit of descriptors");
    clients = calloc(descriptors.rlim_cur, sizeof *clients);
    int listener = new_listener(atoi(argv[1]));
    int poller = check(epoll_create1(EPOLL_CLOEXEC), "making an epoll");
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener};
    check(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "watching the listener");
    for (;;) {
        int count = epoll_wait(poller, events, MOST_EVENTS, -1);
        check(count < 0 && errno == EINTR ? 0 : count, "waiting");
        for (int at = 0; at < count; at++) {
            if (events[at].data.fd == listener)
                accept_all(poller, listener);
            else
                attend(events[at].data.fd, events[at].events & ENDED);
        }
    }
}
