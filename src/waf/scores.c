/* waf/scores.c - the anomaly scores of a transaction, wherever the rules keep them. */
#include "waf/tx.h"

static uint32_t number_of(struct waf_tx *tx, struct str name)
{
    int64_t value = tx_number(tx, VAR_TX, name);
    return value < 0 ? 0 : (uint32_t)value;
}

/* The first that is there. When a request is decided before the rules summed up, the parts of each paranoia
 * level are summed here. */
static uint32_t score_of(struct waf_tx *tx, const char *const names[2], const char *const parts[2])
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 2 && !sum; i++)
        sum = number_of(tx, str_of(names[i]));
    for (unsigned i = 0; i < 2 && !sum; i++) {
        for (unsigned level = 1; level <= 4; level++) {
            char text[64];
            struct buf name = buf_over(text, sizeof text);
            buf_printf(&name, "%s%u", parts[i], level);
            sum += number_of(tx, buf_text(&name));
        }
    }
    return sum;
}

struct waf_scores waf_tx_scores(struct waf_tx *tx)
{
    static const char *const inbound[2] = {"blocking_inbound_anomaly_score", "anomaly_score"};
    static const char *const inbound_parts[2] = {"inbound_anomaly_score_pl", "anomaly_score_pl"};
    static const char *const outbound[2] = {"blocking_outbound_anomaly_score", "outbound_anomaly_score"};
    static const char *const outbound_parts[2] = {"outbound_anomaly_score_pl", "outbound_anomaly_score_pl"};
    return (struct waf_scores){.inbound = score_of(tx, inbound, inbound_parts),
                               .outbound = score_of(tx, outbound, outbound_parts),
                               .inbound_threshold = number_of(tx, STR("inbound_anomaly_score_threshold")),
                               .outbound_threshold = number_of(tx, STR("outbound_anomaly_score_threshold"))};
}
