//! `bootroot image list`

use clap::Args;
use host::ImageEntry;
use indicatif::HumanBytes;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::render::Table;

/// List the stored images; with --quiet, their names only
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let list = host::image_list(context.storage()?.repo())?;
        let out = context.results();
        if self.format.json {
            out.json(&list)?;
        } else if context.quiet() {
            let names = list.images.iter().map(|entry| format!("{}\n", entry.image));
            out.all(names.collect::<String>().as_bytes())?;
        } else {
            out.all(table(&list.images).to_string().as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn table(images: &[ImageEntry]) -> Table {
    let mut table = Table::new(["IMAGE", "VERSION", "DIGEST", "LAYERS", "SIZE"]);
    for entry in images {
        table.row(row(entry));
    }
    table
}

fn row(entry: &ImageEntry) -> [String; 5] {
    let name = entry.image.to_string();
    if let Some(reason) = &entry.damaged {
        return [
            name,
            format!("damaged: {reason}"),
            String::new(),
            String::new(),
            String::new(),
        ];
    }
    let digest = entry.digest.as_deref().unwrap_or_default();
    [
        name,
        entry.version.clone().unwrap_or_default(),
        digest.chars().take("sha256:".len() + 12).collect(),
        entry
            .layers
            .map_or_else(String::new, |count| count.to_string()),
        entry
            .size
            .map_or_else(String::new, |size| HumanBytes(size).to_string()),
    ]
}
