/*
 * gfapi_bench: what the C library makes of a volume, in the words of `brickwire bench`.
 *
 * It is the reference that our numbers are divided by, so it gives the library its best case: one
 * process, the caller's buffers reused, and at depth above 1 the way of resubmitting that measured
 * faster. Prints one line of JSON; errors are one line on
 * standard error and exit status 1 (2 for a wrong command line).
 *
 *     cc -O2 -Wall -Wextra gfapi_bench.c -o gfapi_bench $(pkg-config --cflags --libs glusterfs-api)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glusterfs/api/glfs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Nothing waits longer than this for the server: the library itself would, for ever. */
enum { START_SECONDS_MAX = 60, DRAIN_SECONDS_MAX = 60, FILL_BYTES = 1 << 20, BUCKETS = 40 * 64, STARTS_MAX = 1000 };

static const char *usage =
    "usage: gfapi_bench --server HOST|/SOCKET --volume V --path P --size BYTES\n"
    "         [--rw read|write|randread|randwrite] [--bs N] [--iodepth N] [--runtime SECONDS] [--skip-fini]\n"
    "       ... --fill             write the file full of data, creating it\n"
    "       ... --startstop N      only start and tear down, N times\n"
    "       ... --sync-start-only  the same as --startstop 1\n"
    "sizes take k, M and G; --skip-fini leaves out glfs_fini (some ten seconds) and reports teardown_ms null";

static struct {
    const char *server, *volume, *path, *rw;
    uint64_t bs, size, iodepth, runtime, startstop;
    bool fill, write, random, skip_fini;
} args = {.rw = "randread", .bs = 4096, .iodepth = 1, .runtime = 5};

static void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("gfapi_bench: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    /* No atexit handlers: the library's threads are running, and would see its state go. */
    _exit(1);
}

static void on_alarm(int signal)
{
    static const char text[] = "gfapi_bench: the server does not answer; gave up\n";
    (void)signal;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The most memory that this process has had. Not ru_maxrss: that one remembers who called exec. */
static double rss_mib(void)
{
    char line[256];
    double kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %lf", &kib) != 1)
        ;
    if (status)
        fclose(status);
    return kib / 1024;
}

/* Pages that no other process shares, now. */
static double private_mib(void)
{
    char line[256];
    double sum = 0, kib;
    FILE *smaps = fopen("/proc/self/smaps_rollup", "r");
    while (smaps && fgets(line, sizeof line, smaps))
        if (sscanf(line, "Private_Clean: %lf", &kib) == 1 || sscanf(line, "Private_Dirty: %lf", &kib) == 1)
            sum += kib;
    if (smaps)
        fclose(smaps);
    return sum / 1024;
}

/* ---- latencies: logarithmic buckets, 64 to the octave, so that memory does not grow with the run */

static _Atomic uint32_t latency[BUCKETS];
static _Atomic uint64_t latency_max, operations;

static void record(uint64_t ns)
{
    unsigned octave = 63u - (unsigned)__builtin_clzll(ns | 63);
    uint64_t bucket = octave < 6 ? ns : (octave - 5) * 64 + (ns >> (octave - 6)) % 64;
    uint64_t max = atomic_load_explicit(&latency_max, memory_order_relaxed);
    atomic_fetch_add_explicit(&latency[bucket < BUCKETS ? bucket : BUCKETS - 1], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak(&latency_max, &max, ns))
        ;
}

static double percentile_us(double percent)
{
    uint64_t want = (uint64_t)(percent / 100 * (double)operations + 0.5), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += latency[bucket];
        if (seen < want || seen == 0)
            continue;
        if (bucket < 64)
            return bucket / 1e3;
        return (double)((2 * (64 + bucket % 64) + 1) * (1ull << (bucket / 64 - 1))) / 2e3;
    }
    return (double)latency_max / 1e3;
}

/* ---- the workload */

static off_t next_offset(void)
{
    static uint64_t random = 0x2545f4914f6cdd1dull, sequence;
    uint64_t blocks = args.size / args.bs;
    if (!args.random)
        return (off_t)(sequence++ % blocks * args.bs);
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return (off_t)(random % blocks * args.bs);
}

static void fill_with_data(char *buf, uint64_t len, uint64_t seed)
{
    uint64_t word = seed * 0x9e3779b97f4a7c15ull ^ 0x5bf03635;
    for (uint64_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            word = word * 6364136223846793005ull + 1442695040888963407ull;
        buf[i] = (char)((word >> i % 8 * 8) | 1);
    }
}

static void check(ssize_t n)
{
    if (n != (ssize_t)args.bs)
        die("%s of %llu bytes in %s: %s", args.rw, (unsigned long long)args.bs, args.path,
            n < 0 ? strerror(errno) : "short (the file is smaller than --size: run --fill first)");
}

static void run_sync(glfs_fd_t *fd, char *buf, uint64_t deadline)
{
    uint64_t begin = now_ns(), end;
    for (; begin < deadline; begin = end) {
        off_t at = next_offset();
        ssize_t n = args.write ? glfs_pwrite(fd, buf, args.bs, at, 0, NULL, NULL)
                               : glfs_pread(fd, buf, args.bs, at, 0, NULL);
        check(n);
        end = now_ns();
        record(end - begin);
    }
}

