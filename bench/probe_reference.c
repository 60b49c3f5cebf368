/* The loops of tcptool/traffic once more, in C: what `tcptool probe` is measured against.
 *
 * A file goes over loopback connections that last, one for each method, to a forked receiver, in
 * slices that take turns in a random order.  Each slice that counts is one line of output:
 *
 *     METHOD BYTES SECONDS SENDER_CPU_SECONDS RECEIVER_CPU_SECONDS
 *
 * Calls, chunks, buffers, waits and the clock's start and stop are those of transfer.py,
 * transports.py, line.py and receivers.py: a change there belongs here too.  Any error ends it
 * with a message and status 1.  Only bench/probe.py is meant to run it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* include/uapi/asm-generic/mman-common.h, Linux 5.14 */
#endif

enum {
    /* The defaults of `tcptool probe`. */
    WARMUP_ROUNDS = 2,
    VECTORS = 16,
    PIPE_BYTES = 1 << 20,
    TIMEOUT_MS = 10000,
    /* From transports.py and line.py: the first vector, and how buffers move within a page. */
    HEADER_BYTES = 256,
    STEP_BYTES = 64,
    PAGE_BYTES = 4096,

    MOST_METHODS = 16,
};

static size_t chunk_bytes;

static void die(const char *doing)
{
    fprintf(stderr, "probe_reference: %s: %s\n", doing, strerror(errno));
    exit(1);
}

static void refuse(const char *why)
{
    fprintf(stderr, "probe_reference: %s\n", why);
    exit(1);
}

static long check(long result, const char *doing)
{
    if (result < 0)
        die(doing);
    return result;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void stay_on(int processor)
{
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(processor, &only);
    check(sched_setaffinity(0, sizeof only, &only), "choosing a processor");
}

static void open_pipe(int ends[2])
{
    check(pipe2(ends, O_CLOEXEC), "making a pipe");
    check(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), "sizing a pipe");
}

/* -- buffers --------------------------------------------------------------------------------- */

struct room {
    char *pages;
    size_t offset;
};

static struct room new_room(void)
{
    struct room room = {mmap(NULL, chunk_bytes + PAGE_BYTES, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0), 0};
    if (room.pages == MAP_FAILED)
        die("making a buffer");
    return room;
}

static void turn(struct room *room)
{
    room->offset = (room->offset + STEP_BYTES) % PAGE_BYTES;
}

/* -- sending --------------------------------------------------------------------------------- */

struct source {
    int fd;
    char *pages;
    size_t size;
};

struct line {
    int fd;
    int pipe[2];
    struct room room;
    uint32_t zerocopy_sends, zerocopy_completed;
};

static struct source open_source(const char *name)
{
    struct source source;
    struct stat facts;
    source.fd = check(open(name, O_RDONLY | O_CLOEXEC), name);
    check(fstat(source.fd, &facts), name);
    source.size = facts.st_size;
    source.pages = mmap(NULL, source.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, source.fd, 0);
    if (source.pages == MAP_FAILED)
        die("mapping the file");
    madvise(source.pages, source.size, MADV_POPULATE_READ); /* older kernels cannot */
    return source;
}

static void note_completions(struct line *line, struct msghdr *message)
{
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        struct sock_extended_err error;
        if (one->cmsg_level != IPPROTO_IP || one->cmsg_type != IP_RECVERR)
            continue;
        memcpy(&error, CMSG_DATA(one), sizeof error);
        if (error.ee_origin == SO_EE_ORIGIN_ZEROCOPY)
            line->zerocopy_completed += error.ee_data - error.ee_info + 1;
    }
}

/* Empty the error queue. */
static void read_errors(struct line *line)
{
    bool found = false;
    for (;; found = true) {
        union {
            char bytes[256];
            struct cmsghdr aligned;
        } control;
        struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof control};
        if (recvmsg(line->fd, &message, MSG_ERRQUEUE) < 0) {
            if (errno != EAGAIN)
                die("reading the error queue");
            break;
        }
        note_completions(line, &message);
    }
    socklen_t size = sizeof errno;
    if (!found && getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &errno, &size) == 0 && errno)
        die("sending");
}

static void wait_for(struct line *line, short events)
{
    struct pollfd asked = {.fd = line->fd, .events = events};
    if (check(poll(&asked, 1, TIMEOUT_MS), "waiting") == 0)
        refuse("the receiver took nothing for 10 s");
    if (asked.revents & POLLERR)
        read_errors(line);
}

static void wait_for_completions(struct line *line)
{
    uint32_t before = line->zerocopy_completed;
    while (line->zerocopy_completed == before && before != line->zerocopy_sends)
        wait_for(line, 0);
}

