//! How many layers an image has, and where they came from.

use serde::Serialize;

/// The layers of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LayerCount {
    /// How many there are.
    pub total: usize,
    /// How many of them were fetched, or would have to be.
    pub fetched: usize,
    /// How many of them came from another store of this machine; nothing where that is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<usize>,
}

impl LayerCount {
    /// How many were fetched, and how many were on this machine.
    #[must_use]
    pub fn words(&self) -> String {
        match self.local {
            None | Some(0) => format!("{} fetched", self.fetched),
            Some(local) => format!("{} fetched, {local} from this machine", self.fetched),
        }
    }
}
