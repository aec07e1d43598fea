//! Values in GVariant's text format, as people write them on command lines.
//!
//! Source: "GVariant Text Format" in GLib's documentation. Numbers without a type are `i`, or `d` when they
//! have a fraction; `@TYPE` and type names in front of a value say otherwise.

use super::{Type, Value};

/// A text is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a GVariant in text form, at byte {at}: {expected} expected")]
pub struct TextError {
    /// Where it stops to be one.
    pub at: usize,
    /// What should have been there.
    pub expected: &'static str,
}

/// How deeply values may be nested.
const MAX_DEPTH: usize = 64;

/// Type names that may stand in front of a value.
const NAMES: [(&str, Type); 14] = [
    ("boolean", Type::Bool),
    ("byte", Type::Byte),
    ("int16", Type::I16),
    ("uint16", Type::U16),
    ("int32", Type::I32),
    ("uint32", Type::U32),
    ("handle", Type::Handle),
    ("int64", Type::I64),
    ("uint64", Type::U64),
    ("double", Type::F64),
    ("string", Type::Str),
    ("objectpath", Type::ObjectPath),
    ("signature", Type::Signature),
    ("variant", Type::Variant),
];

impl Value {
    /// Parse the text form.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn from_text(text: &str) -> Result<Self, TextError> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(None, MAX_DEPTH)?;
        reader.space();
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(reader.error("the end"))
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn error(&self, expected: &'static str) -> TextError {
        TextError {
            at: self.at,
            expected,
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Whether the next thing is `token`, which is passed then.
    fn eat(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn need(&mut self, token: &'static str) -> Result<(), TextError> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.error(token))
        }
    }

    fn word(&mut self, of: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !of(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn value(&mut self, of: Option<&Type>, depth: usize) -> Result<Value, TextError> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| self.error("less nesting"))?;
        self.space();
        match self.rest().chars().next() {
            Some('@') => self.typed(depth),
            Some('[') => self.array(of, depth),
            Some('{') => self.dict(of, depth),
            Some('(') => self.tuple(of, depth),
            Some('<') => {
                self.need("<")?;
                let inner = self.value(None, depth)?;
                self.need(">")?;
                Ok(Value::Variant(Box::new(inner)))
            }
            Some('b') if self.rest()[1..].starts_with(['\'', '"']) => {
                self.at += 1;
                let mut bytes = self.quoted()?.into_bytes();
                bytes.push(0);
                Ok(Value::Bytes(bytes))
            }
            Some('\'' | '"') => self.string(of),
            Some(c) if c.is_ascii_alphabetic() => self.named(of, depth),
            Some(_) => self.number(of),
            None => Err(self.error("a value")),
        }
    }

    fn typed(&mut self, depth: usize) -> Result<Value, TextError> {
        self.need("@")?;
        let at = self.at;
        let word = self.word(|c| !c.is_whitespace());
        let of: Type = word.parse().map_err(|_| TextError {
            at,
            expected: "a type",
        })?;
        self.value(Some(&of), depth)
    }

    fn named(&mut self, of: Option<&Type>, depth: usize) -> Result<Value, TextError> {
        let at = self.at;
        let word = self.word(|c| c.is_ascii_alphanumeric());
        match word {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "nothing" => match of {
                Some(Type::Maybe(inner)) => Ok(Value::Maybe((**inner).clone(), None)),
                _ => Err(self.error("a type in front of nothing")),
            },
            "just" => {
                let inner = match of {
                    Some(Type::Maybe(inner)) => Some(&**inner),
                    _ => None,
                };
                let value = self.value(inner, depth)?;
                Ok(Value::Maybe(value.value_type(), Some(Box::new(value))))
            }
            _ => match NAMES.iter().find(|(name, _)| *name == word) {
                Some((_, of)) => self.value(Some(of), depth),
                None => Err(TextError {
                    at,
                    expected: "a value",
                }),
            },
        }
    }

    fn string(&mut self, of: Option<&Type>) -> Result<Value, TextError> {
        let text = self.quoted()?;
        match of {
            None | Some(Type::Str) => Ok(Value::Str(text)),
            Some(Type::ObjectPath) => Ok(Value::ObjectPath(text)),
            Some(Type::Signature) => Ok(Value::Signature(text)),
            Some(_) => Err(self.error("a value of the type in front")),
        }
    }

    fn quoted(&mut self) -> Result<String, TextError> {
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.at += at + c.len_utf8();
                return Ok(text);
            }
            match c {
                '\\' => text.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, 'r')) => '\r',
                    Some((_, other @ ('\\' | '\'' | '"'))) => other,
                    _ => return Err(self.error("an escape that is known")),
                }),
                _ => text.push(c),
            }
        }
        Err(self.error("a closing quotation mark"))
    }

    fn number(&mut self, of: Option<&Type>) -> Result<Value, TextError> {
        let start = self.error("a number");
        let text = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let hex = text.contains("0x") || text.contains("0X");
        let fraction = !hex && text.contains(['.', 'e', 'E']);
        let parsed = match of {
            Some(Type::F64) => None,
            None if fraction => None,
            _ => integer(text),
        };
        let value = match (of, parsed) {
            (None | Some(Type::I32), Some(n)) => i32::try_from(n).ok().map(Value::I32),
            (Some(Type::Byte), Some(n)) => u8::try_from(n).ok().map(Value::Byte),
            (Some(Type::I16), Some(n)) => i16::try_from(n).ok().map(Value::I16),
            (Some(Type::U16), Some(n)) => u16::try_from(n).ok().map(Value::U16),
            (Some(Type::U32), Some(n)) => u32::try_from(n).ok().map(Value::U32),
            (Some(Type::Handle), Some(n)) => i32::try_from(n).ok().map(Value::Handle),
            (Some(Type::I64), Some(n)) => i64::try_from(n).ok().map(Value::I64),
            (Some(Type::U64), Some(n)) => u64::try_from(n).ok().map(Value::U64),
            (None | Some(Type::F64), None) => {
                text.parse().ok().map(|n: f64| Value::F64(n.to_bits()))
            }
            _ => None,
        };
        value.ok_or(start)
    }

    fn array(&mut self, of: Option<&Type>, depth: usize) -> Result<Value, TextError> {
        self.need("[")?;
        let mut element = match of {
            Some(Type::Array(element)) => Some((**element).clone()),
            _ => None,
        };
        let mut values = Vec::new();
        while !self.eat("]") {
            if !values.is_empty() {
                self.need(",")?;
            }
            // The first element says what the others are.
            let value = self.value(element.as_ref(), depth)?;
            if element.get_or_insert_with(|| value.value_type()) != &value.value_type() {
                return Err(self.error("an element of the same type"));
            }
            values.push(value);
        }
        let element = element.ok_or_else(|| self.error("a type in front of an empty array"))?;
        if element == Type::Byte {
            let byte = |value| match value {
                Value::Byte(byte) => Some(byte),
                _ => None,
            };
            return Ok(Value::Bytes(values.into_iter().filter_map(byte).collect()));
        }
        Ok(Value::Array(element, values))
    }

    fn dict(&mut self, of: Option<&Type>, depth: usize) -> Result<Value, TextError> {
        self.need("{")?;
        let mut entry = match of {
            Some(Type::Array(element)) => match &**element {
                Type::DictEntry(pair) => Some((**pair).clone()),
                _ => None,
            },
            _ => None,
        };
        let mut values = Vec::new();
        while !self.eat("}") {
            if !values.is_empty() {
                self.need(",")?;
            }
            let key = self.value(entry.as_ref().map(|(key, _)| key), depth)?;
            self.need(":")?;
            let value = self.value(entry.as_ref().map(|(_, value)| value), depth)?;
            let found = (key.value_type(), value.value_type());
            if entry.get_or_insert_with(|| found.clone()) != &found {
                return Err(self.error("an entry of the same type"));
            }
            values.push(Value::DictEntry(Box::new((key, value))));
        }
        let entry = entry.ok_or_else(|| self.error("a type in front of an empty dictionary"))?;
        Ok(Value::Array(Type::DictEntry(Box::new(entry)), values))
    }

    fn tuple(&mut self, of: Option<&Type>, depth: usize) -> Result<Value, TextError> {
        self.need("(")?;
        let wanted: &[Type] = match of {
            Some(Type::Tuple(types)) => types,
            _ => &[],
        };
        let mut values = Vec::new();
        while !self.eat(")") {
            values.push(self.value(wanted.get(values.len()), depth)?);
            // `(1,)` has one element, and a comma that is needed.
            if !self.eat(",") {
                self.need(")")?;
                break;
            }
        }
        Ok(Value::Tuple(values))
    }
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let number = match hex {
        Some(hex) => i128::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i128::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    number.ok().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_types_that_the_text_says() {
        for (text, of) in [
            ("uint64 42", "t"),
            ("'it\\'s'", "s"),
            ("true", "b"),
            ("-0x10", "i"),
            ("1.5", "d"),
            ("[byte 0x13, 0xae]", "ay"),
            ("@a{sv} {}", "a{sv}"),
            ("{'a': <1>, 'b': <'c'>}", "a{sv}"),
            ("('a', int64 7, [1, 2])", "(sxai)"),
            ("(1,)", "(i)"),
            ("@ms nothing", "ms"),
            ("b'abc'", "ay"),
        ] {
            let value = Value::from_text(text).unwrap();
            assert_eq!(value.value_type().to_string(), of, "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in [
            "",
            "42 43",
            "byte 256",
            "[]",
            "[1, 'a']",
            "'open",
            "word",
            "@q 'a'",
            "uint64 -1",
        ] {
            assert!(Value::from_text(text).is_err(), "{text}");
        }
        let deep = "(".repeat(1000);
        assert!(Value::from_text(&deep).is_err());
    }
}