static void send_all(struct line *line, const char *bytes, size_t size, int flags)
{
    while (size) {
        ssize_t sent = send(line->fd, bytes, smaller(size, chunk_bytes), flags);
        if (sent >= 0) {
            line->zerocopy_sends += flags != 0;
            bytes += sent;
            size -= sent;
        } else if (errno == EAGAIN) {
            wait_for(line, POLLOUT);
        } else if (errno == ENOBUFS && line->zerocopy_completed != line->zerocopy_sends) {
            wait_for_completions(line);
        } else {
            die("sending");
        }
    }
}

/* The next chunk of the file, in the line's buffer. */
static size_t read_chunk(struct line *line, const struct source *source, size_t start, size_t stop)
{
    struct iovec whole = {line->room.pages + line->room.offset, smaller(stop - start, chunk_bytes)};
    ssize_t got = check(preadv(source->fd, &whole, 1, start), "reading the file");
    if (!got)
        refuse("the file became shorter");
    return got;
}

static void with_send(struct line *line, const struct source *source, size_t start, size_t stop)
{
    while (start < stop) {
        size_t got = read_chunk(line, source, start, stop);
        send_all(line, line->room.pages + line->room.offset, got, 0);
        start += got;
    }
}

/* A header, and the rest in equal pieces; returns how many. */
static int split(struct iovec *vectors, char *bytes, size_t size)
{
    int count = 0;
    size_t header = size > HEADER_BYTES ? HEADER_BYTES : size;
    size_t step = (size - header + VECTORS - 2) / (VECTORS - 1);
    vectors[count++] = (struct iovec){bytes, header};
    for (size_t at = header; at < size; at += step)
        vectors[count++] = (struct iovec){bytes + at, smaller(step, size - at)};
    return count;
}

static void with_writev(struct line *line, const struct source *source, size_t start, size_t stop)
{
    while (start < stop) {
        struct iovec vectors[VECTORS], *next = vectors;
        size_t got = read_chunk(line, source, start, stop);
        int left = split(vectors, line->room.pages + line->room.offset, got);
        while (left) {
            ssize_t sent = writev(line->fd, next, left);
            if (sent < 0) {
                if (errno != EAGAIN)
                    die("writev");
                wait_for(line, POLLOUT);
                continue;
            }
            for (; left && (size_t)sent >= next->iov_len; next++, left--)
                sent -= next->iov_len;
            if (left) {
                next->iov_base = (char *)next->iov_base + sent;
                next->iov_len -= sent;
            }
        }
        start += got;
    }
}

static void with_sendfile(struct line *line, const struct source *source, size_t start, size_t stop)
{
    off_t at = start;
    while ((size_t)at < stop) {
        ssize_t sent = sendfile(line->fd, source->fd, &at, smaller(stop - at, chunk_bytes));
        if (sent == 0)
            refuse("the file became shorter");
        if (sent < 0) {
            if (errno != EAGAIN)
                die("sendfile");
            wait_for(line, POLLOUT);
        }
    }
}

/* Everything in the pipe goes to the socket; ``more`` is to come after it. */
static void drain(struct line *line, size_t in_pipe, bool more)
{
    unsigned flags = SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0);
    while (in_pipe) {
        ssize_t moved = splice(line->pipe[0], NULL, line->fd, NULL, in_pipe, flags);
        if (moved == 0)
            refuse("the file became shorter");
        if (moved > 0) {
            in_pipe -= moved;
        } else {
            if (errno != EAGAIN)
                die("splice to the socket");
            wait_for(line, POLLOUT);
        }
    }
}

static void with_splice(struct line *line, const struct source *source, size_t start, size_t stop)
{
    off_t at = start;
    while ((size_t)at < stop) {
        size_t size = smaller(stop - at, chunk_bytes);
        ssize_t got = splice(source->fd, &at, line->pipe[1], NULL, size, SPLICE_F_MOVE);
        if (check(got, "splice from the file") == 0)
            refuse("the file became shorter");
        drain(line, got, (size_t)at < stop);
    }
}

static void with_mmap(struct line *line, const struct source *source, size_t start, size_t stop)
{
    send_all(line, source->pages + start, stop - start, 0);
}

static void with_zerocopy(struct line *line, const struct source *source, size_t start, size_t stop)
{
    send_all(line, source->pages + start, stop - start, MSG_ZEROCOPY);
}

static void with_vmsplice(struct line *line, const struct source *source, size_t start, size_t stop)
{
    while (start < stop) {
        struct iovec whole = {source->pages + start, smaller(stop - start, chunk_bytes)};
        size_t got = check(vmsplice(line->pipe[1], &whole, 1, SPLICE_F_NONBLOCK), "vmsplice");
        start += got;
        drain(line, got, start < stop);
    }
}

typedef void transport(struct line *, const struct source *, size_t start, size_t stop);

