//! `container encapsulate-directory`

use std::path::PathBuf;

use clap::Args;
use image::DirectoryCommit;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::environment::{now, source_date_epoch};
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;
use crate::verbs::container::image_options::ImageOptions;
use crate::verbs::container::report_written;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Make a bootable container image of a root directory, without a repository
///
/// The image wraps the commit that a commit of the directory would give, with /etc in /usr/etc and the
/// labels of the SELinux policy in it. With --created or SOURCE_DATE_EPOCH, the same directory and options
/// give the same image, byte for byte.
#[derive(Debug, Args)]
pub(crate) struct EncapsulateDirectory {
    /// The root directory
    #[arg(value_name = "DIR")]
    root: PathBuf,
    /// Where to write the image, as in oci:/srv/image:tag, oci-archive:image.tar or
    /// registry:quay.io/os/image:tag
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Leave PATH out, as in /boot/grub
    #[arg(long, value_name = "PATH")]
    skip: Vec<PathBuf>,
    /// The subject of the commit
    #[arg(long, value_name = "TEXT", default_value = "")]
    subject: String,
    /// The version of what is in the image
    #[arg(long, value_name = "TEXT")]
    image_version: Option<String>,
    #[command(flatten)]
    options: ImageOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl EncapsulateDirectory {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let options = self.options.choices(&self.source, context)?;
        let commit = self.commit()?;
        let root = open_dir("the root directory", &self.root)?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let image = host::encapsulate_directory(
            root,
            &commit,
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        report_written(context, &image, self.json)
    }

    fn commit(&self) -> Result<DirectoryCommit, Failure> {
        let mut commit = DirectoryCommit::default();
        commit.subject.clone_from(&self.subject);
        commit.skip = self.skip.iter().cloned().collect();
        if let Some(version) = &self.image_version {
            commit.metadata.insert("version", version.as_str());
        }
        let created = self.options.created.as_deref();
        let created = created.and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        let created = created.and_then(|time| u64::try_from(time.timestamp()).ok());
        commit.timestamp = match created {
            Some(time) => time,
            None => source_date_epoch()?.unwrap_or_else(now),
        };
        Ok(commit)
    }
}
