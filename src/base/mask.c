/* base/mask.c - see mask.h. */
#include "base/mask.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The eleven-test of the BSN: weights 9, 8, ... 2 and -1; eight digits are nine with a zero in front. */
static bool passes_eleven_test(const char *digits, size_t n)
{
    int sum = 0;
    bool is_zero = true;
    if (n != 8 && n != 9)
        return false;
    for (size_t i = 0; i < n; i++) {
        int weight = (int)(n - i);
        sum += (digits[i] - '0') * (weight == 1 ? -1 : weight);
        is_zero = is_zero && digits[i] == '0';
    }
    return sum % 11 == 0 && !is_zero;
}

struct str mask_citizen_numbers(struct str text, bool is_cut, char *out)
{
    enum { CUT_DIGITS = 5 }; /* at a cut end, that much of a number already tells too much */
    if (text.n)
        memcpy(out, text.p, text.n);
    for (size_t at = 0; at < text.n;) {
        size_t end = at;
        while (end < text.n && is_digit(text.p[end]))
            end++;
        bool is_cut_number = is_cut && end == text.n && end - at >= CUT_DIGITS;
        if (is_cut_number || passes_eleven_test(text.p + at, end - at))
            memset(out + at, '*', end - at);
        at = end + 1;
    }
    return (struct str){out, text.n};
}
