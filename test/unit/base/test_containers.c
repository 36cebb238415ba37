// test_containers.c - maps, lists and heaps against simple models.
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t random_state = 12345;

static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

#define KEYS 400

static void a_map_behaves_like_an_array(void **state)
{
    static char names[KEYS][8];
    void *model[KEYS] = {0};
    int values[16];
    struct map m = {0};
    size_t n = 0;

    (void)state;
    for (int i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof(names[i]), "k%d", i);
    assert_null(map_get(&m, STR("x")));
    assert_null(map_remove(&m, STR("x")));
    for (int step = 0; step < 40000; step++) {
        // Phases of growing and of shrinking.
        size_t k = next_random() % KEYS;
        struct str key = str_from(names[k]);
        if (next_random() % 4 < (step / 5000 % 2 ? 1u : 3u)) {
            void *old = &n, *value = &values[next_random() % 16];
            assert_int_equal(map_set(&m, key, value, &old), 0);
            assert_ptr_equal(old, model[k]);
            n += model[k] == NULL;
            model[k] = value;
        } else {
            assert_ptr_equal(map_remove(&m, key), model[k]);
            n -= model[k] != NULL;
            model[k] = NULL;
        }
        assert_int_equal(m.n, n);
        k = next_random() % KEYS;
        assert_ptr_equal(map_get(&m, str_from(names[k])), model[k]);
    }
    for (size_t k = 0; k < KEYS; k++)
        assert_ptr_equal(map_get(&m, str_from(names[k])), model[k]);
    {
        const struct map_entry *e;
        size_t at = 0, seen = 0;
        while ((e = map_next(&m, &at)))
            seen++;
        assert_int_equal(seen, n);
    }
    map_clear(&m);
    assert_int_equal(m.n, 0);
    assert_null(map_get(&m, STR("k1")));
    map_finish(&m);
}

struct item {
    int n;
    struct list link;
};

static void lists(void **state)
{
    struct list head, other;
    struct item items[5] = {{0}};
    int sum = 0;

    (void)state;
    list_init(&head);
    list_init(&other);
    assert_true(list_empty(&head));
    assert_null(list_pop(&head));
    assert_false(list_linked(&items[0].link));
    list_remove(&items[0].link); // in no list: no harm
    for (int i = 0; i < 5; i++) {
        items[i].n = i;
        if (i < 3)
            list_append(&head, &items[i].link);
        else
            list_push(&other, &items[i].link);
    }
    list_splice(&head, &other); // 0 1 2 4 3
    assert_true(list_empty(&other));
    list_splice(&head, &other);
    list_each(l, &head) sum = sum * 10 + LIST_ENTRY(l, struct item, link)->n;
    assert_int_equal(sum, 1243);
    list_each_safe(l, &head)
    {
        if (LIST_ENTRY(l, struct item, link)->n % 2)
            list_remove(l);
    }
    assert_false(list_linked(&items[1].link));
    assert_ptr_equal(list_pop(&head), &items[0].link);
    assert_ptr_equal(list_pop(&head), &items[2].link);
    assert_ptr_equal(list_pop(&head), &items[4].link);
    assert_true(list_empty(&head));
}

static void a_heap_is_sorted(void **state)
{
    static struct heap_node nodes[500];
    struct heap h = {0};
    int64_t last = INT64_MIN;
    size_t left = 0;

    (void)state;
    assert_null(heap_first(&h));
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(heap_add(&h, &nodes[i], next_random() % 1000), 0);
    for (size_t i = 0; i < 500; i += 3)
        heap_remove(&h, &nodes[i]);
    heap_remove(&h, &nodes[0]); // in no heap: no harm
    for (size_t i = 1; i < 500; i += 3)
        heap_move(&h, &nodes[i], next_random() % 1000 - 500);
    while (heap_first(&h)) {
        struct heap_node *n = heap_first(&h);
        assert_true(n->key >= last);
        last = n->key;
        heap_remove(&h, n);
        assert_int_equal(n->place, 0);
        left++;
    }
    assert_int_equal(left, 333);
    assert_int_equal(heap_add(&h, &nodes[0], 1), 0);
    heap_finish(&h);
    assert_int_equal(nodes[0].place, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_behaves_like_an_array),
        cmocka_unit_test(lists),
        cmocka_unit_test(a_heap_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
