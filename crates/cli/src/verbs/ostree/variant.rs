//! GVariant values as text, in the notation of GLib ("GVariant Text Format" in the GLib manual), with
//! the annotations and escapes of its printer.

use std::fmt::Write;

use ostree_format::gvariant::Value;

/// The value as text with type annotations.
pub(crate) fn annotated(value: &Value) -> String {
    let mut text = String::new();
    print(value, true, &mut text);
    text
}

/// The value as text without type annotations.
pub(crate) fn plain(value: &Value) -> String {
    let mut text = String::new();
    print(value, false, &mut text);
    text
}

/// The same value with every number in the other byte order: `ostree` keeps its own numbers in big
/// endian and shows all of them swapped, also those of others.
pub(crate) fn byteswapped(value: &Value) -> Value {
    match value {
        Value::I16(number) => Value::I16(number.swap_bytes()),
        Value::U16(number) => Value::U16(number.swap_bytes()),
        Value::I32(number) => Value::I32(number.swap_bytes()),
        Value::U32(number) => Value::U32(number.swap_bytes()),
        Value::Handle(number) => Value::Handle(number.swap_bytes()),
        Value::I64(number) => Value::I64(number.swap_bytes()),
        Value::U64(number) => Value::U64(number.swap_bytes()),
        Value::F64(bits) => Value::F64(bits.swap_bytes()),
        Value::Variant(inner) => byteswapped(inner).boxed(),
        Value::Maybe(of, inner) => Value::Maybe(
            of.clone(),
            inner.as_ref().map(|inner| Box::new(byteswapped(inner))),
        ),
        Value::Array(of, elements) => Value::Array(of.clone(), swap_all(elements)),
        Value::Tuple(members) => Value::Tuple(swap_all(members)),
        Value::DictEntry(pair) => {
            Value::DictEntry(Box::new((byteswapped(&pair.0), byteswapped(&pair.1))))
        }
        other => other.clone(),
    }
}

fn swap_all(values: &[Value]) -> Vec<Value> {
    values.iter().map(byteswapped).collect()
}

fn print(value: &Value, annotate: bool, out: &mut String) {
    match value {
        Value::Bool(flag) => push(out, flag),
        Value::Byte(byte) => number(out, annotate, "byte", format_args!("0x{byte:02x}")),
        Value::I16(n) => number(out, annotate, "int16", n),
        Value::U16(n) => number(out, annotate, "uint16", n),
        Value::I32(n) => push(out, n),
        Value::U32(n) => number(out, annotate, "uint32", n),
        Value::Handle(n) => number(out, annotate, "handle", n),
        Value::I64(n) => number(out, annotate, "int64", n),
        Value::U64(n) => number(out, annotate, "uint64", n),
        Value::F64(bits) => out.push_str(&float(f64::from_bits(*bits))),
        Value::Str(text) => string(text, out),
        Value::ObjectPath(path) => number(out, annotate, "objectpath", format_args!("'{path}'")),
        Value::Signature(of) => number(out, annotate, "signature", format_args!("'{of}'")),
        Value::Variant(inner) => {
            out.push('<');
            print(inner, true, out);
            out.push('>');
        }
        Value::Maybe(_, inner) => maybe(value, inner.as_deref(), annotate, out),
        Value::Bytes(bytes) => byte_array(bytes, annotate, out),
        Value::Array(_, elements) => array(value, elements, annotate, out),
        Value::Tuple(members) => tuple(members, annotate, out),
        Value::DictEntry(pair) => {
            out.push('{');
            print(&pair.0, annotate, out);
            out.push_str(", ");
            print(&pair.1, annotate, out);
            out.push('}');
        }
    }
}

fn push(out: &mut String, shown: impl std::fmt::Display) {
    write!(out, "{shown}").expect("a string takes everything");
}

fn number(out: &mut String, annotate: bool, word: &str, shown: impl std::fmt::Display) {
    if annotate {
        push(out, format_args!("{word} "));
    }
    push(out, shown);
}

/// `@TYPE `, for values that do not show their type.
fn type_of(value: &Value, annotate: bool, out: &mut String) {
    if annotate {
        push(out, format_args!("@{} ", value.value_type()));
    }
}

fn maybe(value: &Value, inner: Option<&Value>, annotate: bool, out: &mut String) {
    type_of(value, annotate, out);
    let Some(inner) = inner else {
        return out.push_str("nothing");
    };
    if ends_in_nothing(inner) {
        out.push_str("just ");
    }
    print(inner, false, out);
}

