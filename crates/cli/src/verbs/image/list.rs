//! `bootroot image list`

use clap::Args;
use host::{ImageEntry, ImageList};
use indicatif::HumanBytes;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::render::Table;

/// List the stored images, and those that deployments bind; with --quiet, names of the former only
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let mut list = host::image_list(storage.repo())?;
        // A repository without a system around it has no deployments.
        if let Ok(sysroot) = storage.sysroot() {
            list = list.with_bound(host::bound_images(&sysroot)?);
        }
        let out = context.results();
        if self.format.json {
            out.json(&list)?;
        } else if context.quiet() {
            let names = list.images.iter().map(|entry| format!("{}\n", entry.image));
            out.all(names.collect::<String>().as_bytes())?;
        } else {
            out.all(table(&list).to_string().as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

fn table(list: &ImageList) -> Table {
    let mut table = Table::new(["IMAGE", "VERSION", "DIGEST", "LAYERS", "SIZE"]);
    for entry in &list.images {
        table.row(row(entry));
    }
    for bound in &list.bound {
        let digest = bound.digest.as_deref().unwrap_or("missing");
        let name = format!("containers-storage:{}", bound.image);
        let nothing = String::new;
        table.row([
            name,
            "bound".to_owned(),
            short(digest),
            nothing(),
            nothing(),
        ]);
    }
    table
}

fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
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
        short(digest),
        entry
            .layers
            .map_or_else(String::new, |count| count.to_string()),
        entry
            .size
            .map_or_else(String::new, |size| HumanBytes(size).to_string()),
    ]
}
