/*
 * gfapi_script: calls of GlusterFS's C library, one a line of standard input, and what each returned.
 *
 *     cc -O2 -Wall -Wextra gfapi_script.c -o gfapi_script -l:libgfapi.so.0
 *     gfapi_script HOST PORT VOLUME < script
 *
 * A line is a call and its arguments; open files have a number from 0 to 15. Each line is answered
 * with one line: the call, its result, and the name of the errno if it failed. Data that `pwrite`
 * writes depends on its offset and a seed, so that `pread` can tell bytes that are in a wrong place.
 * The library's header is not needed: the few prototypes stand here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct glfs glfs_t;
typedef struct glfs_fd glfs_fd_t;
struct glfs_stat;

glfs_t *glfs_new(const char *volume);
int glfs_set_volfile_server(glfs_t *, const char *transport, const char *host, int port);
int glfs_set_logging(glfs_t *, const char *file, int level);
int glfs_init(glfs_t *);
glfs_fd_t *glfs_open(glfs_t *, const char *path, int flags);
glfs_fd_t *glfs_creat(glfs_t *, const char *path, int flags, mode_t mode);
glfs_fd_t *glfs_opendir(glfs_t *, const char *path);
int glfs_close(glfs_fd_t *);
int glfs_closedir(glfs_fd_t *);
struct dirent *glfs_readdir(glfs_fd_t *);
ssize_t glfs_pwrite(glfs_fd_t *, const void *, size_t, off_t, int flags, struct glfs_stat *, struct glfs_stat *);
ssize_t glfs_pread(glfs_fd_t *, void *, size_t, off_t, int flags, struct glfs_stat *);
int glfs_ftruncate(glfs_fd_t *, off_t, struct glfs_stat *, struct glfs_stat *);
int glfs_truncate(glfs_t *, const char *path, off_t);
int glfs_fsync(glfs_fd_t *, struct glfs_stat *, struct glfs_stat *);
int glfs_fdatasync(glfs_fd_t *, struct glfs_stat *, struct glfs_stat *);
int glfs_fstat(glfs_fd_t *, struct stat *);
int glfs_stat(glfs_t *, const char *path, struct stat *);
int glfs_fchmod(glfs_fd_t *, mode_t);
int glfs_fchown(glfs_fd_t *, uid_t, gid_t);
int glfs_futimens(glfs_fd_t *, const struct timespec[2]);
int glfs_fsetxattr(glfs_fd_t *, const char *name, const void *, size_t, int flags);
ssize_t glfs_fgetxattr(glfs_fd_t *, const char *name, void *, size_t);
ssize_t glfs_flistxattr(glfs_fd_t *, void *, size_t);
int glfs_fremovexattr(glfs_fd_t *, const char *name);
int glfs_setxattr(glfs_t *, const char *path, const char *name, const void *, size_t, int flags);
ssize_t glfs_getxattr(glfs_t *, const char *path, const char *name, void *, size_t);
int glfs_mkdir(glfs_t *, const char *path, mode_t);
int glfs_rmdir(glfs_t *, const char *path);
int glfs_unlink(glfs_t *, const char *path);
int glfs_rename(glfs_t *, const char *from, const char *to);

static glfs_t *volume;
static glfs_fd_t *fds[16];

/* The byte at an offset of a file that was written with a seed. */
static unsigned char byte_at(uint64_t offset, unsigned seed)
{
    return (unsigned char)(offset ^ (offset >> 8) * 31 ^ (offset >> 16) * 7 ^ (offset >> 24) * 101 ^ seed);
}

static long long number(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 0);
    if (*end == 'K')
        n <<= 10;
    else if (*end == 'M')
        n <<= 20;
    return n;
}

static glfs_fd_t *fd(const char *text)
{
    return fds[number(text) & 15];
}

static long opened(const char *text, glfs_fd_t *opened)
{
    fds[number(text) & 15] = opened;
    return opened ? 0 : -1;
}

static char *memory(size_t size)
{
    char *bytes = malloc(size + 1);
    if (!bytes) {
        fprintf(stderr, "gfapi_script: no memory\n");
        exit(2);
    }
    return bytes;
}