struct slot {
    char *buf;
    uint64_t begin;
    struct slot *next;
};

/* Guards `done`; the condition says that it is no longer empty. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct slot *done;

static void on_complete(glfs_fd_t *fd, ssize_t n, struct glfs_stat *pre, struct glfs_stat *post, void *data)
{
    struct slot *slot = data;
    (void)fd, (void)pre, (void)post;
    check(n);
    record(now_ns() - slot->begin);
    pthread_mutex_lock(&lock);
    slot->next = done;
    done = slot;
    if (!slot->next)
        pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/*
 * The callback hands its slot back and this thread submits again, a batch at a time. Submitting from
 * the callback was measured too: 2 to 25 % fewer 4 KiB reads at depth 32, and no gain elsewhere.
 */
static void run_async(glfs_fd_t *fd, struct slot *slots, uint64_t deadline)
{
    struct slot *ready = slots;
    for (uint64_t in_flight = args.iodepth;;) {
        while (ready) {
            /* Once submitted, the slot is the callback's, its `next` as well. */
            struct slot *slot = ready;
            ready = slot->next;
            slot->begin = now_ns();
            if (slot->begin >= deadline) {
                in_flight--;
                continue;
            }
            off_t at = next_offset();
            int bad = args.write ? glfs_pwrite_async(fd, slot->buf, (int)args.bs, at, 0, on_complete, slot)
                                 : glfs_pread_async(fd, slot->buf, args.bs, at, 0, on_complete, slot);
            if (bad)
                die("submit %s: %s", args.rw, strerror(errno));
        }
        if (in_flight == 0)
            return;
        pthread_mutex_lock(&lock);
        while (!done)
            pthread_cond_wait(&changed, &lock);
        ready = done;
        done = NULL;
        pthread_mutex_unlock(&lock);
    }
}

/* ---- start and tear-down */

static glfs_t *start(glfs_fd_t **fd, double *ms)
{
    uint64_t begin = now_ns();
    bool unix_socket = args.server[0] == '/';
    alarm(START_SECONDS_MAX);
    glfs_t *fs = glfs_new(args.volume);
    if (!fs)
        die("volume \"%s\": %s", args.volume, strerror(errno));
    if (glfs_set_volfile_server(fs, unix_socket ? "unix" : "tcp", args.server, unix_socket ? 0 : 24007))
        die("server %s: %s", args.server, strerror(errno));
    if (glfs_init(fs))
        die("volume \"%s\" at %s: %s", args.volume, args.server, strerror(errno));
    *fd = args.fill ? glfs_creat(fs, args.path, O_RDWR, 0644) : glfs_open(fs, args.path, O_RDWR);
    if (!*fd)
        die("open %s: %s%s", args.path, strerror(errno), errno == ENOENT ? " (run --fill first)" : "");
    alarm(0);
    *ms = (double)(now_ns() - begin) / 1e6;
    return fs;
}

static double stop(glfs_t *fs, glfs_fd_t *fd)
{
    uint64_t begin = now_ns();
    alarm(DRAIN_SECONDS_MAX);
    if (glfs_close(fd))
        die("close %s: %s", args.path, strerror(errno));
    /* Its return value says nothing: fio and QEMU ignore it as well. */
    if (!args.skip_fini)
        glfs_fini(fs);
    alarm(0);
    return (double)(now_ns() - begin) / 1e6;
}

static void fill(glfs_fd_t *fd, char *buf)
{
    if (glfs_ftruncate(fd, (off_t)args.size, NULL, NULL))
        die("truncate %s: %s", args.path, strerror(errno));
    for (uint64_t at = 0; at < args.size;) {
        uint64_t len = args.size - at < FILL_BYTES ? args.size - at : FILL_BYTES;
        alarm(DRAIN_SECONDS_MAX);
        fill_with_data(buf, len, at);
        if (glfs_pwrite(fd, buf, len, (off_t)at, 0, NULL, NULL) != (ssize_t)len)
            die("fill %s at %llu: %s", args.path, (unsigned long long)at, strerror(errno));
        at += len;
    }
    if (glfs_fsync(fd, NULL, NULL))
        die("fsync %s: %s", args.path, strerror(errno));
}

