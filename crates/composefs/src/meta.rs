//! `meta.json`: what a repository says about itself.

use composefs_format::{Algorithm, Version};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The form of images that bootc's repositories have had first is a feature that only readers need not know.
const V1_IMAGES: &str = "v1_erofs";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    version: u32,
    algorithm: String,
    #[serde(default)]
    features: Features,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    erofs_formats: Option<Formats>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Features {
    compatible: Vec<String>,
    read_only_compatible: Vec<String>,
    incompatible: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Formats {
    default: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extra: Vec<u32>,
}

impl Meta {
    /// That of a new repository, as `cfsctl init` writes it.
    pub(crate) fn initial(algorithm: Algorithm) -> Self {
        Self {
            version: 1,
            algorithm: name(algorithm).to_owned(),
            features: Features {
                read_only_compatible: vec![V1_IMAGES.to_owned()],
                ..Features::default()
            },
            erofs_formats: Some(Formats {
                default: 1,
                extra: Vec::new(),
            }),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(StoreError::Meta)
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(StoreError::Meta)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The algorithm and the forms of images, if this program may write here.
    pub(crate) fn usable(&self) -> Result<(Algorithm, Vec<Version>), StoreError> {
        let foreign = |what: String| Err(StoreError::Foreign { what });
        if self.version != 1 {
            return foreign(format!("version {}", self.version));
        }
        let is_unknown = |feature: &&String| feature.as_str() != V1_IMAGES;
        let features = &self.features;
        let mut all = features
            .incompatible
            .iter()
            .chain(&features.read_only_compatible);
        if let Some(feature) = all.find(is_unknown) {
            return foreign(format!("the feature {feature}"));
        }
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let found = algorithms
            .into_iter()
            .find(|one| name(*one) == self.algorithm);
        let Some(algorithm) = found else {
            return foreign(format!("digests of {}", self.algorithm));
        };
        let mut versions = Vec::new();
        for format in self.image_formats() {
            let version = match format {
                0 => Version::V0,
                1 => Version::V1,
                2 => Version::V2,
                other => return foreign(format!("images of format {other}")),
            };
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        Ok((algorithm, versions))
    }

    /// Without a word about it, images have the format 2, or 1 with the feature.
    fn image_formats(&self) -> Vec<u32> {
        if let Some(formats) = &self.erofs_formats {
            return [&[formats.default], formats.extra.as_slice()].concat();
        }
        let features = &self.features.read_only_compatible;
        let is_v1 = features.iter().any(|name| name == V1_IMAGES);
        vec![if is_v1 { 1 } else { 2 }]
    }
}

/// As `meta.json` names an algorithm; blocks have 2^12 bytes.
const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "fsverity-sha256-12",
        Algorithm::Sha512 => "fsverity-sha512-12",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cfsctl init` 0.9.4 wrote.
    const RECORDED: &str = r#"{
  "version": 1,
  "algorithm": "fsverity-sha512-12",
  "features": {
    "compatible": [],
    "read-only-compatible": [
      "v1_erofs"
    ],
    "incompatible": []
  },
  "erofs_formats": {
    "default": 1
  }
}
"#;

    #[test]
    fn a_new_one_is_that_of_cfsctl() {
        let ours = Meta::initial(Algorithm::Sha512).to_bytes().unwrap();
        assert_eq!(String::from_utf8(ours).unwrap(), RECORDED);
        let read = Meta::from_bytes(RECORDED.as_bytes()).unwrap();
        assert_eq!(
            read.usable().unwrap(),
            (Algorithm::Sha512, vec![Version::V1])
        );
    }

    #[test]
    fn what_is_not_known_is_not_written_to() {
        let changes = [
            ("\"version\": 1", "\"version\": 2"),
            ("\"incompatible\": []", "\"incompatible\": [\"x\"]"),
            ("\"v1_erofs\"", "\"v1_erofs\", \"y\""),
            ("sha512-12", "sha512-16"),
            ("\"default\": 1", "\"default\": 3"),
            ("\"default\": 1", "\"default\": 1, \"extra\": [3]"),
        ];
        for (old, new) in changes {
            let meta = Meta::from_bytes(RECORDED.replace(old, new).as_bytes()).unwrap();
            let refused = meta.usable();
            assert!(matches!(refused, Err(StoreError::Foreign { .. })), "{new}");
        }
        let harmless = RECORDED.replace("\"compatible\": []", "\"compatible\": [\"z\"]");
        Meta::from_bytes(harmless.as_bytes())
            .unwrap()
            .usable()
            .unwrap();
        let broken = Meta::from_bytes(b"{");
        assert!(matches!(broken, Err(StoreError::Meta(_))), "{broken:?}");
    }
}
