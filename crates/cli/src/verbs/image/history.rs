//! `bootroot image history`

use clap::Args;
use host::LayerHistory;
use indicatif::HumanBytes;
use oci::reference::ImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};
use crate::render::Table;
use crate::verbs::reference;

/// Show how a stored image was made, layer by layer, the lowest first
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    #[command(flatten)]
    format: Format,
}

impl History {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let history =
            host::image_history(storage.repo(), &self.image).hint(super::WHAT_IS_STORED)?;
        let out = context.results();
        if self.format.json {
            out.json(&history)?;
        } else {
            out.all(table(&history.layers).to_string().as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn table(layers: &[LayerHistory]) -> Table {
    let mut table = Table::new(["DIGEST", "SIZE", "CREATED BY"]);
    for layer in layers {
        let made_by = layer
            .created_by
            .as_deref()
            .or(layer.comment.as_deref())
            .unwrap_or_default();
        let one_line: Vec<&str> = made_by.split_whitespace().collect();
        let digest = layer.digest.chars().take("sha256:".len() + 12).collect();
        table.row([
            digest,
            HumanBytes(layer.size).to_string(),
            one_line.join(" "),
        ]);
    }
    table
}