static void start_and_stop(void)
{
    static double starts[STARTS_MAX], stops[STARTS_MAX];
    uint64_t n = args.startstop;
    glfs_fd_t *fd;
    for (uint64_t i = 0; i < n; i++) {
        glfs_t *fs = start(&fd, &starts[i]);
        stops[i] = stop(fs, fd);
    }
    printf("{\"tool\":\"gfapi\",\"runs\":%llu", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        printf("%s%.2f", i ? "," : ",\"start_ms\":[", starts[i]);
    for (uint64_t i = 0; i < n; i++)
        printf("%s%.2f", i ? "," : "],\"teardown_ms\":[", stops[i]);
    printf("],\"rss_mib\":%.1f}\n", rss_mib());
}

/* ---- command line */

static uint64_t number(const char *name, const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = *end == 'k' || *end == 'K' ? 10 : *end == 'm' || *end == 'M' ? 20 : *end == 'g' || *end == 'G' ? 30 : 0;
    if (text[0] < '0' || text[0] > '9' || errno || end[shift != 0] != 0 || n == 0 || n > max >> shift) {
        fprintf(stderr, "gfapi_bench: --%s %s: expected a number from 1 to %llu\n", name, text, (unsigned long long)max);
        exit(2);
    }
    return n << shift;
}

static void parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"server", 1, 0, 's'}, {"volume", 1, 0, 'v'}, {"path", 1, 0, 'p'}, {"rw", 1, 0, 'w'},
        {"bs", 1, 0, 'b'}, {"iodepth", 1, 0, 'd'}, {"runtime", 1, 0, 't'}, {"size", 1, 0, 'z'},
        {"startstop", 1, 0, 'n'}, {"sync-start-only", 0, 0, 'o'}, {"fill", 0, 0, 'f'},
        {"skip-fini", 0, 0, 'q'}, {0, 0, 0, 0},
    };
    bool good = true;
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
        switch (c) {
        case 's': args.server = optarg; break;
        case 'v': args.volume = optarg; break;
        case 'p': args.path = optarg; break;
        case 'w': args.rw = optarg; break;
        case 'b': args.bs = number("bs", optarg, 16 << 20); break;
        case 'd': args.iodepth = number("iodepth", optarg, 1024); break;
        case 't': args.runtime = number("runtime", optarg, 3600); break;
        case 'z': args.size = number("size", optarg, INT64_MAX); break;
        case 'n': args.startstop = number("startstop", optarg, STARTS_MAX); break;
        case 'o': args.startstop = 1; break;
        case 'f': args.fill = true; break;
        case 'q': args.skip_fini = true; break;
        default: good = false;
        }
    args.random = strncmp(args.rw, "rand", 4) == 0;
    const char *word = args.rw + (args.random ? 4 : 0);
    args.write = strcmp(word, "write") == 0;
    good &= args.write || strcmp(word, "read") == 0;
    if (!good || optind < argc || !args.server || !args.volume || !args.path ||
        (!args.startstop && args.size < (args.fill ? 1 : args.bs))) {
        fprintf(stderr, "%s\n", usage);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGALRM, on_alarm);
    if (args.startstop) {
        start_and_stop();
        return 0;
    }
    /* Touched before the library starts, so that rss_delta_mib is the library's own. */
    uint64_t len = args.fill ? FILL_BYTES : args.bs * args.iodepth;
    char *buffers = malloc(len);
    struct slot *slots = calloc(args.iodepth, sizeof *slots);
    if (!buffers || !slots)
        die("no memory for %llu bytes of buffers", (unsigned long long)len);
    fill_with_data(buffers, len, 1);
    for (uint64_t i = 0; i < args.iodepth; i++)
        slots[i] = (struct slot){.buf = buffers + i * args.bs, .next = i + 1 < args.iodepth ? &slots[i + 1] : NULL};
    double rss_before = rss_mib(), start_ms;
    glfs_fd_t *fd;
    glfs_t *fs = start(&fd, &start_ms);
    if (args.fill) {
        fill(fd, buffers);
        stop(fs, fd);
        printf("{\"tool\":\"gfapi\",\"filled\":%llu}\n", (unsigned long long)args.size);
        return 0;
    }
    double cpu = cpu_seconds();
    uint64_t begin = now_ns(), deadline = begin + args.runtime * 1000000000ull;
    alarm((unsigned)args.runtime + DRAIN_SECONDS_MAX);
    if (args.iodepth == 1)
        run_sync(fd, buffers, deadline);
    else
        run_async(fd, slots, deadline);
    alarm(0);
    double seconds = (double)(now_ns() - begin) / 1e9, rss = rss_mib(), n = (double)operations;
    cpu = cpu_seconds() - cpu;
    double private = private_mib();
    double teardown_ms = stop(fs, fd);
    printf("{\"tool\":\"gfapi\",\"rw\":\"%s\",\"bs\":%llu,\"iodepth\":%llu,\"operations\":%llu,\"seconds\":%.3f,"
           "\"iops\":%.1f,\"mb_per_s\":%.1f,\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f},"
           "\"cpu_s\":%.3f,\"cpu_s_per_10k\":%.4f,\"rss_mib\":%.1f,\"rss_delta_mib\":%.1f,\"private_mib\":%.1f,\"start_ms\":%.2f,",
           args.rw, (unsigned long long)args.bs, (unsigned long long)args.iodepth, (unsigned long long)operations,
           seconds, n / seconds, n * (double)args.bs / seconds / 1e6, percentile_us(50), percentile_us(99),
           (double)latency_max / 1e3, cpu, n > 0 ? cpu / n * 1e4 : 0, rss, rss - rss_before, private,
           start_ms);
    printf(args.skip_fini ? "\"teardown_ms\":null}\n" : "\"teardown_ms\":%.2f}\n", teardown_ms);
    return 0;
}
