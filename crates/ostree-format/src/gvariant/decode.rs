use super::{Error, Type, Value, align, offset_size_of_total};

/// Parse `bytes` as `of`, nested at most `depth` deep.
pub(super) fn read(of: &Type, bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let depth = depth
        .checked_sub(1)
        .ok_or(Error::TooDeep(super::MAX_DEPTH))?;
    let misfit = || misfit(of, bytes);
    Ok(match of {
        Type::Bool => match fixed::<1>(bytes).ok_or_else(misfit)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(Error::NotNormal),
        },
        Type::Byte => Value::Byte(u8::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::I16 => Value::I16(i16::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::U16 => Value::U16(u16::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::I32 => Value::I32(i32::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::U32 => Value::U32(u32::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::Handle => Value::Handle(i32::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::I64 => Value::I64(i64::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::U64 => Value::U64(u64::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::F64 => Value::F64(u64::from_le_bytes(fixed(bytes).ok_or_else(misfit)?)),
        Type::Str => Value::Str(string(bytes)?),
        Type::ObjectPath => Value::ObjectPath(string(bytes)?),
        Type::Signature => Value::Signature(string(bytes)?),
        Type::Variant => variant(bytes, depth)?,
        Type::Maybe(inner) => maybe(inner, bytes, depth)?,
        Type::Array(element) if **element == Type::Byte => Value::Bytes(bytes.to_vec()),
        Type::Array(element) => array(of, element, bytes, depth)?,
        Type::Tuple(members) => Value::Tuple(sequence(
            of,
            &members.iter().collect::<Vec<_>>(),
            bytes,
            depth,
        )?),
        Type::DictEntry(pair) => {
            let mut both = sequence(of, &[&pair.0, &pair.1], bytes, depth)?.into_iter();
            match (both.next(), both.next()) {
                (Some(key), Some(value)) => Value::DictEntry(Box::new((key, value))),
                _ => return Err(misfit()),
            }
        }
    })
}

fn misfit(of: &Type, bytes: &[u8]) -> Error {
    Error::Framing {
        type_string: of.to_string(),
        len: bytes.len(),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn string(bytes: &[u8]) -> Result<String, Error> {
    let text = bytes.strip_suffix(&[0]).ok_or(Error::InvalidString)?;
    if text.contains(&0) {
        return Err(Error::InvalidString);
    }
    String::from_utf8(text.to_vec()).map_err(|_| Error::InvalidString)
}

fn variant(bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let at = bytes
        .iter()
        .rposition(|b| *b == 0)
        .ok_or(Error::InvalidString)?;
    let (body, tail) = bytes.split_at(at);
    let text = tail
        .strip_prefix(&[0])
        .and_then(|t| std::str::from_utf8(t).ok());
    let of: Type = text.ok_or(Error::InvalidString)?.parse()?;
    Ok(Value::Variant(Box::new(read(&of, body, depth)?)))
}

fn maybe(of: &Type, bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let inner = match (bytes, of.fixed_size()) {
        ([], _) => None,
        (bytes, Some(_)) => Some(bytes),
        (bytes, None) => Some(bytes.strip_suffix(&[0]).ok_or(Error::NotNormal)?),
    };
    let inner = inner.map(|bytes| read(of, bytes, depth)).transpose()?;
    Ok(Value::Maybe(of.clone(), inner.map(Box::new)))
}

fn array(of: &Type, element: &Type, bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let items = match element.fixed_size() {
        Some(size) => {
            if bytes.len().checked_rem(size) != Some(0) {
                return Err(misfit(of, bytes));
            }
            bytes
                .chunks(size)
                .map(|chunk| read(element, chunk, depth))
                .collect::<Result<_, _>>()?
        }
        None => variable_items(of, element, bytes, depth)?,
    };
    Ok(Value::Array(element.clone(), items))
}

fn variable_items(
    of: &Type,
    element: &Type,
    bytes: &[u8],
    depth: usize,
) -> Result<Vec<Value>, Error> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let misfit = || misfit(of, bytes);
    let width = offset_size_of_total(bytes.len());
    // The last offset says where the table of offsets begins.
    let table = bytes
        .len()
        .checked_sub(width)
        .and_then(|at| offset(bytes, at, width))
        .filter(|table| *table < bytes.len())
        .ok_or_else(misfit)?;
    let count = bytes
        .len()
        .saturating_sub(table)
        .checked_div(width)
        .ok_or_else(misfit)?;
    let mut items = Vec::with_capacity(count);
    let mut start = 0usize;
    for index in 0..count {
        let end = offset(
            bytes,
            table.saturating_add(index.saturating_mul(width)),
            width,
        );
        let end = end.filter(|end| *end <= table).ok_or_else(misfit)?;
        let body = bytes
            .get(align(start, element.alignment())..end)
            .ok_or_else(misfit)?;
        items.push(read(element, body, depth)?);
        start = end;
    }
    Ok(items)
}

fn sequence(of: &Type, members: &[&Type], bytes: &[u8], depth: usize) -> Result<Vec<Value>, Error> {
    let misfit = || misfit(of, bytes);
    if of.fixed_size().is_some_and(|size| size != bytes.len()) {
        return Err(misfit());
    }
    let width = offset_size_of_total(bytes.len());
    let mut table = bytes.len();
    let mut values = Vec::with_capacity(members.len());
    let mut at = 0usize;
    let last = members.len().saturating_sub(1);
    for (index, member) in members.iter().enumerate() {
        at = align(at, member.alignment());
        let end = match member.fixed_size() {
            Some(size) => at.saturating_add(size),
            None if index == last => table,
            None => {
                table = table.checked_sub(width).ok_or_else(misfit)?;
                offset(bytes, table, width).ok_or_else(misfit)?
            }
        };
        values.push(read(member, bytes.get(at..end).ok_or_else(misfit)?, depth)?);
        at = end;
    }
    Ok(values)
}

fn offset(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let raw = bytes.get(at..at.checked_add(width)?)?;
    let mut wide = [0u8; 8];
    wide.get_mut(..width)?.copy_from_slice(raw);
    usize::try_from(u64::from_le_bytes(wide)).ok()
}
