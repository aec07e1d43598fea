//! As much of DER (X.690) as keys and certificates are read with.

use std::fmt;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The input does not have the shape that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not the DER that was expected")
    }
}

/// Elements that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    pub(crate) fn new(bytes: &'d [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'d [u8] {
        self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next element.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Tag and content of the next element.
    pub(crate) fn next(&mut self) -> Result<(u8, &'d [u8]), Malformed> {
        let (tag, rest) = self.0.split_first().ok_or(Malformed)?;
        let (first, rest) = rest.split_first().ok_or(Malformed)?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let split = rest.split_at_checked(usize::from(first & 0x7f));
                let (bytes, rest) = split.ok_or(Malformed)?;
                let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
                (bytes.iter().fold(0, add), rest)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    /// The content of the next element, which must have the tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'d [u8], Malformed> {
        match self.next()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The content of the next element if it has the tag; else it stays.
    pub(crate) fn take_if(&mut self, tag: u8) -> Result<Option<&'d [u8]>, Malformed> {
        match self.tag() {
            Some(found) if found == tag => self.take(tag).map(Some),
            _ => Ok(None),
        }
    }
}

/// The content of the only element, which must have the tag.
pub(crate) fn only(bytes: &[u8], tag: u8) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(bytes);
    let content = reader.take(tag)?;
    reader.is_empty().then_some(content).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_what_is_cut_off_is_refused() {
        let long = [vec![OCTET_STRING, 0x82, 1, 0], vec![7; 256]].concat();
        assert_eq!(only(&long, OCTET_STRING), Ok([7; 256].as_slice()));
        assert_eq!(only(&long[..200], OCTET_STRING), Err(Malformed));
        assert_eq!(only(&[INTEGER, 1, 5, 0], INTEGER), Err(Malformed));
        assert_eq!(only(&[INTEGER, 0x80], INTEGER), Err(Malformed));
        let mut reader = Reader::new(&[BOOLEAN, 1, 0xff, INTEGER, 1, 5]);
        assert_eq!(reader.take_if(INTEGER), Ok(None));
        assert_eq!(reader.take_if(BOOLEAN), Ok(Some([0xff].as_slice())));
        assert_eq!(reader.take(INTEGER), Ok([5].as_slice()));
        assert!(reader.is_empty() && reader.next() == Err(Malformed));
    }
}
