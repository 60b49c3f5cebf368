/* A load of HTTP requests that leaves the server to be the limit: one thread, one epoll, two system
 * calls for each answer.  `load --port N --body FILE [options]` talks to 127.0.0.1.
 *
 * Every answer is checked: the status, the length, and the bytes of the body.  (Of a body larger
 * than the buffer the first one on each connection; the following ones are dropped in the kernel,
 * as copying them would make this the slower end.)  Connections that are to stay are seen to be
 * open at the end.  Anything else ends it with a message and status 1, as do ten seconds without
 * an answer.  What was measured is one line of JSON.
 *
 *     --path PATH          what to ask for; /
 *     --connections N      that ask without a pause; 64
 *     --depth N            requests in a row, sent at once; the next when all are answered; 1
 *     --idle N             connections opened before those, which ask once and then stay; 0
 *     --vary query|header  no request is like any before: a number in the query, or in a field
 *     --close              a connection for each request, which the server closes
 *     --seconds S          what counts; 2
 *     --warmup S           what goes before; 0.3
 *     --cpu N              stay on this processor
 *     --server-cpu N       of which to tell how busy it was
 *     --hold               with idle connections only: say "holding", and wait for the end of stdin
 *
 * Latency is from sending a request (of a row: the row; with --close: before connecting) to the end
 * of its answer, in buckets of 1.6 %.  bench/serve.py is what runs it, but it is of use by itself.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_EVENTS = 512,
    BUFFER_BYTES = 64 << 10,
    MOST_HEAD_BYTES = 1024,
    MOST_REQUEST_BYTES = 512,
    MOST_DEPTH = 128,
    AT_ONCE = 128, /* so many connections are opened, then served: fewer than any backlog */
    STALL_MS = 10000,
    BUCKETS_A_DOUBLING = 64,
    BUCKETS = BUCKETS_A_DOUBLING * 60,
};

static struct {
    int port, connections, depth, idle, cpu, server_cpu;
    double seconds, warmup_s;
    const char *path, *body, *vary;
    int close, hold;
} options = {.connections = 64, .depth = 1, .cpu = -1, .server_cpu = -1,
             .seconds = 2, .warmup_s = 0.3, .path = "/", .vary = ""};

static void die(const char *doing)
{
    fprintf(stderr, "load: %s: %s\n", doing, strerror(errno));
    exit(1);
}

static void refuse(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static long check(long result, const char *doing)
{
    if (result < 0)
        die(doing);
    return result;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* -- latencies ------------------------------------------------------------------------------- */

static uint64_t latencies[BUCKETS], answers, longest_ns;

/* Exact below 128; above, 64 buckets to each doubling. */
static unsigned bucket_of(uint64_t ns)
{
    int shift = ns < BUCKETS_A_DOUBLING ? 0 : 63 - __builtin_clzll(ns) - 6;
    return shift * BUCKETS_A_DOUBLING + (ns >> shift);
}

static double middle_of(unsigned bucket)
{
    int shift = bucket < 2 * BUCKETS_A_DOUBLING ? 0 : bucket / BUCKETS_A_DOUBLING - 1;
    uint64_t first = (uint64_t)(bucket - shift * BUCKETS_A_DOUBLING) << shift;
    return first + (double)(1ull << shift) / 2;
}

static void record(uint64_t ns)
{
    answers++;
    latencies[bucket_of(ns)]++;
    longest_ns = ns > longest_ns ? ns : longest_ns;
}

static double percentile_us(double share)
{
    uint64_t wanted = answers * share, seen = 0;
    unsigned bucket = 0;
    while (bucket < BUCKETS - 1 && (seen += latencies[bucket]) <= wanted)
        bucket++;
    double middle_ns = middle_of(bucket);
    return (middle_ns < longest_ns ? middle_ns : longest_ns) / 1000;
}

/* -- processors ------------------------------------------------------------------------------ */

struct time_spent {
    uint64_t busy, idle;
};

/* Of one processor since the start of the machine, in ticks (proc(5)). */
static struct time_spent time_of(int cpu)
{
    char line[256], name[16];
    struct time_spent spent = {0};
    FILE *file = fopen("/proc/stat", "r");
    if (!file)
        die("/proc/stat");
    snprintf(name, sizeof name, "cpu%d ", cpu);
    while (cpu >= 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)))
            continue;
        char *at = line + strlen(name);
        for (int field = 0; field < 8; field++) { /* idle and iowait are the fourth and fifth */
            uint64_t ticks = strtoull(at, &at, 10);
            *(field == 3 || field == 4 ? &spent.idle : &spent.busy) += ticks;
        }
    }
    fclose(file);
    return spent;
}

