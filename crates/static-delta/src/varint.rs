//! Numbers in operations: seven bits to the byte, lowest first, the high bit on all but the last.

/// Append `number`.
pub(crate) fn write(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Take a number off the front of `bytes`; `None` when they end within it or it does not fit.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(first & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        number |= low << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_encodings() {
        // Encodings that Protocol Buffers document, which has the same numbers.
        for (number, bytes) in [
            (0u64, &[0u8][..]),
            (1, &[1]),
            (300, &[0xac, 2]),
            (127, &[127]),
        ] {
            let mut out = Vec::new();
            write(&mut out, number);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn refuses_what_ends_early_or_does_not_fit() {
        for mut bytes in [&[][..], &[0x80], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(read(&mut bytes), None);
        }
    }

    proptest! {
        #[test]
        fn there_and_back(number: u64, rest: Vec<u8>) {
            let mut out = Vec::new();
            write(&mut out, number);
            out.extend_from_slice(&rest);
            let mut bytes = out.as_slice();
            prop_assert_eq!(read(&mut bytes), Some(number));
            prop_assert_eq!(bytes, rest.as_slice());
        }
    }
}
