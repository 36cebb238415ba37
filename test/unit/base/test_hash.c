// test_hash.c - digests against the vectors of their specifications.
#include "base/hash.h"
#include "base/hex.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void known_digests(void **state)
{
    char sha[SHA256_HEX_BYTES], md5[MD5_HEX_BYTES], hex[2 * SHA1_BYTES + 1];
    uint8_t sha1[SHA1_BYTES];

    (void)state;
    hash_sha256_hex(STR("abc"), sha); // FIPS 180-4
    assert_string_equal(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256_hex(STR_NULL, sha);
    assert_string_equal(sha, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash_md5_hex(STR("message digest"), md5); // RFC 1321
    assert_string_equal(md5, "f96b697d7cb7938d525a2f31aaf161d0");
    hash_sha1(STR("abc"), sha1);
    hex_encode(sha1, sizeof(sha1), hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

static void known_hmacs(void **state)
{
    uint8_t out[SHA256_BYTES], key[131];
    char hex[SHA256_HEX_BYTES];

    (void)state;
    // RFC 4231, cases 2 and 6.
    hash_hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hash_hmac_sha256((struct str){(char *)key, sizeof(key)},
                     STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hash_hmac_sha256(STR_NULL, STR_NULL, out);
    hex_encode(out, sizeof(out), hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void piece_by_piece(void **state)
{
    static const size_t sizes[] = {SHA256_BYTES, SHA1_BYTES, MD5_BYTES};
    uint8_t a[HASH_MAX_BYTES], b[HASH_MAX_BYTES];

    (void)state;
    for (int kind = HASH_SHA256; kind <= HASH_MD5; kind++) {
        struct hash *h = hash_create((enum hash_kind)kind);
        assert_non_null(h);
        hash_add(h, STR("ab"));
        hash_add(h, STR_NULL);
        hash_add(h, STR("c"));
        assert_int_equal(hash_result(h, a), sizes[kind]);
        hash_add(h, STR("abc")); // it has started anew
        assert_int_equal(hash_result(h, b), sizes[kind]);
        assert_memory_equal(a, b, sizes[kind]);
        hash_destroyp(&h);
        assert_null(h);
    }
    hash_sha256(STR("abc"), b);
}

static void crc32(void **state)
{
    char data[100];

    (void)state;
    assert_int_equal(hash_crc32(0, STR("123456789")), 0xcbf43926u);
    assert_int_equal(hash_crc32(0, STR("")), 0);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        uint32_t first = hash_crc32(0, (struct str){data, cut});
        assert_int_equal(hash_crc32(first, (struct str){data + cut, sizeof(data) - cut}),
                         hash_crc32(0, (struct str){data, sizeof(data)}));
    }
}

static void table_hash(void **state)
{
    uint64_t before = hash_table(STR("key"));

    (void)state;
    assert_true(hash_table(STR("key")) == before);
    assert_true(hash_table(STR("kez")) != before);
    assert_true(hash_table(STR("")) != hash_table(STR("\0")));
    assert_true(hash_table(STR("12345678")) != hash_table(STR("12345678\0")));
    hash_seed(1, 2);
    assert_true(hash_table(STR("key")) != before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),  cmocka_unit_test(known_hmacs),
        cmocka_unit_test(piece_by_piece), cmocka_unit_test(crc32),
        cmocka_unit_test(table_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
