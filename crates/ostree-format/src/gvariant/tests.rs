use super::*;

fn round(value: &Value) -> Vec<u8> {
    let bytes = value.to_bytes();
    assert_eq!(
        Value::from_bytes(&value.value_type(), &bytes).as_ref(),
        Ok(value)
    );
    bytes
}

// The examples of the GVariant specification, section 2.6, in little-endian form.
#[test]
fn specification_examples() {
    assert_eq!(round(&Value::from("hello world")), b"hello world\0");
    let maybe = Value::Maybe(Type::Str, Some(Box::new(Value::from("hello world"))));
    assert_eq!(round(&maybe), b"hello world\0\0");
    let bools = [true, false, false, true, true].map(Value::Bool);
    assert_eq!(
        round(&Value::Array(Type::Bool, bools.into())),
        [1, 0, 0, 1, 1]
    );
    let pair = Value::Tuple(vec![Value::from("foo"), Value::I32(-1)]);
    assert_eq!(round(&pair), b"foo\0\xff\xff\xff\xff\x04");
    let entry = |k: &str, n: i32| Value::Tuple(vec![Value::from(k), Value::I32(n)]);
    let of = Type::tuple([Type::Str, Type::I32]);
    assert_eq!(
        round(&Value::Array(of, vec![entry("hi", -2), entry("bye", -1)])),
        b"hi\0\0\xfe\xff\xff\xff\x03\0\0\0bye\0\xff\xff\xff\xff\x04\x09\x15"
    );
    let strings = ["i", "can", "has", "strings?"].map(Value::from);
    assert_eq!(
        round(&Value::Array(Type::Str, strings.into())),
        b"i\0can\0has\0strings?\0\x02\x06\x0a\x13"
    );
    let dict = Value::DictEntry(Box::new((Value::from("a key"), Value::I32(514).boxed())));
    assert_eq!(round(&dict), b"a key\0\0\0\x02\x02\0\0\0i\x06");
    assert_eq!(
        round(&Value::Tuple(vec![Value::Byte(0x70), Value::I32(80)])),
        b"\x70\0\0\0\x50\0\0\0"
    );
}

#[test]
fn empty_dirtree_is_one_byte() {
    let empty = Value::Tuple(vec![
        Value::Array(Type::Str, vec![]),
        Value::Array(Type::Str, vec![]),
    ]);
    assert_eq!(round(&empty), [0]);
}

#[test]
fn refuses_what_is_not_normal() {
    let strings: Type = "as".parse().unwrap();
    for bytes in [&b"a\0b\0\x05\x04"[..], b"\x09", b"a\0\x03", b"a\xff\0\x03"] {
        assert!(Value::from_bytes(&strings, bytes).is_err(), "{bytes:?}");
    }
    let pair: Type = "(yi)".parse().unwrap();
    assert_eq!(
        Value::from_bytes(&pair, b"\x70\x01\0\0\x50\0\0\0"),
        Err(Error::NotNormal)
    );
}

#[test]
fn nesting_is_bounded() {
    let mut value = Value::Byte(1);
    for _ in 0..200 {
        value = value.boxed();
    }
    let bytes = value.to_bytes();
    assert!(matches!(
        Value::from_bytes(&Type::Variant, &bytes),
        Err(Error::TooDeep(_))
    ));
    assert!("a".repeat(300).parse::<Type>().is_err());
}

mod property {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<u32>().prop_map(Value::U32),
            any::<u64>().prop_map(Value::U64),
            any::<i16>().prop_map(Value::I16),
            "[^\0]{0,40}".prop_map(Value::Str),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                inner.clone().prop_map(Value::boxed),
                proptest::collection::vec(inner.clone(), 1..5).prop_map(Value::Tuple),
                proptest::collection::vec(inner.clone().prop_map(Value::boxed), 0..6)
                    .prop_map(|items| Value::Array(Type::Variant, items)),
                inner.prop_map(|v| Value::Maybe(v.value_type(), Some(Box::new(v)))),
            ]
        })
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(value in values()) {
            let bytes = value.to_bytes();
            prop_assert_eq!(Value::from_bytes(&value.value_type(), &bytes), Ok(value));
        }

        #[test]
        fn decoding_never_panics_and_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for of in ["a{sv}", "(a(say)a(sayay))", "(uuua(ayay))", "(a{sv}aya(say)sstayay)", "v", "mas"] {
                let of: Type = of.parse().unwrap();
                if let Ok(value) = Value::from_bytes(&of, &bytes) {
                    prop_assert_eq!(value.to_bytes(), bytes.clone());
                }
            }
        }
    }
}