static const struct method {
    const char *name;
    transport *send;
} methods[] = {
    {"send", with_send},         {"writev", with_writev}, {"sendfile", with_sendfile},
    {"splice", with_splice},     {"mmap", with_mmap},     {"zerocopy", with_zerocopy},
    {"vmsplice", with_vmsplice},
};

static const struct method *method_named(const char *name)
{
    for (size_t at = 0; at < sizeof methods / sizeof *methods; at++)
        if (!strcmp(methods[at].name, name))
            return &methods[at];
    refuse("there is no such method");
    return NULL;
}

/* -- receiving ------------------------------------------------------------------------------- */

struct receiver {
    int fd;
    int pipe[2];
    int null;
    struct room room;
};

static void take_in(struct receiver *from, size_t size, int flags)
{
    while (size) {
        char *room = from->room.pages + from->room.offset;
        ssize_t got = recv(from->fd, room, smaller(size, chunk_bytes), flags);
        if (check(got, "receiving") == 0)
            refuse("the sender stopped early");
        size -= got;
    }
}

static void with_recv(struct receiver *from, size_t size)
{
    take_in(from, size, 0);
}

static void with_discard(struct receiver *from, size_t size)
{
    take_in(from, size, MSG_TRUNC);
}

static void through_pipe(struct receiver *from, size_t size)
{
    while (size) {
        size_t wanted = smaller(size, chunk_bytes);
        ssize_t got = splice(from->fd, NULL, from->pipe[1], NULL, wanted, SPLICE_F_MOVE);
        if (check(got, "splice from the socket") == 0)
            refuse("the sender stopped early");
        size -= got;
        while (got)
            got -= check(splice(from->pipe[0], NULL, from->null, NULL, got, SPLICE_F_MOVE),
                         "splice to /dev/null");
    }
}

typedef void intake(struct receiver *, size_t size);

static intake *intake_named(const char *name)
{
    if (!strcmp(name, "recv"))
        return with_recv;
    if (!strcmp(name, "discard"))
        return with_discard;
    if (!strcmp(name, "splice"))
        return through_pipe;
    refuse("there is no such receiver");
    return NULL;
}

/* -- two processes --------------------------------------------------------------------------- */

struct plan {
    const char *congestion; /* empty: what this host uses anyway */
    int near, far;
    intake *receive;
    int count;
    const struct method *methods[MOST_METHODS];
};

/* To the receiver: take in so many bytes of a line; of line FINISH: see that all have ended. */
struct order {
    int line;
    size_t size;
};
enum { FINISH = -1 };

struct answer {
    double ended_s, cpu_s;
};

static int new_socket(const struct plan *plan)
{
    int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "making a socket");
    socklen_t length = strlen(plan->congestion);
    if (length)
        check(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plan->congestion, length),
              "setting the congestion control");
    return fd;
}

static void tell(int channel, const void *message, size_t size)
{
    check(send(channel, message, size, MSG_NOSIGNAL), "telling the other process");
}

/* False if the other process has gone. */
static bool hear(int channel, void *message, size_t size)
{
    ssize_t got = check(recv(channel, message, size, 0), "hearing the other process");
    return (size_t)got == size;
}

static void must_hear(int channel, void *message, size_t size)
{
    if (!hear(channel, message, size))
        refuse("the receiver has gone");
}

static void accept_all(const struct plan *plan, int channel, struct receiver *receivers)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int listener = new_socket(plan);
    check(bind(listener, (struct sockaddr *)&name, size), "binding");
    check(listen(listener, plan->count), "listening");
    check(getsockname(listener, (struct sockaddr *)&name, &size), "asking for the port");
    tell(channel, &name, sizeof name);
    for (int at = 0; at < plan->count; at++) {
        struct receiver *one = &receivers[at];
        one->fd = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accepting");
        one->room = new_room();
        open_pipe(one->pipe);
        one->null = check(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
    }
    close(listener);
}

static void be_the_receiver(const struct plan *plan, int channel)
{
    struct receiver receivers[MOST_METHODS];
    struct order order;
    stay_on(plan->far);
    accept_all(plan, channel, receivers);
    while (hear(channel, &order, sizeof order)) {
        struct answer answer = {0};
        if (order.line == FINISH) {
            char surplus;
            for (int at = 0; at < plan->count; at++)
                if (recv(receivers[at].fd, &surplus, 1, 0))
                    refuse("more arrived than was sent");
        } else {
            struct receiver *from = &receivers[order.line];
            double before = cpu_s();
            turn(&from->room);
            plan->receive(from, order.size);
            answer.ended_s = now_s();
            answer.cpu_s = cpu_s() - before;
        }
        tell(channel, &answer, sizeof answer);
    }
    exit(0);
}

