//! Certificates that signatures come with (RFC 5280), and whose they are.

use std::time::Duration;

use chrono::NaiveDateTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::der::{
    self, BIT_STRING, BOOLEAN, GENERALIZED_TIME, INTEGER, Malformed, OBJECT_IDENTIFIER,
    OCTET_STRING, Reader, SEQUENCE, UTC_TIME,
};
use crate::key::Key;

/// id-kp-codeSigning.
const CODE_SIGNING: KeyUsage =
    KeyUsage::required_if_present(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03]);
/// id-ce-subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Kinds of `GeneralName`.
const EMAIL: u8 = 0x81;
const URI: u8 = 0x86;

/// A certificate, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    key: Vec<u8>,
    /// First and last moment of its validity, in seconds since 1970.
    validity: (i64, i64),
    /// Identifier and content.
    extensions: Vec<Extension>,
}

/// What certificates are traced back to.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    pub(crate) roots: Vec<Certificate>,
    pub(crate) intermediates: Vec<Certificate>,
}

/// All certificates in a PEM file; at least one.
pub(crate) fn from_pem(origin: &str, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let unusable = |cause: &dyn std::fmt::Display| {
        format!("{origin} does not hold usable PEM certificates: {cause}")
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|cause| unusable(&cause))?;
    if found.is_empty() {
        return Err(unusable(&"there is none"));
    }
    let parse = |der: CertificateDer<'_>| Certificate::from_der(&der);
    let parsed: Result<Vec<_>, _> = found.into_iter().map(parse).collect();
    parsed.map_err(|cause| unusable(&cause))
}

impl Certificate {
    pub(crate) fn from_der(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::new(der::only(bytes, SEQUENCE)?);
        let mut signed = Reader::new(outer.take(SEQUENCE)?);
        signed.take_if(0xa0)?;
        signed.take(INTEGER)?;
        signed.take(SEQUENCE)?;
        signed.take(SEQUENCE)?;
        let mut validity = Reader::new(signed.take(SEQUENCE)?);
        let validity = (time(&mut validity)?, time(&mut validity)?);
        signed.take(SEQUENCE)?;
        let before = signed;
        signed.take(SEQUENCE)?;
        let key = whole_element(before, signed)?.to_vec();
        signed.take_if(0x81)?;
        signed.take_if(0x82)?;
        let extensions = match signed.take_if(0xa3)? {
            Some(list) => extensions(list)?,
            None => Vec::new(),
        };
        outer.take(SEQUENCE)?;
        outer.take(BIT_STRING)?;
        Ok(Self {
            der: CertificateDer::from(bytes.to_vec()),
            key,
            validity,
            extensions,
        })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key that it is about.
    pub(crate) fn key(&self) -> Result<Key, String> {
        Key::from_der("in the certificate", &self.key)
    }

    /// The content of an extension; none when there is none, or more than one.
    pub(crate) fn extension(&self, identifier: &[u8]) -> Option<&[u8]> {
        let mut found = self.extensions.iter().filter(|(id, _)| id == identifier);
        match (found.next(), found.next()) {
            (Some((_, content)), None) => Some(content),
            _ => None,
        }
    }

    /// The e-mail addresses that it is for.
    pub(crate) fn emails(&self) -> Vec<&str> {
        self.names(EMAIL)
    }

    /// The URIs that it is for.
    pub(crate) fn uris(&self) -> Vec<&str> {
        self.names(URI)
    }

    /// Whether it is for a host name or address.
    pub(crate) fn is_for_host(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else {
            return false;
        };
        EndEntityCert::try_from(&self.der)
            .is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(&name).is_ok())
    }

    fn names(&self, kind: u8) -> Vec<&str> {
        let list = self.extension(ALTERNATIVE_NAMES);
        let list = list.and_then(|content| der::only(content, SEQUENCE).ok());
        let mut list = Reader::new(list.unwrap_or_default());
        let mut names = Vec::new();
        while let Ok((tag, content)) = list.next() {
            if tag == kind {
                names.extend(std::str::from_utf8(content));
            }
        }
        names
    }

    fn is_valid_at(&self, moment: u64) -> bool {
        let (first, last) = self.validity;
        i64::try_from(moment).is_ok_and(|moment| (first..=last).contains(&moment))
    }
}

impl Roots {
    /// Traces a certificate for signing back to one of the roots, by way of those that are known and
    /// those that came along. All of them must be valid at the moment.
    pub(crate) fn verify(
        &self,
        certificate: &Certificate,
        along: &[Certificate],
        moment: u64,
    ) -> Result<(), String> {
        let refused = |cause: webpki::Error| format!("its certificate does not count: {cause}");
        let valid = self.roots.iter().filter(|root| root.is_valid_at(moment));
        let anchors: Result<Vec<_>, _> = valid
            .map(|root| anchor_from_trusted_cert(&root.der))
            .collect();
        let anchors = anchors.map_err(refused)?;
        let between = self.intermediates.iter().chain(along);
        let between: Vec<_> = between.map(|known| known.der.clone()).collect();
        let parsed = EndEntityCert::try_from(&certificate.der).map_err(refused)?;
        parsed
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &between,
                UnixTime::since_unix_epoch(Duration::from_secs(moment)),
                CODE_SIGNING,
                None,
                None,
            )
            .map_err(refused)?;
        Ok(())
    }
}

/// The bytes of the element between two states of a reader, with its head.
fn whole_element<'d>(before: Reader<'d>, after: Reader<'d>) -> Result<&'d [u8], Malformed> {
    let length = before.rest().len() - after.rest().len();
    before.rest().get(..length).ok_or(Malformed)
}

/// Identifier and value, as they stand there.
type Extension = (Vec<u8>, Vec<u8>);

fn extensions(list: &[u8]) -> Result<Vec<Extension>, Malformed> {
    let mut list = Reader::new(der::only(list, SEQUENCE)?);
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut extension = Reader::new(list.take(SEQUENCE)?);
        let identifier = extension.take(OBJECT_IDENTIFIER)?;
        extension.take_if(BOOLEAN)?;
        let content = extension.take(OCTET_STRING)?;
        found.push((identifier.to_vec(), content.to_vec()));
    }
    Ok(found)
}

fn time(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
    let (tag, digits) = reader.next()?;
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let century = match tag {
        GENERALIZED_TIME => "",
        UTC_TIME if digits < "5" => "20",
        UTC_TIME => "19",
        _ => return Err(Malformed),
    };
    let parsed = NaiveDateTime::parse_from_str(&format!("{century}{digits}"), "%Y%m%d%H%M%SZ");
    parsed
        .map(|time| time.and_utc().timestamp())
        .map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_forms() {
        let read = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).unwrap();
            time(&mut Reader::new(
                &[&[tag, length], text.as_bytes()].concat(),
            ))
        };
        assert_eq!(read(UTC_TIME, "700101000001Z"), Ok(1));
        assert_eq!(read(UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(read(UTC_TIME, "701301000001Z"), Err(Malformed));
        assert_eq!(read(SEQUENCE, "700101000001Z"), Err(Malformed));
    }
}
