//! OpenPGP bytes into packets (RFC 9580, section 4), whatever they are wrapped in.

use std::borrow::Cow;

use pgp::packet::{Packet, PacketHeader};
use pgp::types::{PacketLength, Tag};

use super::KeyringError;
use super::keybox;
use crate::armor;

/// One packet, as it stands in the bytes.
pub(super) struct RawPacket<'b> {
    pub(super) tag: Tag,
    header: PacketHeader,
    body: &'b [u8],
    /// Header and body.
    pub(super) whole: &'b [u8],
}

impl RawPacket<'_> {
    /// The parsed packet; nothing when it is malformed or of an unknown kind.
    pub(super) fn parse(&self) -> Option<Packet> {
        Packet::from_reader(self.header, self.body).ok()
    }
}

/// Split binary OpenPGP data into packets.
///
/// On failure: the offset of the packet whose header or length does not fit. Lengths that are open
/// ended are refused, since keys and signatures never have them.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<RawPacket<'_>>, usize> {
    let mut packets = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = bytes.len() - rest.len();
        let (packet, after) = first(rest).ok_or(offset)?;
        packets.push(packet);
        rest = after;
    }
    Ok(packets)
}

fn first(bytes: &[u8]) -> Option<(RawPacket<'_>, &[u8])> {
    let mut body = bytes;
    let header = PacketHeader::try_from_reader(&mut body).ok()?;
    let PacketLength::Fixed(length) = header.packet_length() else {
        return None;
    };
    let (body, after) = body.split_at_checked(usize::try_from(length).ok()?)?;
    let (whole, _) = bytes.split_at(bytes.len() - after.len());
    let packet = RawPacket {
        tag: header.tag(),
        header,
        body,
        whole,
    };
    Some((packet, after))
}

/// The binary form of `bytes`, which may be binary, any number of armored blocks, or a keybox.
pub(super) fn binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, KeyringError> {
    if keybox::is_keybox(bytes) {
        return keybox::keyblocks(bytes).map(Cow::Owned);
    }
    match bytes.first() {
        // Every packet header has the highest bit set, and no ASCII does.
        None | Some(0x80..) => Ok(Cow::Borrowed(bytes)),
        Some(_) => dearmor(bytes).map(Cow::Owned),
    }
}

fn dearmor(bytes: &[u8]) -> Result<Vec<u8>, KeyringError> {
    let blocks = armor::blocks(&String::from_utf8_lossy(bytes))?;
    let pgp = blocks.into_iter().filter(|b| b.label.starts_with("PGP "));
    let data: Vec<Vec<u8>> = pgp.map(|block| block.data).collect();
    if data.is_empty() {
        return Err(KeyringError::NotOpenPgp);
    }
    Ok(data.concat())
}