static double busy_share(struct time_spent before, struct time_spent after)
{
    uint64_t busy = after.busy - before.busy, all = busy + after.idle - before.idle;
    return all ? (double)busy / all : 0;
}

/* -- requests -------------------------------------------------------------------------------- */

static char requests[MOST_DEPTH * MOST_REQUEST_BYTES];
static size_t request_bytes, number_at; /* where its number is in each; 0: nowhere */
static uint32_t number;

static void make_requests(void)
{
    bool query = !strcmp(options.vary, "query"), header = !strcmp(options.vary, "header");
    if (*options.vary && !query && !header)
        refuse("--vary is query or header");
    request_bytes = snprintf(requests, MOST_REQUEST_BYTES,
                             "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n", options.path,
                             query ? "?n=00000000" : "", options.port,
                             header ? "X-Number: 00000000\r\n" : "",
                             options.close ? "Connection: close\r\n" : "");
    if (request_bytes >= MOST_REQUEST_BYTES)
        refuse("the path is too long");
    if (query)
        number_at = strlen("GET ") + strlen(options.path) + strlen("?n=");
    if (header)
        number_at = strstr(requests, "X-Number: ") + strlen("X-Number: ") - requests;
    for (int at = 1; at < options.depth; at++)
        memcpy(requests + at * request_bytes, requests, request_bytes);
    number = now_ns() / 1000; /* not what the run before began with */
}

static void write_number(char *at)
{
    uint32_t rest = number++;
    for (int digit = 7; digit >= 0; digit--, rest >>= 4)
        at[digit] = "0123456789abcdef"[rest & 15];
}

/* -- connections ----------------------------------------------------------------------------- */

struct connection {
    int fd;
    int unanswered;
    bool ending;   /* the server is to close */
    bool verified; /* a whole answer was compared */
    size_t body_left;
    uint64_t asked_ns;
    size_t head_bytes; /* of an incomplete one */
    char head[MOST_HEAD_BYTES];
};

static int poller, busy; /* connections that wait for something */
static bool going_on, counting;
static char buffer[BUFFER_BYTES];
static char *body;
static size_t body_bytes;
static char known_head[MOST_HEAD_BYTES]; /* the last that was found to be right */
static size_t known_head_bytes;

static void connect_it(struct connection *one)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons(options.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger reset = {1, 0}; /* leaves nothing in TIME_WAIT */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    one->fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "making a socket");
    check(setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), "SO_LINGER");
    check(connect(one->fd, (struct sockaddr *)&name, sizeof name), "connecting");
    check(epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event), "watching a connection");
}

static void ask(struct connection *one, int count)
{
    one->asked_ns = now_ns();
    if (one->fd < 0)
        connect_it(one);
    if (number_at)
        for (int at = 0; at < count; at++)
            write_number(requests + at * request_bytes + number_at);
    size_t size = count * request_bytes;
    if (send(one->fd, requests, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        die("sending requests");
    one->unanswered = count;
    busy++;
}

static void finished(struct connection *one)
{
    busy--;
    if (going_on)
        ask(one, options.depth);
}

/* -- answers --------------------------------------------------------------------------------- */

static void check_head(char *head, size_t size)
{
    size_t length = 0;
    if (strncmp(head, "HTTP/1.1 200 ", 13)) {
        fprintf(stderr, "load: the answer is %.*s\n", (int)strcspn(head, "\r"), head);
        exit(1);
    }
    for (char *line = head; (line = memmem(line, head + size - line, "\r\n", 2));) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15))
            length = strtoull(line + 15, NULL, 10);
        if (!options.close && !strncasecmp(line, "connection: close", 17))
            refuse("the server wants to close a connection that is to stay");
    }
    if (length != body_bytes)
        refuse("the length of an answer is not that of the body");
}

