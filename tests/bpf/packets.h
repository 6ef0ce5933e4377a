/* packets.h - frames made to measure, and the programs' answer to them. */
#ifndef POLDER_TESTS_BPF_PACKETS_H
#define POLDER_TESTS_BPF_PACKETS_H

#include "filter/filter.h"

enum { SYN = 2, ACK = 16, FIN = 1, RST = 4, PSH = 8, URG = 32 };

struct shape {             /* of a frame; what is 0 gets a usual value */
    const char *from, *to; /* both IPv4 or both IPv6 */
    uint8_t protocol;      /* 0: TCP */
    uint16_t from_port, to_port;
    uint8_t flags; /* of TCP; 0: ACK */
    uint8_t icmp_type;
    unsigned payload; /* bytes behind the transport header */
    unsigned tags;    /* VLAN tags */
    /* IPv4: options; IPv6: extension headers, as they stand, and the number of the first one */
    const uint8_t *extra;
    size_t extra_bytes;
    uint8_t extra_first;
    uint8_t hops; /* 0: 64 */
    /* Of a fragment: where it begins, in bytes, and whether more come. */
    bool is_fragment, more;
    uint16_t offset;
    uint32_t fragment_id;
};

struct frame {
    uint8_t bytes[2048];
    size_t n, ip_at, transport_at;
};

struct frame frame_of(struct shape);
void frame_put16(struct frame *, size_t at, uint16_t value); /* network order */

struct outcome {
    int action;      /* XDP_* or TC_ACT_* */
    unsigned reason; /* FILTER_REASON_MAX: nothing was counted */
    unsigned dry;    /* the last reason that only counted; FILTER_REASON_MAX: none */
    uint8_t answer[256];
    size_t answer_bytes;
};

struct outcome run_frame(struct filter *, enum filter_direction, const struct frame *);

/* In name spaces of its own with a BPF file system at *ret_pins, if this process may: else says why and exits
 * with 77. */
void enter_own_world(char *ret_pins, size_t cap);
struct filter *filter_for_test(const char *pins, uint32_t level); /* pins NULL: none */
void list_add(struct filter_list *, const char *prefix, enum filter_class);
struct addr addr_of(const char *text);
struct addr_prefix prefix_of(const char *text);
/* Rates far away, own ports 443 (web), 8080 (notice), 9000 (link), 9443 (management), TCP; nothing else. */
struct filter_policy plain_policy(void);

#endif
