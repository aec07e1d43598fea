//! Which of several images of an index suits a machine.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use oci_spec::image::Descriptor;

/// What an image must run on: operating system, architecture, and a variant of it, in the words of
/// the OCI image specification (Go's GOOS and GOARCH), `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// The operating system, `linux`.
    pub os: String,
    /// The architecture, `amd64`.
    pub architecture: String,
    /// The variant, `v7`; none means whatever suits the architecture.
    pub variant: Option<String>,
}

/// Variants of an architecture, the most demanding first; a machine runs its own and all after it.
const VARIANTS: &[(&str, &[&str])] = &[
    ("amd64", &["v4", "v3", "v2", "v1"]),
    ("arm", &["v8", "v7", "v6", "v5"]),
    ("arm64", &["v8"]),
];

impl Platform {
    /// Linux on this architecture.
    pub fn linux(architecture: impl Into<String>) -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: architecture.into(),
            variant: None,
        }
    }

    /// Linux on the architecture that this program was built for.
    #[must_use]
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        Self::linux(match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            other => other,
        })
    }

    /// The variants that suit, the best first; the empty one stands for "says nothing".
    fn acceptable_variants(&self) -> Vec<&str> {
        let known = VARIANTS
            .iter()
            .find(|(architecture, _)| *architecture == self.architecture)
            .map_or(&[][..], |(_, variants)| variants);
        let Some(wanted) = self.variant.as_deref() else {
            // Nothing is known about the machine, so only what every machine runs is safe; on ARM
            // the tools agree that an index without a plain entry is served best-first.
            let rest = if self.architecture == "amd64" {
                &known[known.len() - 1..]
            } else {
                known
            };
            return [&[""], rest].concat();
        };
        match known.iter().position(|variant| *variant == wanted) {
            Some(first) => [&known[first..], &[""]].concat(),
            None => vec![wanted, ""],
        }
    }

    /// How well a platform of an index suits: 0 is best, none means not at all.
    fn rank(&self, offered: &oci_spec::image::Platform) -> Option<usize> {
        let same = offered.os().to_string() == self.os
            && offered.architecture().to_string() == self.architecture;
        if !same {
            return None;
        }
        let variant = offered.variant().as_deref().unwrap_or("");
        self.acceptable_variants()
            .iter()
            .position(|acceptable| *acceptable == variant)
    }

    /// The entry of an index that suits this platform best; the first of equals. An entry without
    /// a platform is taken when it is the only entry.
    ///
    /// # Errors
    /// No entry suits.
    pub fn select<'a>(&self, entries: &[&'a Descriptor]) -> Result<&'a Descriptor, NoSuchPlatform> {
        if let [only] = entries
            && only.platform().is_none()
        {
            return Ok(only);
        }
        let rank = |entry: &Descriptor| self.rank(entry.platform().as_ref()?);
        entries
            .iter()
            .copied()
            .filter_map(|entry| Some((rank(entry)?, entry)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, entry)| entry)
            .ok_or_else(|| NoSuchPlatform {
                wanted: self.clone(),
                offered: offered(entries),
            })
    }
}

/// The platforms of an index for a message, without the pseudo-platform of attestations.
fn offered(entries: &[&Descriptor]) -> Vec<String> {
    entries
        .iter()
        .filter_map(|entry| entry.platform().as_ref())
        .map(|platform| Platform::from(platform).to_string())
        .filter(|name| !name.starts_with("unknown/"))
        .collect()
}

impl From<&oci_spec::image::Platform> for Platform {
    fn from(platform: &oci_spec::image::Platform) -> Self {
        Self {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
        }
    }
}

/// `os/architecture[/variant]`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformParseError(text.to_owned())),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(PlatformParseError(text.to_owned()));
        }
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }
}

/// The text is not `os/architecture[/variant]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: write os/architecture or os/architecture/variant")]
pub struct PlatformParseError(pub String);

impl Classified for PlatformParseError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// An index has no image for a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no image for {wanted}; there is: {}", listed(.offered))]
pub struct NoSuchPlatform {
    /// What was looked for.
    pub wanted: Platform,
    /// What there is.
    pub offered: Vec<String>,
}

fn listed(offered: &[String]) -> String {
    if offered.is_empty() {
        "nothing that names its platform".to_owned()
    } else {
        offered.join(", ")
    }
}

impl Classified for NoSuchPlatform {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(platform: &str) -> Descriptor {
        let digest = Digest::sha256(platform.as_bytes());
        let platform: Option<serde_json::Value> = (!platform.is_empty()).then(|| {
            let platform: Platform = platform.parse().unwrap();
            let mut json =
                serde_json::json!({"os": platform.os, "architecture": platform.architecture});
            if let Some(variant) = platform.variant {
                json["variant"] = variant.into();
            }
            json
        });
        serde_json::from_value(serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest.to_string(), "size": 1, "platform": platform,
        }))
        .unwrap()
    }

    /// Which of the offered platforms is chosen; an empty text is an entry without platform.
    fn chosen(wanted: &str, offered: &[&str]) -> Option<String> {
        let entries: Vec<_> = offered.iter().map(|offer| entry(offer)).collect();
        let entries: Vec<_> = entries.iter().collect();
        let wanted: Platform = wanted.parse().unwrap();
        let chosen = wanted.select(&entries).ok()?;
        Some(
            chosen
                .platform()
                .as_ref()
                .map_or_else(String::new, |p| Platform::from(p).to_string()),
        )
    }

    #[test]
    fn the_best_suiting_entry_is_chosen() {
        for (wanted, offered, expected) in [
            (
                "linux/amd64",
                &["linux/arm64", "linux/amd64"][..],
                Some("linux/amd64"),
            ),
            ("linux/amd64", &["windows/amd64", "linux/arm64"], None),
            (
                "linux/amd64",
                &["linux/amd64/v3", "linux/amd64"],
                Some("linux/amd64"),
            ),
            (
                "linux/amd64",
                &["linux/amd64/v3", "linux/amd64/v1"],
                Some("linux/amd64/v1"),
            ),
            ("linux/amd64", &["linux/amd64/v2"], None),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2"],
                Some("linux/amd64/v2"),
            ),
            ("linux/amd64/v3", &["linux/amd64/v4"], None),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v7", &["linux/arm/v8"], None),
            (
                "linux/arm",
                &["linux/arm/v6", "linux/arm/v7"],
                Some("linux/arm/v7"),
            ),
            ("linux/arm64", &["linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64")),
            ("linux/s390x/odd", &["linux/s390x"], Some("linux/s390x")),
            ("linux/amd64", &["", "linux/amd64"], Some("linux/amd64")),
            ("linux/amd64", &[""], Some("")),
            ("linux/amd64", &["", ""], None),
            ("linux/amd64", &[], None),
        ] {
            let name = format!("{wanted} of {offered:?}");
            assert_eq!(chosen(wanted, offered).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_error_names_what_there_is() {
        let entries = [
            entry("linux/arm64"),
            entry("unknown/unknown"),
            entry("linux/s390x"),
        ];
        let error = Platform::linux("amd64")
            .select(&entries.each_ref())
            .unwrap_err();
        let text = "there is no image for linux/amd64; there is: linux/arm64, linux/s390x";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn platforms_round_trip_as_text() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "a//c"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_host_is_named_as_images_name_it() {
        assert_eq!(Platform::host().to_string(), "linux/amd64");
    }
}
