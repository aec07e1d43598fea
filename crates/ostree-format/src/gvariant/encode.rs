use super::{Type, Value, align, offset_size};

/// Append `value` to `out`, padded to its alignment.
///
/// `out` starts at an 8-aligned place, so alignment relative to its beginning is alignment proper.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(b) => out.push(u8::from(*b)),
        Value::Byte(b) => out.push(*b),
        Value::I16(n) => number(out, &n.to_le_bytes()),
        Value::U16(n) => number(out, &n.to_le_bytes()),
        Value::I32(n) | Value::Handle(n) => number(out, &n.to_le_bytes()),
        Value::U32(n) => number(out, &n.to_le_bytes()),
        Value::I64(n) => number(out, &n.to_le_bytes()),
        Value::U64(n) | Value::F64(n) => number(out, &n.to_le_bytes()),
        Value::Str(s) | Value::ObjectPath(s) | Value::Signature(s) => {
            out.extend_from_slice(s.as_bytes());
            out.push(0);
        }
        Value::Variant(inner) => {
            pad(out, 8);
            write(inner, out);
            out.push(0);
            out.extend_from_slice(inner.value_type().to_string().as_bytes());
        }
        Value::Maybe(of, inner) => maybe(of, inner.as_deref(), out),
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Array(element, items) => array(element, items, out),
        Value::Tuple(members) => sequence(&members.iter().collect::<Vec<_>>(), out),
        Value::DictEntry(pair) => sequence(&[&pair.0, &pair.1], out),
    }
}

fn number(out: &mut Vec<u8>, bytes: &[u8]) {
    pad(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn pad(out: &mut Vec<u8>, alignment: usize) {
    out.resize(align(out.len(), alignment), 0);
}

fn maybe(of: &Type, inner: Option<&Value>, out: &mut Vec<u8>) {
    pad(out, of.alignment());
    if let Some(inner) = inner {
        write(inner, out);
        if of.fixed_size().is_none() {
            out.push(0);
        }
    }
}

fn array(element: &Type, items: &[Value], out: &mut Vec<u8>) {
    let alignment = element.alignment();
    pad(out, alignment);
    let start = out.len();
    let mut ends = Vec::new();
    let fixed = element.fixed_size().is_some();
    for item in items {
        pad(out, alignment);
        write(item, out);
        if !fixed {
            ends.push(out.len().saturating_sub(start));
        }
    }
    offsets(out, start, ends.into_iter());
}

fn sequence(members: &[&Value], out: &mut Vec<u8>) {
    let types: Vec<Type> = members.iter().map(|m| m.value_type()).collect();
    let alignment = types.iter().map(Type::alignment).max().unwrap_or(1);
    pad(out, alignment);
    let start = out.len();
    if members.is_empty() {
        out.push(0);
        return;
    }
    let mut ends = Vec::new();
    let last = members.len().saturating_sub(1);
    for (index, (member, of)) in members.iter().zip(&types).enumerate() {
        pad(out, of.alignment());
        write(member, out);
        if index != last && of.fixed_size().is_none() {
            ends.push(out.len().saturating_sub(start));
        }
    }
    if types.iter().all(|of| of.fixed_size().is_some()) {
        pad(out, alignment);
    }
    offsets(out, start, ends.into_iter().rev());
}

fn offsets(out: &mut Vec<u8>, start: usize, ends: impl ExactSizeIterator<Item = usize>) {
    let size = offset_size(out.len().saturating_sub(start), ends.len());
    for end in ends {
        out.extend(end.to_le_bytes().iter().take(size));
    }
}
