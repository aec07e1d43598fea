//! Certificates: a primary key with its user IDs, subkeys, and the signatures on all of them.

use pgp::packet::{Packet, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature, UserId};
use pgp::ser::Serialize;
use pgp::types::Tag;

use super::id::Fingerprint;
use super::packet::RawPacket;

/// A certificate (RFC 9580, section 10.1), with the bytes of each packet as they were read.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) fingerprint: Fingerprint,
    pub(super) primary: PublicKey,
    raw: Vec<u8>,
    /// Signatures on the primary key alone.
    pub(super) direct: Vec<Binding>,
    pub(super) components: Vec<Component>,
}

/// A user ID or subkey and the signatures on it.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) item: Item,
    raw: Vec<u8>,
    pub(super) signatures: Vec<Binding>,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    User(UserId),
    Subkey(Box<PublicSubkey>),
    /// A user attribute, or something that could not be parsed: kept, but worth nothing.
    Other,
}

/// A signature on a key or user ID; `packet` is empty when it could not be parsed.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) packet: Option<Signature>,
    raw: Vec<u8>,
}

/// A secret key that stood among the packets.
#[derive(Debug, Clone)]
pub(super) enum Secret {
    Primary(Box<SecretKey>),
    Subkey(Box<SecretSubkey>),
}

/// What a sequence of packets holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) certificates: Vec<Certificate>,
    pub(super) secrets: Vec<Secret>,
    /// Whether the packets that follow belong to a primary key that could not be parsed.
    orphaned: bool,
}

impl Contents {
    /// Sort packets into certificates. What belongs to none (or to one whose primary key cannot be
    /// parsed), and GnuPG's own trust packets, are left out.
    pub(super) fn of(packets: &[RawPacket<'_>]) -> Self {
        let mut contents = Self::default();
        for packet in packets {
            contents.add(packet);
        }
        contents
    }

    fn add(&mut self, packet: &RawPacket<'_>) {
        match packet.tag {
            Tag::PublicKey | Tag::SecretKey => self.begin(packet),
            _ if self.orphaned => {}
            Tag::Signature => self.attach(packet),
            Tag::UserId | Tag::UserAttribute | Tag::PublicSubkey | Tag::SecretSubkey => {
                self.append(packet);
            }
            _ => {}
        }
    }

    fn begin(&mut self, packet: &RawPacket<'_>) {
        let parsed = packet.parse().and_then(|parsed| self.primary(parsed));
        self.orphaned = parsed.is_none();
        if let Some(primary) = parsed {
            self.certificates.push(Certificate {
                fingerprint: Fingerprint::of(&primary),
                raw: public_bytes(packet, &primary, Tag::PublicKey),
                primary,
                direct: Vec::new(),
                components: Vec::new(),
            });
        }
    }

    fn primary(&mut self, packet: Packet) -> Option<PublicKey> {
        match packet {
            Packet::PublicKey(key) => Some(key),
            Packet::SecretKey(key) => {
                let public = key.public_key().clone();
                self.secrets.push(Secret::Primary(Box::new(key)));
                Some(public)
            }
            _ => None,
        }
    }

    fn append(&mut self, packet: &RawPacket<'_>) {
        let Some(certificate) = self.certificates.last_mut() else {
            return;
        };
        let mut raw = packet.whole.to_vec();
        let item = match packet.parse() {
            Some(Packet::UserId(user)) => Item::User(user),
            Some(Packet::PublicSubkey(key)) => Item::Subkey(Box::new(key)),
            Some(Packet::SecretSubkey(key)) => {
                let public = key.public_key().clone();
                raw = public_bytes(packet, &public, Tag::PublicSubkey);
                self.secrets.push(Secret::Subkey(Box::new(key)));
                Item::Subkey(Box::new(public))
            }
            // A secret key must not slip into what is taken for public.
            _ if packet.tag == Tag::SecretSubkey => return,
            _ => Item::Other,
        };
        certificate.components.push(Component {
            item,
            raw,
            signatures: Vec::new(),
        });
    }

    fn attach(&mut self, packet: &RawPacket<'_>) {
        let Some(certificate) = self.certificates.last_mut() else {
            return;
        };
        let signatures = match certificate.components.last_mut() {
            Some(component) => &mut component.signatures,
            None => &mut certificate.direct,
        };
        signatures.push(Binding {
            packet: match packet.parse() {
                Some(Packet::Signature(signature)) => Some(signature),
                _ => None,
            },
            raw: packet.whole.to_vec(),
        });
    }
}

/// The bytes of a public key packet; of a secret one, those of its public half.
fn public_bytes(packet: &RawPacket<'_>, public: &impl Serialize, tag: Tag) -> Vec<u8> {
    if packet.tag == tag {
        return packet.whole.to_vec();
    }
    let body = public.to_bytes().unwrap_or_default();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let header = pgp::packet::PacketHeader::new_fixed(tag, length);
    let mut raw = header.to_bytes().unwrap_or_default();
    raw.extend(body);
    raw
}

impl Certificate {
    pub(super) fn users(&self) -> impl Iterator<Item = (&UserId, &Component)> {
        self.components.iter().filter_map(|c| match &c.item {
            Item::User(user) => Some((user, c)),
            _ => None,
        })
    }

    pub(super) fn subkeys(&self) -> impl Iterator<Item = (&PublicSubkey, &Component)> {
        self.components.iter().filter_map(|c| match &c.item {
            Item::Subkey(key) => Some((&**key, c)),
            _ => None,
        })
    }

    /// Take over what a second copy of the same certificate has and this one lacks.
    pub(super) fn merge(&mut self, other: Self) {
        merge_bindings(&mut self.direct, other.direct);
        for component in other.components {
            match self.components.iter_mut().find(|c| c.raw == component.raw) {
                Some(known) => merge_bindings(&mut known.signatures, component.signatures),
                None => self.components.push(component),
            }
        }
    }

    /// Append its packets to `out`: user IDs before subkeys, as they must stand.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(&self.raw);
        self.direct.iter().for_each(|s| out.extend(&s.raw));
        let is_subkey = |c: &&Component| matches!(c.item, Item::Subkey(_));
        let (subkeys, users): (Vec<_>, Vec<_>) = self.components.iter().partition(is_subkey);
        for component in users.into_iter().chain(subkeys) {
            out.extend(&component.raw);
            component.signatures.iter().for_each(|s| out.extend(&s.raw));
        }
    }
}

fn merge_bindings(known: &mut Vec<Binding>, more: Vec<Binding>) {
    for binding in more {
        if !known.iter().any(|k| k.raw == binding.raw) {
            known.push(binding);
        }
    }
}
