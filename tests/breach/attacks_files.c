/* tests/breach/attacks_files.c - reading, writing and finding what lies on disk. */
#include "attack_list.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int read_path(const char *path, int flags)
{
    char bytes[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    return attack_outcome(fd >= 0 && read(fd, bytes, sizeof bytes) > 0);
}

int attack_read_shadow(const struct attack_world *w)
{
    return read_path("/etc/shadow", 0);
}

int attack_read_key_file(const struct attack_world *w)
{
    return read_path(w->key_file, 0);
}

int attack_read_kernel_log(const struct attack_world *w)
{
    return read_path("/dev/kmsg", O_NONBLOCK);
}

int attack_list_directory(const struct attack_world *w)
{
    char entries[4096];
    int fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return attack_outcome(fd >= 0 && syscall(SYS_getdents64, fd, entries, sizeof entries) > 0);
}

int attack_watch_directory(const struct attack_world *w)
{
    int fd = inotify_init1(IN_CLOEXEC);
    return attack_outcome(fd >= 0 && inotify_add_watch(fd, "/etc", IN_ALL_EVENTS) >= 0);
}

int attack_write_file(const struct attack_world *w)
{
    int fd = open(w->file, O_WRONLY | O_CLOEXEC);
    return attack_outcome(fd >= 0 && write(fd, "x", 1) == 1);
}

int attack_create_file(const struct attack_world *w)
{
    return attack_outcome(open(w->new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0);
}

int attack_make_directory(const struct attack_world *w)
{
    return attack_outcome(mkdir(w->new_path, 0700) == 0);
}

int attack_make_symlink(const struct attack_world *w)
{
    return attack_outcome(symlink("/etc/shadow", w->new_path) == 0);
}

int attack_make_link(const struct attack_world *w)
{
    return attack_outcome(link(w->file, w->new_path) == 0);
}

int attack_make_fifo(const struct attack_world *w)
{
    return attack_outcome(mkfifo(w->new_path, 0600) == 0);
}

int attack_make_device(const struct attack_world *w)
{
    return attack_outcome(mknod(w->new_path, S_IFBLK | 0600, makedev(7, 0)) == 0);
}

int attack_remove_file(const struct attack_world *w)
{
    return attack_outcome(unlink(w->file) == 0);
}

int attack_rename_file(const struct attack_world *w)
{
    return attack_outcome(rename(w->file, w->new_path) == 0);
}

int attack_truncate_file(const struct attack_world *w)
{
    return attack_outcome(truncate(w->file, 0) == 0);
}

int attack_change_mode(const struct attack_world *w)
{
    return attack_outcome(chmod(w->file, 0777) == 0);
}

/* As one that has the right to read may: the file is emptied before anybody looks at what is done with it. */
static int truncate_by_opening(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_TRUNC | O_CLOEXEC); /* unspecified by POSIX, done by Linux */
    return attack_outcome(fd >= 0 && fstat(fd, &info) == 0 && info.st_size == 0);
}

int attack_truncate_by_opening(const struct attack_world *w)
{
    return truncate_by_opening(w->file);
}

static int overwrite(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    return attack_outcome(fd >= 0 && write(fd, "x", 1) == 1);
}

/* Opening is enough to know, and leaves a gate whose record it is what it was. */
int attack_write_isolation_record(const struct attack_world *w)
{
    return attack_outcome(open(w->isolation_record, O_WRONLY | O_CLOEXEC) >= 0);
}

int attack_reopen_to_write(const struct attack_world *w)
{
    char memory[40];
    struct buf path = buf_over(memory, sizeof memory);
    buf_printf(&path, "/proc/self/fd/%d%c", w->read_only, 0);
    return overwrite(memory);
}

/* -- the records */

int attack_write_database(const struct attack_world *w)
{
    return overwrite(w->database);
}

int attack_truncate_database(const struct attack_world *w)
{
    return truncate_by_opening(w->database);
}

int attack_create_beside_database(const struct attack_world *w)
{
    return attack_outcome(open(w->beside_database, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0);
}

int attack_remove_database(const struct attack_world *w)
{
    return attack_outcome(unlink(w->database) == 0);
}

int attack_write_log(const struct attack_world *w)
{
    return overwrite(w->log);
}

int attack_read_log(const struct attack_world *w)
{
    return read_path(w->log, 0);
}

int attack_move_log_folder(const struct attack_world *w)
{
    return attack_outcome(rename(w->log_folder, w->log_elsewhere) == 0);
}

int attack_rewrite_log(const struct attack_world *w)
{
    return overwrite(w->log);
}

int attack_log_forget_append(const struct attack_world *w)
{
    return attack_outcome(fcntl(w->log_append, F_SETFL, 0) == 0 && lseek(w->log_append, 0, SEEK_SET) == 0 &&
                          write(w->log_append, "x", 1) == 1);
}

int attack_truncate_log(const struct attack_world *w)
{
    return attack_outcome(ftruncate(w->log_append, 0) == 0);
}

int attack_remove_log(const struct attack_world *w)
{
    return attack_outcome(unlink(w->log) == 0);
}

int attack_open_by_handle(const struct attack_world *w)
{
    struct {
        struct file_handle head;
        unsigned char rest[MAX_HANDLE_SZ];
    } handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount_id, mount_fd = open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mount_fd < 0 || name_to_handle_at(AT_FDCWD, w->key_file, &handle.head, &mount_id, 0) < 0)
        return attack_outcome(false);
    return attack_outcome(open_by_handle_at(mount_fd, &handle.head, O_RDONLY | O_CLOEXEC) >= 0);
}
