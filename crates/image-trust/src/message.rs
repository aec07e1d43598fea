//! Signed OpenPGP messages (RFC 9580, section 10.3): one content, and signatures over it.

use std::io::Read;

use pgp::packet::{Packet, PacketParser};
use pgp::ser::Serialize;

/// Longest content of a message, in bytes: a statement about one image is far shorter.
const LONGEST: u64 = 1 << 20;
/// How deep compressed data may lie in compressed data.
const DEEPEST: usize = 2;

/// The content of a message, not verified yet, and its signatures as packets.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) content: Vec<u8>,
    pub(crate) signatures: Vec<Vec<u8>>,
}

impl Message {
    /// Takes a message apart.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut contents = Vec::new();
        let mut signatures = Vec::new();
        collect(bytes, DEEPEST, &mut contents, &mut signatures)?;
        let [content] = <[Vec<u8>; 1]>::try_from(contents)
            .map_err(|_| "it is not a message with one content".to_owned())?;
        Ok(Self {
            content,
            signatures,
        })
    }
}

fn collect(
    bytes: &[u8],
    depth: usize,
    contents: &mut Vec<Vec<u8>>,
    signatures: &mut Vec<Vec<u8>>,
) -> Result<(), String> {
    for packet in PacketParser::new(bytes) {
        match packet.map_err(|cause| format!("it is not an OpenPGP message: {cause}"))? {
            Packet::CompressedData(compressed) if depth > 0 => {
                let mut inner = Vec::new();
                let open = |cause| format!("its compressed content is damaged: {cause}");
                let reader = compressed
                    .decompress()
                    .map_err(|cause| open(cause.to_string()))?;
                reader
                    .take(LONGEST)
                    .read_to_end(&mut inner)
                    .map_err(|cause| open(cause.to_string()))?;
                collect(&inner, depth - 1, contents, signatures)?;
            }
            Packet::LiteralData(literal) => contents.push(literal.data().to_vec()),
            Packet::Signature(signature) => {
                let packet = Packet::from(signature);
                let bytes = packet.to_bytes().map_err(|cause| cause.to_string())?;
                signatures.push(bytes);
            }
            Packet::OnePassSignature(_) | Packet::Marker(_) => {}
            _ => return Err("it holds what a signed message does not".to_owned()),
        }
    }
    Ok(())
}
