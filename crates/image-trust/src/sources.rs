//! Where a policy has its keys and certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::signatures::ReadFile;

/// Files, and what stands in the policy itself as Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources<'a> {
    paths: Vec<&'a str>,
    data: Vec<&'a str>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(
        path: Option<&'a String>,
        paths: Option<&'a Vec<String>>,
        data: Option<&'a String>,
        datas: Option<&'a Vec<String>>,
    ) -> Self {
        let all = |one: Option<&'a String>, several: Option<&'a Vec<String>>| {
            let several = several.into_iter().flatten();
            one.into_iter().chain(several).map(String::as_str).collect()
        };
        Self {
            paths: all(path, paths),
            data: all(data, datas),
        }
    }

    /// What they hold, each with its origin.
    pub(crate) fn load(&self, read: ReadFile<'_>) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut loaded = Vec::new();
        for path in &self.paths {
            let bytes = read(path).map_err(|cause| format!("cannot read key {path}: {cause}"))?;
            let bytes = bytes.ok_or_else(|| format!("there is no key file {path}"))?;
            loaded.push(((*path).to_owned(), bytes));
        }
        for data in &self.data {
            let bytes = STANDARD.decode(data);
            let bytes = bytes.map_err(|_| "key data in the policy is not Base64".to_owned())?;
            loaded.push(("the policy".to_owned(), bytes));
        }
        Ok(loaded)
    }
}