/* Takes what belongs to a head; returns how much that is. */
static size_t take_head(struct connection *one, const char *data, size_t size)
{
    size_t before = one->head_bytes;
    if (!before && size >= known_head_bytes && known_head_bytes &&
        !memcmp(data, known_head, known_head_bytes)) {
        one->body_left = body_bytes;
        return known_head_bytes;
    }
    size_t taken = smaller(size, MOST_HEAD_BYTES - 1 - before);
    memcpy(one->head + before, data, taken);
    one->head_bytes += taken;
    one->head[one->head_bytes] = '\0';
    char *blank = memmem(one->head, one->head_bytes, "\r\n\r\n", 4);
    if (!blank) {
        if (one->head_bytes == MOST_HEAD_BYTES - 1)
            refuse("the head of an answer is too long");
        return taken;
    }
    size_t whole = blank + 4 - one->head;
    check_head(one->head, whole);
    memcpy(known_head, one->head, known_head_bytes = whole);
    one->head_bytes = 0;
    one->body_left = body_bytes;
    return whole - before;
}

static void body_taken(struct connection *one, size_t size)
{
    one->body_left -= size;
    if (one->body_left)
        return;
    if (counting)
        record(now_ns() - one->asked_ns);
    one->verified = true;
    one->unanswered--;
}

static void take_data(struct connection *one, const char *data, size_t size)
{
    while (size) {
        size_t taken;
        if (!one->unanswered)
            refuse("there is more than was asked for");
        if (one->body_left) {
            taken = smaller(size, one->body_left);
            if (memcmp(data, body + body_bytes - one->body_left, taken))
                refuse("the body of an answer is another one");
            body_taken(one, taken);
        } else {
            taken = take_head(one, data, size);
        }
        data += taken;
        size -= taken;
    }
}

static void server_closed(struct connection *one)
{
    if (!one->ending)
        refuse("the server closed a connection");
    close(one->fd);
    one->fd = -1;
    one->ending = one->verified = false;
    finished(one);
}

static void attend(struct connection *one)
{
    bool drop = one->verified && one->body_left > BUFFER_BYTES;
    ssize_t got = recv(one->fd, drop ? NULL : buffer, drop ? one->body_left : BUFFER_BYTES,
                       MSG_DONTWAIT | (drop ? MSG_TRUNC : 0));
    if (got < 0 && errno == EAGAIN)
        return;
    if (check(got, "receiving") == 0) {
        server_closed(one);
        return;
    }
    if (drop)
        body_taken(one, got);
    else
        take_data(one, buffer, got);
    if (one->unanswered)
        return;
    if (options.close)
        one->ending = true;
    else
        finished(one);
}

/* Until a time, or, if it is 0, until nothing is under way. */
static void handle_answers(uint64_t until_ns)
{
    struct epoll_event events[MOST_EVENTS];
    while (until_ns ? now_ns() < until_ns : busy) {
        int count = epoll_wait(poller, events, MOST_EVENTS, STALL_MS);
        if (check(count, "waiting") == 0)
            refuse("there was no answer for ten seconds");
        for (int at = 0; at < count; at++)
            attend(events[at].data.ptr);
    }
}

/* Each asks once. */
static void open_connections(struct connection *first, int count)
{
    for (int at = 0; at < count; at++) {
        first[at].fd = -1;
        ask(&first[at], 1);
        if (at % AT_ONCE == AT_ONCE - 1)
            handle_answers(0);
    }
    handle_answers(0);
}

