// Json.java - JSON of plain values: maps, lists, strings, numbers, booleans.
//
// It answers only where its answer is what AWS's serializer (Jackson, as configured there) would
// say, and says that it cannot otherwise: read() returns ODD, write() false. The caller then asks
// AWS's. What is plain never needs that library's classes.
package lambkin;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

final class Json {
    static final Object ODD = new Object();
    private static final int MAX_DEPTH = 200;
    private static final char[] HEX = "0123456789ABCDEF".toCharArray();

    private final byte[] text;
    private final int end;
    private int at;
    private boolean odd;

    private Json(byte[] text, int from, int to) {
        this.text = text;
        at = from;
        end = to;
    }

    // Integer, Long, BigInteger, Double, String, Boolean, ArrayList, LinkedHashMap or null; ODD for
    // whatever is not strict JSON.
    static Object read(byte[] text, int from, int to) {
        Json j = new Json(text, from, to);
        Object value = j.value(0);
        j.space();
        return j.odd || j.at != j.end ? ODD : value;
    }

    private void space() {
        while (at < end && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r'
                || text[at] == '\t'))
            at++;
    }

    private Object fail() {
        odd = true;
        return null;
    }

    private boolean word(String word) {
        if (end - at < word.length())
            return false;
        for (int i = 0; i < word.length(); i++)
            if (text[at + i] != word.charAt(i))
                return false;
        at += word.length();
        return true;
    }

    private Object value(int depth) {
        space();
        if (at >= end || depth > MAX_DEPTH)
            return fail();
        switch (text[at]) {
        case '{':
            return object(depth);
        case '[':
            return array(depth);
        case '"':
            return string();
        case 't':
            return word("true") ? Boolean.TRUE : fail();
        case 'f':
            return word("false") ? Boolean.FALSE : fail();
        case 'n':
            return word("null") ? null : fail();
        default:
            return numeral();
        }
    }

    private Object object(int depth) {
        Map<String, Object> map = new LinkedHashMap<>();
        at++;
        space();
        if (at < end && text[at] == '}') {
            at++;
            return map;
        }
        while (!odd) {
            space();
            if (at >= end || text[at] != '"')
                return fail();
            String name = string();
            space();
            if (odd || at >= end || text[at++] != ':')
                return fail();
            map.put(name, value(depth + 1));
            space();
            if (odd || at >= end)
                return fail();
            if (text[at] == '}') {
                at++;
                return map;
            }
            if (text[at++] != ',')
                return fail();
        }
        return null;
    }

    private Object array(int depth) {
        List<Object> list = new ArrayList<>();
        at++;
        space();
        if (at < end && text[at] == ']') {
            at++;
            return list;
        }
        while (!odd) {
            list.add(value(depth + 1));
            space();
            if (odd || at >= end)
                return fail();
            if (text[at] == ']') {
                at++;
                return list;
            }
            if (text[at++] != ',')
                return fail();
        }
        return null;
    }

    private String string() {
        int from = ++at;
        boolean ascii = true;
        for (; at < end; at++) {
            int c = text[at];
            if (c == '"') {
                String s = new String(text, from, at - from,
                        ascii ? StandardCharsets.ISO_8859_1 : StandardCharsets.UTF_8);
                at++;
                if (!ascii && s.indexOf('\ufffd') >= 0)
                    odd = true; // not UTF-8, perhaps
                return s;
            }
            if (c == '\\')
                return escaped(from);
            if (c >= 0 && c < 0x20)
                break;
            ascii &= c >= 0;
        }
        odd = true;
        return "";
    }

    // A string with escapes: what stands before `at` is taken as it is.
    private String escaped(int from) {
        StringBuilder s = new StringBuilder();
        while (at < end) {
            int run = at;
            while (run < end && text[run] != '"' && text[run] != '\\' && (text[run] < 0 || text[run] >= 0x20))
                run++;
            s.append(new String(text, from, run - from, StandardCharsets.UTF_8));
            at = run;
            if (at >= end || text[at] != '"' && text[at] != '\\')
                break;
            if (text[at++] == '"') {
                if (s.indexOf("\ufffd") >= 0)
                    odd = true;
                return s.toString();
            }
            if (at >= end)
                break;
            int which = "\"\\/bfnrt".indexOf(text[at]);
            if (which >= 0) {
                s.append("\"\\/\b\f\n\r\t".charAt(which));
            } else if (text[at] == 'u' && end - at > 4) {
                int c = 0;
                for (int i = 1; i <= 4; i++) {
                    int digit = text[at + i] < 0 ? -1 : Character.digit(text[at + i], 16);
                    if (digit < 0) {
                        odd = true;
                        return "";
                    }
                    c = c << 4 | digit;
                }
                s.append((char) c);
                at += 4;
            } else {
                break;
            }
            from = ++at;
        }
        odd = true;
        return "";
    }

    private boolean digits() {
        int from = at;
        while (at < end && text[at] >= '0' && text[at] <= '9')
            at++;
        return at > from;
    }

    private Object numeral() {
        int from = at;
        boolean whole = true;
        if (text[at] == '-')
            at++;
        int first = at;
        if (!digits() || text[first] == '0' && at - first > 1)
            return fail();
        if (at < end && text[at] == '.') {
            whole = false;
            at++;
            if (!digits())
                return fail();
        }
        if (at < end && (text[at] == 'e' || text[at] == 'E')) {
            whole = false;
            at++;
            if (at < end && (text[at] == '+' || text[at] == '-'))
                at++;
            if (!digits())
                return fail();
        }
        if (at - from > 100)
            return fail();
        String s = new String(text, from, at - from, StandardCharsets.ISO_8859_1);
        if (!whole)
            return Double.valueOf(s);
        if (at - first > 18)
            return new BigInteger(s).bitLength() < 64 ? (Object) Long.valueOf(s) : new BigInteger(s);
        long n = Long.parseLong(s);
        return n == (int) n ? (Object) Integer.valueOf((int) n) : Long.valueOf(n);
    }

    // ---- out -----------------------------------------------------------------------------------

    // Maps and lists of the platform's own classes only, and no nulls, which AWS's leaves out of
    // maps.
    static boolean write(StringBuilder to, Object value) {
        return write(to, value, 0);
    }

    private static boolean write(StringBuilder to, Object value, int depth) {
        if (value instanceof String)
            return quote(to, (String) value);
        if (value instanceof Integer || value instanceof Long || value instanceof Boolean) {
            to.append(value);
            return true;
        }
        if (value instanceof Double) {
            double d = (Double) value;
            to.append(d);
            return !Double.isNaN(d) && !Double.isInfinite(d);
        }
        if (value == null || depth > MAX_DEPTH || value.getClass().getClassLoader() != null)
            return false;
        if (value instanceof Map)
            return writeMap(to, (Map<?, ?>) value, depth);
        return value instanceof List && writeList(to, (List<?>) value, depth);
    }

    private static boolean writeMap(StringBuilder to, Map<?, ?> map, int depth) {
        char before = '{';
        for (Map.Entry<?, ?> one : map.entrySet()) {
            to.append(before);
            before = ',';
            if (!(one.getKey() instanceof String) || !quote(to, (String) one.getKey()))
                return false;
            to.append(':');
            if (!write(to, one.getValue(), depth + 1))
                return false;
        }
        to.append(before == '{' ? "{}" : "}");
        return true;
    }

    private static boolean writeList(StringBuilder to, List<?> list, int depth) {
        char before = '[';
        for (Object one : list) {
            to.append(before);
            before = ',';
            if (!write(to, one, depth + 1))
                return false;
        }
        to.append(before == '[' ? "[]" : "]");
        return true;
    }

    private static boolean quote(StringBuilder to, String s) {
        to.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c >= 0x20 && c != '"' && c != '\\' && (c < 0xd800 || c > 0xdfff)) {
                to.append(c);
            } else if (c < 0x80) {
                int which = "\"\\\b\f\n\r\t".indexOf(c);
                to.append('\\');
                if (which >= 0)
                    to.append("\"\\bfnrt".charAt(which));
                else
                    to.append("u00").append(HEX[c >> 4]).append(HEX[c & 15]);
            } else if (Character.isHighSurrogate(c) && i + 1 < s.length()
                    && Character.isLowSurrogate(s.charAt(i + 1))) {
                to.append(c).append(s.charAt(++i));
            } else {
                return false;
            }
        }
        to.append('"');
        return true;
    }
}