/// Without `just`, a `nothing` inside would be read as that of the outermost type.
fn ends_in_nothing(value: &Value) -> bool {
    match value {
        Value::Maybe(_, inner) => inner.as_deref().is_none_or(ends_in_nothing),
        _ => false,
    }
}

/// Bytes that end with their only NUL are a string in the eyes of GLib.
fn byte_array(bytes: &[u8], annotate: bool, out: &mut String) {
    if let Some((0, text)) = bytes.split_last()
        && !text.contains(&0)
    {
        return byte_string(text, out);
    }
    if bytes.is_empty() {
        return out.push_str(if annotate { "@ay []" } else { "[]" });
    }
    out.push('[');
    for (i, byte) in bytes.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        number(
            out,
            annotate && i == 0,
            "byte",
            format_args!("0x{byte:02x}"),
        );
    }
    out.push(']');
}

fn byte_string(text: &[u8], out: &mut String) {
    let quote = if text.contains(&b'\'') { '"' } else { '\'' };
    push(out, format_args!("b{quote}"));
    for &byte in text {
        match byte {
            b'"' | b'\\' => push(out, format_args!("\\{}", char::from(byte))),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => match named_escape(char::from(byte)) {
                Some(letter) => push(out, format_args!("\\{letter}")),
                None => push(out, format_args!("\\{byte:03o}")),
            },
        }
    }
    out.push(quote);
}

/// The letters that byte strings and strings share.
fn named_escape(c: char) -> Option<char> {
    Some(match c {
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        _ => return None,
    })
}

fn array(value: &Value, elements: &[Value], annotate: bool, out: &mut String) {
    let is_dict = value.value_type().to_string().starts_with("a{");
    if elements.is_empty() {
        type_of(value, annotate, out);
        return out.push_str(if is_dict { "{}" } else { "[]" });
    }
    out.push(if is_dict { '{' } else { '[' });
    for (i, element) in elements.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        // The first element tells the type of all.
        entry(element, annotate && i == 0, out);
    }
    out.push(if is_dict { '}' } else { ']' });
}

fn entry(element: &Value, annotate: bool, out: &mut String) {
    let Value::DictEntry(pair) = element else {
        return print(element, annotate, out);
    };
    print(&pair.0, annotate, out);
    out.push_str(": ");
    print(&pair.1, annotate, out);
}

fn tuple(members: &[Value], annotate: bool, out: &mut String) {
    out.push('(');
    for (i, member) in members.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        print(member, annotate, out);
    }
    out.push_str(if members.len() == 1 { ",)" } else { ")" });
}

fn string(text: &str, out: &mut String) {
    let quote = if text.contains('\'') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            push(out, format_args!("\\{c}"));
        } else if is_printable(c) {
            out.push(c);
        } else {
            escape(c, out);
        }
    }
    out.push(quote);
}

fn escape(c: char, out: &mut String) {
    match (c, named_escape(c), u32::from(c)) {
        ('\x07', ..) => out.push_str("\\a"),
        (_, Some(letter), _) => push(out, format_args!("\\{letter}")),
        (_, None, code @ ..=0xffff) => push(out, format_args!("\\u{code:04x}")),
        (_, None, code) => push(out, format_args!("\\U{code:08x}")),
    }
}

/// GLib prints everything but control and format characters and what is not assigned. The standard
/// library knows which these are, but shows it only by escaping them, together with unusual spaces,
/// private characters, and a mark that has nothing before it to stand on.
fn is_printable(c: char) -> bool {
    let ascii = c.is_ascii_graphic() || c == ' ';
    let space = c.is_whitespace() && !c.is_control();
    let private =
        matches!(u32::from(c), 0xe000..=0xf8ff | 0xf_0000..=0xf_fffd | 0x10_0000..=0x10_fffd);
    ascii || space || private || format!("x{c}").escape_debug().skip(1).eq([c])
}

