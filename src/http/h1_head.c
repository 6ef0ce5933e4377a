/* Finding the end of a head, and the two loops that touch every byte of it. */
#include "http/h1_parse.h"

#include "http/chars.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum line_verdict { LINE_GOES_ON, LINE_ENDS_HEAD, LINE_IS_BAD };

/* What the LF at `lf` means. Lines before it were judged good. */
static enum line_verdict judge_line(const char *begin, const char *lf, enum h1_head_kind kind)
{
    ptrdiff_t n = lf - begin;
    if (n == 0 || lf[-1] != '\r')
        return LINE_IS_BAD;
    if (n == 1) /* an empty first line: RFC 9112 2.2 has it skipped before a request */
        return kind == H1_TRAILERS ? LINE_ENDS_HEAD : LINE_GOES_ON;
    return lf[-2] == '\n' ? LINE_ENDS_HEAD : LINE_GOES_ON;
}

struct line_scan {
    const char *begin, *at, *end;
    unsigned lines;
    enum h1_head_kind kind;
};

/* Judges the LF at `lf`; true when the scan is over, with `at` behind that LF. */
static inline bool scan_line(struct line_scan *s, const char *lf)
{
    s->lines++;
    if (judge_line(s->begin, lf, s->kind) == LINE_GOES_ON)
        return false;
    s->at = lf + 1;
    return true;
}

/* Goes over line ends until the head's end or a bad line (true) or the end of the bytes (false). */
static bool scan_lines(struct line_scan *s)
{
#ifdef __SSE2__
    const __m128i lf = _mm_set1_epi8('\n');
    for (; s->end - s->at >= 16; s->at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)s->at);
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, lf));
        for (const char *block = s->at; found; found &= found - 1)
            if (scan_line(s, block + __builtin_ctz(found)))
                return true;
    }
#endif
    for (; s->at < s->end; s->at++)
        if (*s->at == '\n' && scan_line(s, s->at))
            return true;
    return false;
}

/* Nothing but a longer head would help. A first line without an end is the target's fault. */
static enum http_refusal why_too_large(struct str in, enum h1_head_kind kind)
{
    bool first_line_ended = in.n && memchr(in.p, '\n', in.n);
    return kind == H1_HEAD && !first_line_ended ? REFUSAL_TARGET_TOO_LONG : REFUSAL_HEAD_TOO_LARGE;
}

static unsigned count_lines(const char *at, const char *end)
{
    unsigned lines = 0;
    while (at < end)
        lines += *at++ == '\n';
    return lines;
}

ptrdiff_t h1_reader_init(struct h1_reader *ret, enum h1_head_kind kind, struct str in, size_t *scanned,
                         const struct h1_limits *limits, struct arena *arena, enum http_refusal *ret_refusal)
{
    struct str head = str_take(in, limits->head_bytes);
    size_t from = *scanned < head.n ? *scanned : head.n;
    if (in.n == 0)
        return 0;
    struct line_scan s = {.begin = head.p, .at = head.p + from, .end = head.p + head.n, .kind = kind};
    if (!scan_lines(&s)) {
        *scanned = head.n;
        if (head.n < limits->head_bytes)
            return 0;
        *ret_refusal = why_too_large(head, kind);
        return -1;
    }
    if (from > 0)
        s.lines = count_lines(head.p, s.at);
    *ret = (struct h1_reader){.at = head.p,
                              .end = s.at,
                              .readable = in.p + in.n,
                              .lines = s.lines,
                              .arena = arena,
                              .limits = limits};
    return s.at - head.p;
}

const char *h1_skip_value(const struct h1_reader *r, const char *at)
{
#ifdef __SSE2__
    const __m128i tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f), last_control = _mm_set1_epi8(0x1f);
    for (; r->readable - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control), _mm_cmpeq_epi8(bytes, del));
        unsigned found = (unsigned)_mm_movemask_epi8(bad);
        if (found)
            return at + __builtin_ctz(found);
    }
#endif
    while (http_char_is(*at, CHAR_VALUE))
        at++;
    return at;
}

enum http_refusal h1_take_line_end(struct h1_reader *r)
{
    if (r->at[0] != '\r' || r->at[1] != '\n')
        return REFUSAL_LINE_END;
    r->at += 2;
    return REFUSAL_NONE;
}

bool h1_take_version(struct h1_reader *r, enum http_version *ret, bool *ret_supported)
{
    static const char prefix[] = "HTTP/";
    const char *p = r->at;
    if (r->end - p < 9 || memcmp(p, prefix, 5) != 0) /* eight bytes and at least one more: LF */
        return false;
    bool is_form = p[5] >= '0' && p[5] <= '9' && p[6] == '.' && p[7] >= '0' && p[7] <= '9';
    if (!is_form)
        return false;
    *ret_supported = p[5] == '1' && (p[7] == '0' || p[7] == '1');
    *ret = p[7] == '0' ? HTTP_1_0 : HTTP_1_1;
    r->at += 8;
    return true;
}

bool h1_is_token(struct str s)
{
    return s.n > 0 && http_all(s, CHAR_TOKEN);
}

bool h1_is_field_value(struct str s)
{
    return http_all(s, CHAR_VALUE) && str_trim(s).n == s.n;
}
