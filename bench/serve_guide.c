/* A server of the shape of the guide's epoll listing: one of those that `tcptool serve` is
 * measured against.  `serve_guide PORT BODY_FILE` serves that body on 127.0.0.1 until a signal.
 *
 * Its shape is the guide's: 4 KiB for each client in one array, found by a walk along it, moved
 * when another leaves; at most 1000 events at a time; one accept for each wake-up; edge-triggered
 * clients that are read until EAGAIN, so three system calls for each request; the time asked for
 * at each read; the whole buffer cleared after each request, so pipelined requests get a single
 * answer.
 *
 * Mended is what makes a client wait for ever: the length is right, any path is answered,
 * `Connection: close` is obeyed, a head that is too long ends the connection.  It prints nothing,
 * and closes no idle client, so that an idle load stays.  Only bench/serve.py is meant to run it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_EVENTS = 1000, BUFFER_BYTES = 4096, MOST_CLIENTS = 10000 };

struct client {
    int fd;
    char buffer[BUFFER_BYTES];
    size_t used;
    time_t last_activity; /* for a reaper that is left out */
};

static struct client clients[MOST_CLIENTS];
static int client_count;

static char *answer;
static size_t answer_size;

static long check(long result, const char *doing)
{
    if (result < 0) {
        fprintf(stderr, "serve_guide: %s: %s\n", doing, strerror(errno));
        exit(1);
    }
    return result;
}

/* -- the array of clients -------------------------------------------------------------------- */

static struct client *register_client(int fd)
{
    if (client_count == MOST_CLIENTS)
        return NULL;
    struct client *client = &clients[client_count++];
    client->fd = fd;
    client->used = 0;
    client->last_activity = time(NULL);
    return client;
}

static struct client *find_client(int fd)
{
    for (int at = 0; at < client_count; at++)
        if (clients[at].fd == fd)
            return &clients[at];
    return NULL;
}

static void unregister_client(int fd)
{
    struct client *client = find_client(fd);
    if (client)
        *client = clients[--client_count];
}

static void disconnect(int poller, int fd)
{
    epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
    unregister_client(fd);
}

/* -- requests -------------------------------------------------------------------------------- */

/* False if the connection is to end. */
static bool answer_request(struct client *client)
{
    bool keep = !strstr(client->buffer, "\r\nConnection: close\r\n");
    if (strncmp(client->buffer, "GET /", 5))
        return false;
    if (send(client->fd, answer, answer_size, MSG_NOSIGNAL) != (ssize_t)answer_size)
        return false;
    client->used = 0;
    memset(client->buffer, 0, BUFFER_BYTES);
    return keep;
}

static void handle_client(int poller, struct client *client)
{
    int fd = client->fd;
    ssize_t got;
    while ((got = recv(fd, client->buffer + client->used, BUFFER_BYTES - client->used - 1, 0)) >
           0) {
        client->used += got;
        client->buffer[client->used] = '\0';
        client->last_activity = time(NULL);
        if (strstr(client->buffer, "\r\n\r\n") && !answer_request(client)) {
            disconnect(poller, fd);
            return;
        }
        if (client->used == BUFFER_BYTES - 1)
            break;
    }
    if (got >= 0 || errno != EAGAIN)
        disconnect(poller, fd);
}

/* -- the loop -------------------------------------------------------------------------------- */

static bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL, 0);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

static void accept_one(int poller, int listener)
{
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    int fd = accept(listener, (struct sockaddr *)&name, &size);
    if (fd < 0)
        return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    if (!set_nonblocking(fd) || !register_client(fd))
        close(fd);
    else
        check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "watching a client");
}

static int new_listener(int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, fd = check(socket(AF_INET, SOCK_STREAM, 0), "making a socket");
    check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
    if (!set_nonblocking(fd))
        check(-1, "making the listener non-blocking");
    check(bind(fd, (struct sockaddr *)&name, sizeof name), "binding");
    check(listen(fd, SOMAXCONN), "listening");
    return fd;
}

static void make_answer(const char *path)
{
    static char body[1 << 16];
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(body, 1, sizeof body, file) : 0;
    check(size ? 0 : -1, path);
    fclose(file);
    answer = malloc(size + 256);
    answer_size = sprintf(answer,
                          "HTTP/1.1 200 OK\r\n"
                          "Content-Type: text/html\r\n"
                          "Content-Length: %zu\r\n"
                          "Connection: keep-alive\r\n"
                          "\r\n",
                          size);
    memcpy(answer + answer_size, body, size);
    answer_size += size;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: serve_guide PORT BODY_FILE\n");
        return 1;
    }
    make_answer(argv[2]);
    struct epoll_event events[MOST_EVENTS];
    int listener = new_listener(atoi(argv[1]));
    int poller = check(epoll_create1(EPOLL_CLOEXEC), "making an epoll");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    check(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event), "watching the listener");
    for (;;) {
        int count = epoll_wait(poller, events, MOST_EVENTS, 1000);
        check(count < 0 && errno == EINTR ? 0 : count, "waiting");
        for (int at = 0; at < count; at++) {
            if (events[at].data.fd == listener) {
                accept_one(poller, listener);
            } else {
                struct client *client = find_client(events[at].data.fd);
                if (client)
                    handle_client(poller, client);
            }
        }
    }
}
