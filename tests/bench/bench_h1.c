/* How long one head takes to parse: prints nanoseconds per head, the best of several runs. Not a test. */
#include "http/h1.h"

#include "base/must.h"

#include <stdio.h>
#include <time.h>

enum { HEADS_PER_RUN = 10'000, RUNS = 200 };

static const struct h1_limits limits = {.head_bytes = 32768, .field_count = 100, .target_bytes = 8192};

struct sample {
    const char *name;
    struct str head;
};

static const struct sample samples[] = {
    {"smallest", STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
    {"wrk", STR("GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\r\n")},
    {"browser, 8 fields",
     STR("GET /patients/1234567/medication?view=current&sort=date HTTP/1.1\r\n"
         "Host: huisartsen-noord.example.nl\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
         "Accept-Language: nl,en-US;q=0.7,en;q=0.3\r\n"
         "Accept-Encoding: gzip, deflate, br\r\n"
         "Connection: keep-alive\r\n"
         "Cookie: session=0123456789abcdef0123456789abcdef; theme=light\r\n"
         "Upgrade-Insecure-Requests: 1\r\n\r\n")},
    {"browser, 15 fields",
     STR("POST /fhir/Observation HTTP/1.1\r\n"
         "Host: apotheek-zuid.example.nl\r\n"
         "Connection: keep-alive\r\n"
         "Content-Length: 1234\r\n"
         "sec-ch-ua: \"Chromium\";v=\"118\", \"Google Chrome\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\n"
         "Content-Type: application/fhir+json\r\n"
         "sec-ch-ua-mobile: ?0\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0 "
         "Safari\r\n"
         "sec-ch-ua-platform: \"Linux\"\r\n"
         "Accept: */*\r\n"
         "Origin: https://apotheek-zuid.example.nl\r\n"
         "Sec-Fetch-Site: same-origin\r\n"
         "Sec-Fetch-Mode: cors\r\n"
         "Sec-Fetch-Dest: empty\r\n"
         "Referer: https://apotheek-zuid.example.nl/werkplek\r\n"
         "Cookie: session=0123456789abcdef0123456789abcdef; theme=light; csrf=fedcba9876543210\r\n\r\n")},
};

static const struct sample answer = {
    "answer, 7 fields",
    STR("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 1000\r\n"
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
        "ETag: \"653f6a3d-3e8\"\r\nAccept-Ranges: bytes\r\n\r\n")};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void parse_once(struct str head, bool is_answer, struct arena *arena)
{
    struct http_request request;
    struct http_response response;
    enum http_refusal refusal = REFUSAL_NONE;
    size_t scanned = 0;
    ptrdiff_t n = is_answer
                      ? h1_parse_response(head, &scanned, &limits, METHOD_GET, arena, &response, &refusal)
                      : h1_parse_request(head, &scanned, &limits, arena, &request, &refusal);
    must(n == (ptrdiff_t)head.n);
    arena_reset(arena);
}

static double best_ns(const struct sample *sample, bool is_answer, struct arena *arena)
{
    double best = 1e12;
    for (int run = 0; run < RUNS; run++) {
        double begin = now_ns();
        for (int i = 0; i < HEADS_PER_RUN; i++)
            parse_once(sample->head, is_answer, arena);
        double each = (now_ns() - begin) / HEADS_PER_RUN;
        best = each < best ? each : best;
    }
    return best;
}

static void report(const struct sample *sample, bool is_answer, struct arena *arena)
{
    printf("%-20s %4zu bytes %7.1f ns\n", sample->name, sample->head.n, best_ns(sample, is_answer, arena));
}

int main(void)
{
    struct arena *arena = arena_new(65536);
    must(arena);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        report(&samples[i], false, arena);
    report(&answer, true, arena);
    arena_free(arena);
    return 0;
}
