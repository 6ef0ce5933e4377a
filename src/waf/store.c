/* Collections that outlive a transaction: IP, GLOBAL, SESSION, USER, RESOURCE. Everything is bounded: a
 * record holds so many variables of so many bytes, and when all records are taken the one used longest ago
 * makes room, unless a transaction still has it open. */
#include "waf/tx.h"

#include "base/list.h"

#include <stdlib.h>

enum { VARS_MAX = 32, NAME_MAX_BYTES = 64, VALUE_MAX_BYTES = 192, KEY_MAX_BYTES = 128 };

struct store_var {
    int64_t expires_s; /* 0: with its record */
    size_t name_n, value_n;
    char name[NAME_MAX_BYTES], value[VALUE_MAX_BYTES];
};

struct store_record {
    struct list by_use;  /* in waf_store.used */
    unsigned open_count; /* transactions that have it open: they may run in turns */
    enum variable collection;
    size_t key_n;
    char key[KEY_MAX_BYTES];
    int64_t last_used_s;
    struct store_var vars[VARS_MAX];
    struct pair pairs[VARS_MAX]; /* the same, as the evaluator reads them */
    struct pairs view;
};

struct waf_store {
    struct list used; /* least recently used first */
    size_t count, limit;
};

struct waf_store *waf_store_new(size_t limit_records)
{
    struct waf_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    list_init(&store->used);
    store->limit = limit_records;
    return store;
}

void waf_store_free(struct waf_store *store)
{
    struct list *node;
    while (store && (node = list_pop_front(&store->used)))
        free(container_of(node, struct store_record, by_use));
    free(store);
}

static struct store_record *find(struct waf_store *store, enum variable collection, struct str key)
{
    for (struct list *node = store->used.prev; node != &store->used; node = node->prev) { /* newest first */
        struct store_record *record = container_of(node, struct store_record, by_use);
        if (record->collection == collection && str_eq((struct str){record->key, record->key_n}, key))
            return record;
    }
    return NULL;
}

/* The names and values lie in vars; the view follows them. */
static void refresh(struct store_record *record)
{
    for (size_t i = 0; i < record->view.n; i++) {
        const struct store_var *var = &record->vars[i];
        record->pairs[i] = (struct pair){{var->name, var->name_n}, {var->value, var->value_n}};
    }
}

static void drop_var(struct store_record *record, size_t i)
{
    record->view.n--;
    if (i < record->view.n)
        record->vars[i] = record->vars[record->view.n];
    refresh(record);
}

static void drop_expired(struct store_record *record, int64_t now_s)
{
    for (size_t i = record->view.n; i-- > 0;) {
        if (record->vars[i].expires_s && record->vars[i].expires_s <= now_s)
            drop_var(record, i);
    }
}

static struct store_record *new_record(struct waf_store *store)
{
    struct store_record *record;
    if (store->count < store->limit) {
        record = calloc(1, sizeof *record);
        store->count += record != NULL;
        return record;
    }
    for (struct list *node = store->used.next; node != &store->used; node = node->next) {
        record = container_of(node, struct store_record, by_use);
        if (record->open_count)
            continue;
        list_remove(node);
        memset(record, 0, sizeof *record);
        return record;
    }
    return NULL;
}

struct store_record *waf_record_open(struct waf_store *store, enum variable collection, struct str key,
                                     int64_t now_s, uint64_t timeout_s)
{
    key = str_take(key, KEY_MAX_BYTES);
    struct store_record *record = find(store, collection, key);
    if (record) {
        list_remove(&record->by_use);
        if (now_s - record->last_used_s > (int64_t)timeout_s)
            record->view.n = 0;
    } else {
        record = new_record(store);
        if (!record)
            return NULL;
        record->collection = collection;
        record->key_n = key.n;
        if (key.n)
            memcpy(record->key, key.p, key.n);
        record->view.items = record->pairs;
    }
    record->last_used_s = now_s;
    list_push_back(&store->used, &record->by_use);
    drop_expired(record, now_s);
    record->open_count++;
    return record;
}

void waf_record_close(struct store_record *record)
{
    if (record)
        record->open_count--;
}

const struct pairs *store_vars(const struct store_record *record)
{
    return &record->view;
}

static struct store_var *find_var(struct store_record *record, struct str name)
{
    struct pair *pair = pairs_find(&record->view, str_take(name, NAME_MAX_BYTES));
    return pair ? &record->vars[pair - record->pairs] : NULL;
}

bool store_set(struct store_record *record, struct str name, struct str value)
{
    struct store_var *var = find_var(record, name);
    if (!var) {
        if (record->view.n == VARS_MAX)
            return false;
        var = &record->vars[record->view.n++];
        name = str_take(name, NAME_MAX_BYTES);
        *var = (struct store_var){.name_n = name.n};
        if (name.n)
            memcpy(var->name, name.p, name.n);
    }
    value = str_take(value, VALUE_MAX_BYTES);
    var->value_n = value.n;
    if (value.n)
        memmove(var->value, value.p, value.n);
    refresh(record);
    return true;
}

void store_unset(struct store_record *record, struct str name)
{
    struct store_var *var = find_var(record, name);
    if (var)
        drop_var(record, (size_t)(var - record->vars));
}

void store_expire(struct store_record *record, struct str name, int64_t at_s)
{
    struct store_var *var = find_var(record, name);
    if (var)
        var->expires_s = at_s;
}
