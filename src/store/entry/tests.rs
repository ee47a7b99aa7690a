use super::*;

#[test]
fn integers_take_as_few_bytes_as_they_need() {
    let cases = [
        (0, 1),
        (1, 1),
        (-1, 1),
        (127, 1),
        (128, 2),
        (-128, 1),
        (-129, 2),
        (32_767, 2),
        (32_768, 3),
        (i64::from(i32::MAX), 4),
        (i64::MAX, 8),
        (i64::MIN, 8),
    ];
    for (integer, len) in cases {
        let stored = StoredValue::integer(integer);
        assert_eq!(stored.bytes().len(), len, "{integer}");
        assert_eq!(integer_from(stored.bytes()), integer);
        assert_eq!(&*Text::of_integer(integer), integer.to_string().as_bytes());
    }
}

#[test]
fn what_only_looks_like_an_integer_stays_text() {
    for text in ["01", "+1", "-0", "1 ", "9223372036854775808", "", "1e3"] {
        let stored = StoredValue::new(text.as_bytes(), Encoding::Int);
        assert_eq!((stored.bytes(), stored.encoding()), (text.as_bytes(), Encoding::EmbStr));
    }
}
