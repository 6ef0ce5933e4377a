/* ipc/messages_doc.c - docs/messages.md out of messages.def.
 *
 * Without argument it writes the page; with the name of a file it says whether that is the page. */
#include "ipc/messages.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 64 * 1024 };

static void write_head(struct buf *b)
{
    BUF_LIT(b,
            "# Messages between the processes of the gate\n\n"
            "Written by `messages-doc` from `src/ipc/messages.def`; change it there.\n\n"
            "One packet of a UNIX SEQPACKET socket is one message: its number (16 bits), then its fields in\n"
            "this order, little endian; bytes as their length (16 bits) and that many bytes. A message that\n"
            "is not in this table, does not go from this role to that one, is not consumed to its last byte\n"
            "or comes with the wrong descriptors ends the channel to its sender.\n\n");
}

static void write_number_field(struct buf *b, const char *name, unsigned bits)
{
    buf_printf(b, "| `%s` | number, %u bits |\n", name, bits);
}

static void write_bytes_field(struct buf *b, const char *name, unsigned max)
{
    buf_printf(b, "| `%s` | at most %u bytes |\n", name, max);
}

static void write_fd(struct buf *b, const char *when)
{
    buf_printf(b, "| descriptor | %s |\n", when);
}

static void write_message_head(struct buf *b, enum msg_number number, enum role from, enum role to,
                               const char *help)
{
    buf_printf(b, "## %d `%.*s`: %.*s to %.*s\n\n", (int)number, STR_ARG(msg_name(number)),
               STR_ARG(role_name(from)), STR_ARG(role_name(to)));
    buf_str(b, str_of(help));
    BUF_LIT(b, "\n\n| field | content |\n|---|---|\n");
}

#define U8(field)         write_number_field(b, #field, 8);
#define U16(field)        write_number_field(b, #field, 16);
#define U32(field)        write_number_field(b, #field, 32);
#define U64(field)        write_number_field(b, #field, 64);
#define BYTES(field, max) write_bytes_field(b, #field, (max));
#define FD_ONE            write_fd(b, "always");
#define FD_MAYBE          write_fd(b, "when there is one to give");
#define MESSAGE(name, NAME, number, from, to, help, fields)                                                  \
    write_message_head(b, MSG_##NAME, ROLE_##from, ROLE_##to, help);                                         \
    fields BUF_LIT(b, "\n");

static void write_page(struct buf *b)
{
    write_head(b);
#include "ipc/messages.def"
    b->n--; /* the last empty line */
}

static bool file_is(const char *path, struct str page)
{
    static char memory[PAGE_MAX + 1];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return false;
    }
    size_t n = fread(memory, 1, sizeof memory, f);
    fclose(f);
    return str_eq((struct str){memory, n}, page);
}

int main(int argc, char **argv)
{
    static char memory[PAGE_MAX];
    struct buf page = buf_over(memory, sizeof memory);
    write_page(&page);
    if (buf_overflowed(&page))
        return EXIT_FAILURE;
    if (argc < 2)
        return fwrite(page.p, 1, page.n, stdout) == page.n ? EXIT_SUCCESS : EXIT_FAILURE;
    if (file_is(argv[1], buf_text(&page)))
        return EXIT_SUCCESS;
    fprintf(stderr, "%s is not what src/ipc/messages.def says; write it anew with messages-doc\n", argv[1]);
    return EXIT_FAILURE;
}