/* Carries out one call. `said` gets what is to be told beside its result. */
static long call(int count, char **word, char *said, size_t room)
{
    const char *name = word[0];
    struct stat stat;
    long result = -1;
#define IS(text, arguments) (strcmp(name, text) == 0 && count == (arguments) + 1)
    if (IS("open", 3))
        return opened(word[1], glfs_open(volume, word[2], (int)number(word[3])));
    if (IS("creat", 4))
        return opened(word[1], glfs_creat(volume, word[2], (int)number(word[3]), (mode_t)number(word[4])));
    if (IS("opendir", 2))
        return opened(word[1], glfs_opendir(volume, word[2]));
    if (IS("close", 1))
        return glfs_close(fd(word[1]));
    if (IS("closedir", 1))
        return glfs_closedir(fd(word[1]));
    if (IS("readdir", 1)) {
        for (result = 0; glfs_readdir(fd(word[1])); result++)
            ;
        return result;
    }
    if (IS("pwrite", 4)) {
        uint64_t offset = (uint64_t)number(word[2]);
        size_t size = (size_t)number(word[3]);
        unsigned char *bytes = (unsigned char *)memory(size);
        for (size_t at = 0; at < size; at++)
            bytes[at] = byte_at(offset + at, (unsigned)number(word[4]));
        result = glfs_pwrite(fd(word[1]), bytes, size, (off_t)offset, 0, NULL, NULL);
        int error = errno;
        free(bytes);
        errno = error;
        return result;
    }
    if (IS("pread", 4)) {
        uint64_t offset = (uint64_t)number(word[2]);
        size_t size = (size_t)number(word[3]);
        unsigned char *bytes = (unsigned char *)memory(size);
        result = glfs_pread(fd(word[1]), bytes, size, (off_t)offset, 0, NULL);
        int error = errno;
        for (long at = 0; at < result; at++)
            if (bytes[at] != byte_at(offset + (uint64_t)at, (unsigned)number(word[4]))) {
                snprintf(said, room, "differs at %llu", (unsigned long long)offset + (unsigned long long)at);
                break;
            }
        free(bytes);
        errno = error;
        return result;
    }
    if (IS("ftruncate", 2))
        return glfs_ftruncate(fd(word[1]), (off_t)number(word[2]), NULL, NULL);
    if (IS("truncate", 2))
        return glfs_truncate(volume, word[1], (off_t)number(word[2]));
    if (IS("fsync", 1))
        return glfs_fsync(fd(word[1]), NULL, NULL);
    if (IS("fdatasync", 1))
        return glfs_fdatasync(fd(word[1]), NULL, NULL);
    if (IS("fstat", 1) || IS("stat", 1)) {
        result = *name == 'f' ? glfs_fstat(fd(word[1]), &stat) : glfs_stat(volume, word[1], &stat);
        if (result == 0 && S_ISREG(stat.st_mode))
            snprintf(said, room, "mode %o size %lld", stat.st_mode, (long long)stat.st_size);
        else if (result == 0)
            snprintf(said, room, "mode %o", stat.st_mode);
        return result;
    }
    if (IS("fchmod", 2))
        return glfs_fchmod(fd(word[1]), (mode_t)number(word[2]));
    if (IS("fchown", 3))
        return glfs_fchown(fd(word[1]), (uid_t)number(word[2]), (gid_t)number(word[3]));
    if (IS("futimens", 2)) {
        struct timespec times[2] = {{number(word[2]), 0}, {number(word[2]), 0}};
        return glfs_futimens(fd(word[1]), times);
    }
    if (IS("fsetxattr", 3))
        return glfs_fsetxattr(fd(word[1]), word[2], word[3], strlen(word[3]), 0);
    if (IS("fremovexattr", 2))
        return glfs_fremovexattr(fd(word[1]), word[2]);
    if (IS("fgetxattr", 2) || IS("getxattr", 2)) {
        char value[256] = "";
        result = *name == 'f' ? glfs_fgetxattr(fd(word[1]), word[2], value, sizeof value - 1)
                              : glfs_getxattr(volume, word[1], word[2], value, sizeof value - 1);
        if (result >= 0)
            snprintf(said, room, "%s", value);
        return result;
    }
    if (IS("flistxattr", 1)) {
        char names[4096];
        return glfs_flistxattr(fd(word[1]), names, sizeof names);
    }
    if (IS("setxattr-of", 3)) {
        size_t size = (size_t)number(word[3]);
        char *bytes = memory(size);
        memset(bytes, 'x', size);
        result = glfs_setxattr(volume, word[1], word[2], bytes, size, 0);
        int error = errno;
        free(bytes);
        errno = error;
        return result;
    }
    if (IS("mkdir", 2))
        return glfs_mkdir(volume, word[1], (mode_t)number(word[2]));
    if (IS("rmdir", 1))
        return glfs_rmdir(volume, word[1]);
    if (IS("unlink", 1))
        return glfs_unlink(volume, word[1]);
    if (IS("rename", 2))
        return glfs_rename(volume, word[1], word[2]);
    if (IS("sleep-ms", 1))
        return usleep((useconds_t)number(word[1]) * 1000);
    fprintf(stderr, "gfapi_script: no call %s with %d arguments\n", name, count - 1);
    exit(2);
}

int main(int argc, char **argv)
{
    char line[4096];
    if (argc != 4) {
        fprintf(stderr, "usage: gfapi_script HOST PORT VOLUME < script\n");
        return 2;
    }
    volume = glfs_new(argv[3]);
    glfs_set_volfile_server(volume, "tcp", argv[1], atoi(argv[2]));
    glfs_set_logging(volume, getenv("GFAPI_LOG") ? getenv("GFAPI_LOG") : "/dev/null", 7);
    if (glfs_init(volume) != 0) {
        fprintf(stderr, "gfapi_script: init: %s\n", strerrorname_np(errno));
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        char *word[8], said[512] = "";
        int count = 0;
        for (char *next = strtok(line, " \n"); next && count < 8; next = strtok(NULL, " \n"))
            word[count++] = next;
        if (count == 0)
            continue;
        errno = 0;
        long result = call(count, word, said, sizeof said);
        if (result < 0)
            printf("%s %ld %s\n", word[0], result, strerrorname_np(errno));
        else
            printf("%s %ld%s%s\n", word[0], result, *said ? " " : "", said);
        fflush(stdout);
    }
    /* Without glfs_fini, which takes some ten seconds. */
    _exit(0);
}