static void see_that_they_are_open(struct connection *first, int count)
{
    char any;
    for (int at = 0; at < count; at++)
        if (recv(first[at].fd, &any, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            refuse("the server closed an idle connection, or sent something on it");
}

static void measure(struct connection *first, int count)
{
    going_on = true;
    for (int at = 0; at < count; at++)
        ask(&first[at], options.depth);
    handle_answers(now_ns() + options.warmup_s * 1e9);
    struct time_spent ours = time_of(options.cpu), theirs = time_of(options.server_cpu);
    uint64_t begun_ns = now_ns();
    counting = true;
    handle_answers(begun_ns + options.seconds * 1e9);
    double elapsed_s = (now_ns() - begun_ns) / 1e9;
    going_on = counting = false;
    double our_share = busy_share(ours, time_of(options.cpu));
    double their_share = busy_share(theirs, time_of(options.server_cpu));
    handle_answers(0);
    printf("{\"answers\": %llu, \"elapsed_s\": %.6f, \"rate_per_s\": %.1f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"max_us\": %.1f, \"busy_share\": %.3f, "
           "\"server_busy_share\": %.3f}\n",
           (unsigned long long)answers, elapsed_s, answers / elapsed_s, percentile_us(0.5),
           percentile_us(0.99), longest_ns / 1e3, our_share, their_share);
}

/* -- the command line ------------------------------------------------------------------------ */

static void read_body(void)
{
    FILE *file = fopen(options.body, "r");
    if (!file || fseek(file, 0, SEEK_END))
        die(options.body);
    body_bytes = ftell(file);
    body = malloc(body_bytes);
    rewind(file);
    if (!body_bytes || fread(body, 1, body_bytes, file) != body_bytes)
        refuse("the body is empty, or cannot be read");
    fclose(file);
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", 1, NULL, 'p'},       {"path", 1, NULL, 'P'},       {"body", 1, NULL, 'b'},
        {"connections", 1, NULL, 'n'}, {"depth", 1, NULL, 'd'},      {"idle", 1, NULL, 'i'},
        {"vary", 1, NULL, 'v'},       {"seconds", 1, NULL, 's'},    {"warmup", 1, NULL, 'w'},
        {"cpu", 1, NULL, 'c'},        {"server-cpu", 1, NULL, 'C'}, {"close", 0, &options.close, 1},
        {"hold", 0, &options.hold, 1}, {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 0: break;
        case 'p': options.port = atoi(optarg); break;
        case 'P': options.path = optarg; break;
        case 'b': options.body = optarg; break;
        case 'n': options.connections = atoi(optarg); break;
        case 'd': options.depth = atoi(optarg); break;
        case 'i': options.idle = atoi(optarg); break;
        case 'v': options.vary = optarg; break;
        case 's': options.seconds = atof(optarg); break;
        case 'w': options.warmup_s = atof(optarg); break;
        case 'c': options.cpu = atoi(optarg); break;
        case 'C': options.server_cpu = atoi(optarg); break;
        default: refuse("see the top of load.c for the options");
        }
    }
    if (!options.port || !options.body || optind != argc)
        refuse("--port and --body are needed; see the top of load.c for the options");
    if (options.depth < 1 || options.depth > MOST_DEPTH || (options.close && options.depth > 1))
        refuse("--depth is 1 to 128, and 1 with --close");
    if (options.hold ? options.connections || !options.idle : options.connections < 1)
        refuse("--hold needs --idle and --connections 0; all else needs --connections");
    if (options.idle && options.close)
        refuse("an idle connection is not to be closed");
}

int main(int argc, char **argv)
{
    struct rlimit descriptors;
    read_options(argc, argv);
    read_body();
    make_requests();
    check(getrlimit(RLIMIT_NOFILE, &descriptors), "asking for the limit of descriptors");
    descriptors.rlim_cur = descriptors.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &descriptors), "raising the limit of descriptors");
    if (options.cpu >= 0) {
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(options.cpu, &only);
        check(sched_setaffinity(0, sizeof only, &only), "choosing a processor");
    }
    poller = check(epoll_create1(EPOLL_CLOEXEC), "making an epoll");
    struct connection *idle = calloc(options.idle + options.connections, sizeof *idle);
    open_connections(idle, options.idle);
    if (options.hold) {
        char any;
        puts("holding");
        fflush(stdout);
        while (read(STDIN_FILENO, &any, 1) > 0)
            ;
    } else {
        open_connections(idle + options.idle, options.connections);
        measure(idle + options.idle, options.connections);
    }
    see_that_they_are_open(idle, options.idle);
    return 0;
}