static void connect_all(const struct plan *plan, int channel, struct line *lines)
{
    struct sockaddr_in name;
    int yes = 1;
    must_hear(channel, &name, sizeof name);
    for (int at = 0; at < plan->count; at++) {
        struct line *line = &lines[at];
        *line = (struct line){.fd = new_socket(plan), .room = new_room()};
        check(connect(line->fd, (struct sockaddr *)&name, sizeof name), "connecting");
        check(fcntl(line->fd, F_SETFL, O_NONBLOCK), "making a socket non-blocking");
        if (plan->methods[at]->send == with_zerocopy)
            check(setsockopt(line->fd, SOL_SOCKET, SO_ZEROCOPY, &yes, sizeof yes), "SO_ZEROCOPY");
        open_pipe(line->pipe);
    }
}

static void move(const struct method *method, struct line *line, const struct source *source,
                 int channel, struct order order, size_t start, bool counts)
{
    struct answer answer;
    turn(&line->room);
    tell(channel, &order, sizeof order);
    double cpu_before_s = cpu_s(), begun_s = now_s();
    for (size_t left = order.size; left;) { /* the source is a ring */
        start %= source->size;
        size_t stop = smaller(start + left, source->size);
        method->send(line, source, start, stop);
        left -= stop - start;
        start = stop;
    }
    double near_cpu_s = cpu_s() - cpu_before_s;
    must_hear(channel, &answer, sizeof answer);
    if (counts)
        printf("%s %zu %.9f %.6f %.6f\n", method->name, order.size, answer.ended_s - begun_s,
               near_cpu_s, answer.cpu_s);
}

/* One slice of every method, in an order drawn anew. */
static void one_round(const struct plan *plan, struct line *lines, const struct source *source,
                      int channel, size_t start, size_t size, bool counts)
{
    int turns[MOST_METHODS];
    for (int at = 0; at < plan->count; at++) {
        int other = random() % (at + 1);
        turns[at] = turns[other];
        turns[other] = at;
    }
    for (int at = 0; at < plan->count; at++) {
        struct order order = {turns[at], size};
        move(plan->methods[order.line], &lines[order.line], source, channel, order, start, counts);
    }
}

static void finish(const struct plan *plan, struct line *lines, int channel)
{
    struct order order = {FINISH, 0};
    struct answer answer;
    for (int at = 0; at < plan->count; at++) {
        while (lines[at].zerocopy_completed != lines[at].zerocopy_sends)
            wait_for_completions(&lines[at]);
        check(shutdown(lines[at].fd, SHUT_WR), "closing");
    }
    tell(channel, &order, sizeof order);
    must_hear(channel, &answer, sizeof answer);
}

static size_t number(const char *text)
{
    char *end;
    size_t value = strtoull(text, &end, 10);
    if (*end || end == text)
        refuse("not a number where one is due");
    return value;
}

int main(int argc, char **argv)
{
    int ends[2], status;
    struct plan plan = {0};
    struct line lines[MOST_METHODS];
    if (argc < 10 || argc > 9 + MOST_METHODS)
        refuse("usage: FILE RECEIVER CONGESTION SIZE SLICE CHUNK NEAR_CPU FAR_CPU METHOD...");
    size_t size = number(argv[4]), slice = number(argv[5]);
    chunk_bytes = number(argv[6]);
    if (!size || !slice || !chunk_bytes)
        refuse("sizes begin at 1");
    plan.receive = intake_named(argv[2]);
    plan.congestion = argv[3];
    plan.near = number(argv[7]);
    plan.far = number(argv[8]);
    while (plan.count < argc - 9) {
        plan.methods[plan.count] = method_named(argv[9 + plan.count]);
        plan.count++;
    }
    stay_on(plan.near);
    struct source source = open_source(argv[1]);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "making a channel");
    pid_t child = check(fork(), "making a process");
    if (!child) {
        close(ends[0]);
        be_the_receiver(&plan, ends[1]);
    }
    close(ends[1]);
    signal(SIGPIPE, SIG_IGN);
    srandom((unsigned)child);
    connect_all(&plan, ends[0], lines);

    for (int round = 0; round < WARMUP_ROUNDS; round++)
        one_round(&plan, lines, &source, ends[0], 0, smaller(size, slice), false);
    size_t rounds = (size + slice / 2) / slice;
    rounds = rounds ? rounds : 1;
    for (size_t round = 0, start = 0; round < rounds; round++) {
        size_t here = size / rounds + (round < size % rounds); /* equal, to the byte */
        one_round(&plan, lines, &source, ends[0], start, here, true);
        start += here;
    }
    finish(&plan, lines, ends[0]);
    close(ends[0]);
    check(waitpid(child, &status, 0), "waiting for the receiver");
    return status != 0;
}