/// As `%.17g`, made recognisable as no integer.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{number:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..17).contains(&exponent) {
        let places = usize::try_from(16 - exponent).unwrap_or_default();
        let fixed = format!("{number:.places$}");
        let short = trim_zeros(&fixed);
        return if short.contains('.') {
            short.to_owned()
        } else {
            format!("{short}.0")
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_zeros(digits), exponent.abs())
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use ostree_format::gvariant::Type;

    use super::*;

    /// Expected texts were printed by GLib itself (`GVariant.print(true)`).
    #[test]
    fn strings_are_quoted_as_glib_quotes_them() {
        for (value, expected) in [
            ("it's \"x\"\u{1}\u{301}", "\"it's \\\"x\\\"\\u0001\u{301}\""),
            (
                "\u{200b}\u{a0}\u{2028}\u{e000}",
                "'\\u200b\u{a0}\u{2028}\u{e000}'",
            ),
            ("\t\u{7}\u{ad}\u{378}🍔", "'\\t\\a\\u00ad\\u0378🍔'"),
            ("\u{e0001}\u{f0000}", "'\\U000e0001\u{f0000}'"),
        ] {
            assert_eq!(annotated(&Value::from(value)), expected);
        }
    }

    #[test]
    fn bytes_are_a_string_when_they_look_like_one() {
        for (bytes, expected) in [
            (
                b"a'b\"\\\n\x01\xff\0".as_slice(),
                "b\"a'b\\\"\\\\\\n\\001\\377\"",
            ),
            (b"\x07\x0b\x7f\0", "b'\\007\\v\\177'"),
            (b"\0", "b''"),
            (b"\x01\0\x02", "[byte 0x01, 0x00, 0x02]"),
            (b"", "@ay []"),
        ] {
            assert_eq!(annotated(&Value::Bytes(bytes.to_vec())), expected);
        }
    }

    #[test]
    fn floats_have_seventeen_digits() {
        for (number, expected) in [
            (1.1, "1.1000000000000001"),
            (3.0, "3.0"),
            (-0.0, "-0.0"),
            (1e300, "1.0000000000000001e+300"),
            (1e-5, "1.0000000000000001e-05"),
            (1e-4, "0.0001"),
            (1e16, "10000000000000000.0"),
            (1e17, "1e+17"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(annotated(&Value::F64(number.to_bits())), expected);
        }
    }

    #[test]
    fn only_the_first_element_tells_the_type() {
        let numbers = |numbers: &[u32]| {
            Value::Array(Type::U32, numbers.iter().copied().map(Value::U32).collect())
        };
        let of = Type::array(Type::U32);
        let pair = |a, b| Value::Tuple(vec![Value::U32(a), Value::U32(b)]);
        let entry = |key: &str, n| Value::DictEntry(Box::new((Value::from(key), Value::U32(n))));
        let vardict = Value::from_bytes(&Type::vardict(), &[]).unwrap();
        for (value, expected) in [
            (numbers(&[1, 2]), "[uint32 1, 2]"),
            (
                Value::Array(of.clone(), vec![numbers(&[]), numbers(&[1])]),
                "[@au [], [1]]",
            ),
            (
                Value::Array(pair(1, 2).value_type(), vec![pair(1, 2), pair(3, 4)]),
                "[(uint32 1, uint32 2), (3, 4)]",
            ),
            (
                Value::Array(
                    entry("a", 1).value_type(),
                    vec![entry("a", 1), entry("b", 2)],
                ),
                "{'a': uint32 1, 'b': 2}",
            ),
            (vardict, "@a{sv} {}"),
            (entry("k", 3), "{'k', uint32 3}"),
            (Value::Tuple(vec![Value::I32(1)]), "(1,)"),
            (Value::U64(3).boxed(), "<uint64 3>"),
            (
                Value::Array(
                    Type::Variant,
                    vec![Value::U32(3).boxed(), Value::U64(3).boxed()],
                ),
                "[<uint32 3>, <uint64 3>]",
            ),
            (Value::ObjectPath("/a".into()), "objectpath '/a'"),
            (Value::Signature("u".into()), "signature 'u'"),
        ] {
            assert_eq!(annotated(&value), expected);
        }
    }

    #[test]
    fn nested_maybes_say_how_deep_the_nothing_is() {
        let nothing = Value::Maybe(Type::I32, None);
        let just = |value: Value| Value::Maybe(value.value_type(), Some(Box::new(value)));
        assert_eq!(annotated(&nothing), "@mi nothing");
        assert_eq!(annotated(&just(Value::I32(1))), "@mi 1");
        assert_eq!(annotated(&just(nothing.clone())), "@mmi just nothing");
        assert_eq!(annotated(&just(just(nothing))), "@mmmi just just nothing");
    }
}
